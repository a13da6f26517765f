"""``summary.json``: the verdict of a run for other programs, with the fields that Ascend
model-adaptation reviews read.
"""

import math
from pathlib import Path
from typing import Any

from goemo_utils import __version__
from goemo_utils.records.record import sha256_file, write_json
from goemo_utils.report.checks import check
from goemo_utils.report.gates import gates
from goemo_utils.report.measured import cpu_row, device_row, latency_row
from goemo_utils.report.read import STEPS, Run
from goemo_utils.report.verdict import metric, overall

SCHEMA = "goemo.summary/1"
SCHEMA_FILE = Path(__file__).with_name("summary.schema.json")
METRICS = (
    "max_abs_diff",
    "mean_abs_diff",
    "cosine_similarity",
    "top1_match",
    "top3_overlap",
    "top5_match",
)


def summarise(run: Run) -> dict[str, Any]:
    """Return the summary of a run. A field that does not apply is null and has its reason in
    ``reasons``.

    Raises ReportError for a blank, a placeholder or a contradiction in the records.
    """
    check(run)
    parity, model, reasons = run.of("03_parity"), run.model, {}
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "goemo_version": __version__,
        "started": run.manifest["started"],
        "ended": _ended(run),
        "simulated": run.simulated,
        "verdict": overall(run),
        "gates": [_gate(g) for g in gates(run)],
        "causes": list(parity.get("causes") or []),
        "faults": [
            {key: fault.get(key) for key in ("module", "operator", "ratio_rms", "ratio_max")}
            for fault in parity.get("faults") or []
        ],
        **_judged(parity),
    }
    not_judged = _why_not(run, "03_parity")

    for name in ("grades", "tail"):
        if summary[name] is None:
            reasons[name] = not_judged

    for name in METRICS:
        found = metric(run, name)
        summary[name] = _for_json(found.get("value"))
        if summary[name] is None:
            reasons[name] = found.get("reason") or not_judged

    _within_one_percent(run, summary, reasons, not_judged)
    _speed(run, summary, reasons)
    unknown = _why_not(run, "01_load")

    for name in ("pretrained_used", "local_weight_used", "weight_path"):
        summary[name] = model.get(name)
        if summary[name] is None:
            reasons[name] = "no weight file was read" if model else unknown

    fallbacks = ((parity.get("packs") or {}).get("candidate") or {}).get("fallbacks")
    summary["fallback_used"] = None if fallbacks is None or run.simulated else bool(fallbacks)
    if summary["fallback_used"] is None:
        reasons["fallback_used"] = "simulated" if run.simulated else not_judged

    summary["model"] = (
        {
            key: model.get(key)
            for key in (
                "id",
                "revision",
                "architecture",
                "task",
                "n_labels",
                "n_parameters",
                "weights_sha256",
                "tokenizer_sha256",
                "n_layers",
                "hidden_size",
                "max_length",
            )
        }
        if model
        else None
    )
    summary["device"] = (
        {key: run.device.get(key) for key in ("requested", "kind", "name", "torch_device")}
        if run.device
        else None
    )
    summary["comparison"] = (
        {
            key: parity.get(key)
            for key in ("quantity", "n_texts", "n_labels", "n_decisions", "threshold")
        }
        if parity
        else None
    )
    summary["smoke"] = [
        {"text": row["text"], "label": row.get("top"), "probability": row.get("top_probability")}
        for row in run.of("02_smoke").get("rows") or []
        if row.get("top")
    ]
    summary["timing"] = _timing(run)
    summary |= _cards(run)

    for name, step in (("model", "01_load"), ("device", "01_load"), ("comparison", "03_parity")):
        if summary[name] is None:
            reasons[name] = _why_not(run, step)

    summary["provenance"] = {
        "code": run.manifest.get("code"),
        "versions": run.manifest.get("versions"),
        "params": run.params,
        "command": run.manifest.get("command"),
        "manifest_sha256": None,
        "records": {step: run.states[step].sha256 for step in STEPS},
    }
    summary["provenance"]["manifest_sha256"] = sha256_file(run.folder / "manifest.json")
    summary["steps"] = [
        {"step": s.step, "status": s.status, "reason": s.reason, "seconds": s.seconds}
        for s in run.states.values()
    ]
    summary["reasons"] = reasons

    return summary


def write(path: Path, summary: dict[str, Any]) -> None:
    """Replace ``summary.json`` in one step."""
    write_json(path, summary)


def _gate(gate: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": gate["id"],
        "result": gate["result"],
        "value": gate.get("value"),
        "limit": gate.get("limit"),
        "n": gate.get("n"),
        "formula": gate.get("formula"),
    }


def _judged(parity: dict[str, Any]) -> dict[str, Any]:
    """What parity says beside the gates: names of what is wrong, the nearest calls, grades, the
    tail, and what was not checked.
    """
    lists = {key: list(parity.get(key) or []) for key in ("names", "suspects", "not_checked")}
    return lists | {key: parity.get(key) or None for key in ("grades", "tail")}


