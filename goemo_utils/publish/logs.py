"""The three logs that reviews ask for, written from the records and the worker's own log."""

from typing import Any

from goemo_utils.boundary.credentials import without_credentials
from goemo_utils.boundary.regular import read_regular
from goemo_utils.boundary.terminal import visible
from goemo_utils.forward.thresholds import described
from goemo_utils.report.read import Run

NAMES = ("run_npu.log", "accuracy_compare.log", "pretrained_attempt.log")
LONGEST = 200_000


def logs(run: Run, mark: str | None) -> dict[str, str]:
    """Text of each log by its name; ``mark`` is the first line of a draft's."""
    texts = {
        "run_npu.log": _run(run),
        "accuracy_compare.log": _accuracy(run),
        "pretrained_attempt.log": _pretrained(run),
    }
    head = [mark] if mark else []
    return {
        name: visible("\n".join([*head, f"run {run.run_id}", *lines])) + "\n"
        for name, lines in texts.items()
    }


def _run(run: Run) -> list[str]:
    lines = [f"SIMULATED: {str(run.simulated).lower()}", *_items("device", run.device)]
    lines += _items(
        "placement",
        ((run.of("03_parity").get("packs") or {}).get("candidate") or {}).get("placement")
        or run.of("01_load").get("placement")
        or {},
    )
    path = run.folder / "logs" / "worker-candidate.log"
    if path.is_file() and not path.is_symlink():
        text = without_credentials(read_regular(path).decode("utf-8", "replace")[-LONGEST:])
        lines += ["", "output of the candidate's process:", text.rstrip() or "(it printed nothing)"]
    return lines


def _accuracy(run: Run) -> list[str]:
    parity = run.of("03_parity")
    if not parity:
        state = run.states["03_parity"]
        return [
            f"nothing was compared: 03_parity {state.status}"
            + (f", {state.reason}" if state.reason else "")
        ]

    lines = [
        (
            f"quantity {parity.get('quantity')}, texts {parity.get('n_texts')}, labels"
            f" {parity.get('n_labels')}, threshold {_threshold(parity.get('threshold'))}, verdict"
            f" {parity.get('verdict')}"
        ),
        "",
    ]
    for metric in parity.get("metrics") or []:
        found = (
            metric["value"]
            if metric.get("value") is not None
            else f"not reported: {metric.get('reason')}"
        )
        lines.append(
            f"{metric['id']} = {found}  [{metric.get('unit')}, n = {metric.get('n')}] "
            f" {metric.get('formula')}".rstrip()
        )

    lines.append("")
    for gate in parity.get("gates") or []:
        lines.append(
            f"gate {gate['id']}: {gate['result']}, value {gate.get('value')}, limit"
            f" {gate.get('limit')}, n {gate.get('n')}: {gate.get('meaning')}"
        )

    return lines


def _threshold(threshold: Any) -> str:
    return "none" if threshold is None else described(threshold)


def _pretrained(run: Run) -> list[str]:
    model = run.model
    if not model:
        state = run.states["01_load"]
        return [
            f"no weights were loaded: 01_load {state.status}"
            + (f", {state.reason}" if state.reason else "")
        ]

    keys = (
        "id",
        "source",
        "revision",
        "architecture",
        "n_parameters",
        "pretrained_used",
        "local_weight_used",
        "weight_path",
        "weights_sha256",
        "tokenizer_sha256",
        "untrained",
        "unused",
        "unread",
    )

    return _items("model", {key: model.get(key) for key in keys}) + [
        f"file {f['name']}: {f['bytes']} bytes, {f['sha256']}" for f in model.get("files") or []
    ]


def _items(name: str, values: dict[str, Any]) -> list[str]:
    return [f"{name}.{key} = {value}" for key, value in values.items()]
