"""What must not be shown: blanks, placeholders and contradictions in the records."""

import math
from collections.abc import Iterator
from typing import Any

from goemo_utils.params.paths import PLACEHOLDER
from goemo_utils.params.reads import READS
from goemo_utils.report.measured import is_cpu
from goemo_utils.report.outdated import decided_by
from goemo_utils.report.read import ReportError, Run

# What a blank looks like after it went through a format string. "none" in lower case is a word that
# records use.
DISGUISED_BLANK = {
    "",
    "-",
    "–",
    "—",
    "n/a",
    "N/A",
    "NA",
    "None",
    "null",
    "NULL",
    "undefined",
    "?",
    "。",
}


def check(run: Run) -> None:
    """Raise ReportError, naming record and field, for the first blank, placeholder or
    contradiction.
    """
    for name, field, value in _shown(run):
        _check_value(name, field, value)
    for step in run.results:
        _check_absent(step, run.results[step])
    _check_contradictions(run)


def is_blank(text: str) -> bool:
    """Whether a text says nothing, or only pretends to."""
    return text.strip() in DISGUISED_BLANK


def _shown(run: Run) -> Iterator[tuple[str, str, Any]]:
    """Yield (record, field, value) of everything a reader sees that is not a quotation."""
    model = run.results.get("01_load", {}).get("model") or {}
    for key in (
        "id",
        "architecture",
        "weights_sha256",
        "weight_path",
        "revision",
        "tokenizer_sha256",
        "task",
    ):
        if model.get(key) is not None:
            yield "01_load", f"model.{key}", model[key]

    device = run.results.get("01_load", {}).get("device") or {}
    for key in ("name", "kind", "requested", "torch_device"):
        if device.get(key) is not None:
            yield "01_load", f"device.{key}", device[key]

    parity = run.results.get("03_parity", {})
    for i, metric in enumerate(parity.get("metrics") or []):
        yield "03_parity", f"metrics[{i}].id", metric.get("id")
        # An absent metric has a reason instead of a formula; ``_check_absent`` looks for it.
        if metric.get("value") is not None:
            yield "03_parity", f"metrics[{i}].formula ({metric.get('id')})", metric.get("formula")
            yield "03_parity", f"metrics[{i}].value ({metric.get('id')})", metric["value"]

    for i, gate in enumerate(parity.get("gates") or []):
        keys = (
            ["id", "result", "meaning"]
            + ["limit"] * (gate.get("result") != "not run")
            + ["value"] * (gate.get("result") in ("pass", "explained"))
        )
        for key in keys:
            yield "03_parity", f"gates[{i}].{key} ({gate.get('id')})", gate.get(key)

    for i, row in enumerate(run.results.get("04_throughput", {}).get("rows") or []):
        yield "04_throughput", f"rows[{i}].configuration", row.get("configuration")


def _check_value(name: str, field: str, value: Any) -> None:
    if value is None or (isinstance(value, str) and is_blank(value)):
        raise ReportError(
            f"{name}: {field} is blank ({value!r}), expected a value: run the step again, nothing"
            " is left out silently."
        )
    if isinstance(value, str) and PLACEHOLDER.search(value):
        raise ReportError(
            f"{name}: {field} is a placeholder ({value!r}), expected a value: run the step again."
        )


def _check_absent(step: str, results: dict[str, Any]) -> None:
    """A null must carry its reason."""
    rows = [
        (f"metrics[{i}] ({m.get('id')})", m) for i, m in enumerate(results.get("metrics") or [])
    ]
    rows += [
        (f"rows[{i}] ({r.get('configuration')})", {**r, "value": r.get("median")})
        for i, r in enumerate(results.get("rows") or [])
        if step == "04_throughput"
    ]
    if isinstance(results.get("speedup"), dict):
        rows.append(("speedup", results["speedup"]))

    for field, row in rows:
        if row.get("value") is None and is_blank(str(row.get("reason") or "")):
            raise ReportError(
                f"{step}: {field} has neither a value nor a reason, expected one of them: run the"
                " step again."
            )