def _within_one_percent(
    run: Run, summary: dict[str, Any], reasons: dict[str, str], not_judged: str
) -> None:
    """A share and what it is a share of: without the basis the field can mean anything."""
    found = metric(run, "match_within_1_percent")
    summary["match_within_1_percent"] = _for_json(found.get("value"))
    summary["match_basis"] = found.get("match_basis") or found.get("formula") or None
    for name in ("match_within_1_percent", "match_basis"):
        if summary[name] is None:
            reasons[name] = found.get("reason") or not_judged


def _speed(run: Run, summary: dict[str, Any], reasons: dict[str, str]) -> None:
    """Rates, latency and speed-up: of the device only when it is real, and an NPU's only when it is
    one.
    """
    speed, not_timed = run.of("04_throughput"), _why_not(run, "04_throughput")
    cpu, device, latency = cpu_row(run), device_row(run), latency_row(run)
    real = not run.simulated and run.device.get("kind") == "npu"
    if run.simulated:
        refusal = "simulated"
    elif run.device:
        refusal = f"the device was {run.device.get('kind')}, not an NPU"
    else:
        refusal = not_timed
    told = {
        "cpu_texts_per_second": cpu.get("median"),
        "npu_texts_per_second": device.get("median") if real else None,
        "npu_latency_ms": latency.get("p50") if real else None,
        "speedup": (speed.get("speedup") or {}).get("value") if real else None,
    }
    why = {
        "cpu_texts_per_second": cpu,
        "npu_texts_per_second": device,
        "npu_latency_ms": latency,
        "speedup": speed.get("speedup"),
    }

    for name, value in told.items():
        summary[name] = _for_json(value)
        if summary[name] is None:
            own = (why[name] or {}).get("reason")
            refused = name != "cpu_texts_per_second" and not real
            unsaid = "not measured" if speed else not_timed
            reasons[name] = refusal if refused else own or unsaid


def _cards(run: Run) -> dict[str, Any]:
    """Every card of a run with several, and what they do at once; nothing of any other run."""
    judged = run.of("03_parity").get("cards")
    timed = run.of("04_throughput").get("cards") or {}
    if not judged:
        return {}

    keys = ("card", "name", "sick", "verdict", "R", "apart", "bits", "texts_changed", "reason")
    rates = {row["card"]: row["median"] for row in timed.get("rows") or []}
    rows = [
        {**{key: row.get(key) for key in keys}, "texts_per_second": rates.get(row["card"])}
        for row in judged["rows"]
    ]
    scaling = (timed.get("scaling") or {}).get("value")
    told = {"rows": rows, "sick": judged["sick"], "reading": judged["reading"]}
    return {"cards": {**told, "scaling_efficiency": scaling}}


def _timing(run: Run) -> dict[str, Any]:
    """What a rate needs to mean something: configuration, batch size, interval, number of samples,
    baseline and cores.
    """
    keys = ("configuration", "device", "dtype", "batch_size", "n", "ci95")
    up, latency = run.of("04_throughput").get("speedup") or {}, latency_row(run)
    rows = {"npu": {} if run.simulated else device_row(run), "cpu": cpu_row(run)}
    first_call = _for_json(rows["npu"].get("cold_seconds"))

    return {
        **{
            name: {key: row.get(key) for key in keys} if row.get("median") is not None else None
            for name, row in rows.items()
        },
        "latency": (
            {key: latency.get(key) for key in ("configuration", "n", "p50", "p90", "p99")}
            if latency.get("p50") is not None and not run.simulated
            else None
        ),
        "speedup": (
            {key: up.get(key) for key in ("baseline", "cores", "ci95")}
            if up.get("value") is not None
            else None
        ),
        "first_call_seconds": first_call,
        "device_memory_mib": _device_memory(run),
    }


def _device_memory(run: Run) -> float | None:
    """MiB at the peak of the runs on the device; None where none was counted, or a simulation's."""
    if run.simulated or not run.device or run.device.get("kind") == "cpu":
        return None
    counted = (run.of("04_throughput").get("memory") or {}).get("devices") or {}
    peaks = [memory.get("peak") for memory in counted.values() if memory]
    proof = run.of("01_load").get("placement") or {}
    known = [peak for peak in (*peaks, proof.get("memory_peak")) if peak]
    return round(max(known) / 2**20, 1) if known else None


def _why_not(run: Run, step: str) -> str:
    state = run.states[step]
    if state.status == "ok":
        return "the record does not hold it"
    return f"{step}: {state.status}" + (f" ({state.reason})" if state.reason else "")


def _ended(run: Run) -> str:
    ends = [record["ended"] for record in run.records.values() if record.get("ended")]
    return str(max(ends) if ends else run.manifest["updated"])


def _for_json(value: Any) -> Any:
    """NaN and infinity have no place in JSON: they become null, and the gate ``finite`` tells of
    them.
    """
    if (isinstance(value, float) and not math.isfinite(value)) or isinstance(value, str):
        return None
    return value