def _check_contradictions(run: Run) -> None:
    parity, speed, load = (
        run.results.get(step, {}) for step in ("03_parity", "04_throughput", "01_load")
    )
    seen: dict[str, Any] = {}
    for metric in parity.get("metrics") or []:
        known = seen.setdefault(metric["id"], metric.get("value"))
        if known != metric.get("value") and not (_is_nan(known) and _is_nan(metric.get("value"))):
            raise ReportError(
                f"03_parity: metric {metric['id']} has two values, {known!r} and"
                f" {metric.get('value')!r}, expected one: run the step again."
            )

    failed = [gate["id"] for gate in parity.get("gates") or [] if gate["result"] == "fail"]
    verdict = parity.get("verdict")
    if parity and verdict not in ("pass", "pass-with-cause", "fail"):
        raise ReportError(
            f"03_parity: verdict is {verdict!r}, expected pass, pass-with-cause or fail: run the"
            " step again."
        )
    if failed and verdict != "fail":
        raise ReportError(
            f"03_parity: the verdict is {verdict} although gate {failed[0]} failed: run the step"
            " again."
        )
    if parity and not parity.get("gates"):
        raise ReportError(
            "03_parity: gates is empty, expected at least one: a run that checked nothing has no"
            " verdict."
        )
    if parity and not parity.get("n_texts"):
        raise ReportError(
            f"03_parity: n_texts is {parity.get('n_texts')!r}, expected at least 1: nothing was"
            " compared."
        )
    if speed and parity and speed.get("parity_verdict") not in (None, verdict):
        raise ReportError(
            f"04_throughput: parity_verdict is {speed['parity_verdict']} but 03_parity says"
            f" {verdict}: run 04_throughput again."
        )

    model = load.get("model") or {}
    if isinstance(model.get("labels"), list) and model.get("n_labels") not in (
        None,
        len(model["labels"]),
    ):
        raise ReportError(
            f"01_load: model.n_labels is {model['n_labels']} but {len(model['labels'])} labels are"
            " listed: run the step again."
        )

    _check_parameters(run)
    if run.simulated:
        _check_no_speed(speed)


def _check_parameters(run: Run) -> None:
    """A step may have been run again with other values of its own, but never with another value of
    what an earlier record, that it builds on, was made for.
    """
    for step in run.results:
        values = run.records[step].get("params") or {}
        for key in READS[step].fixed:
            earlier = decided_by(step, key, run.records)
            if earlier is None:
                continue
            before = run.records[earlier]["params"][key]
            if values[key] != before:
                raise ReportError(
                    f"{step}: {key} is {values[key]!r} but {earlier} recorded"
                    f" {before!r}, expected one value in a run: run {step} again."
                )


def _check_no_speed(speed: dict[str, Any]) -> None:
    """A simulated device has no speed: a figure for it is a contradiction, whoever wrote it."""
    for row in [*(speed.get("rows") or []), *(speed.get("latency") or [])]:
        value = row.get("median", row.get("p50"))
        if not is_cpu(row) and value is not None:
            raise ReportError(
                f"04_throughput: {row.get('configuration')} has a rate or latency of {value} on a"
                " simulated device, expected null with reason 'simulated': run the step again."
            )
    cards = speed.get("cards") or {}
    known = [row["name"] for row in cards.get("rows") or [] if row.get("median") is not None]
    if known or (cards.get("scaling") or {}).get("value") is not None:
        raise ReportError(
            f"04_throughput: cards has {'a rate of ' + known[0] if known else 'a scaling'} on a"
            " simulated device, expected null with reason 'simulated': run the step again."
        )
    if (speed.get("speedup") or {}).get("value") is not None:
        raise ReportError(
            f"04_throughput: speedup is {speed['speedup']['value']} on a simulated device, expected"
            " null with reason 'simulated': run the step again."
        )


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
