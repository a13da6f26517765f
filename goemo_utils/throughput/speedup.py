"""Speed-ups: every device row over every CPU row of the same run, and the one to be quoted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goemo_utils.throughput import statistics

if TYPE_CHECKING:
    from goemo_utils.forward.device import Device

QUALITY = 0.99


def speedups(
    rows: Sequence[dict[str, Any]],
    seconds: dict[str, list[float]],
    repeats: dict[str, int],
    cores: int,
) -> list[dict[str, Any]]:
    """Ratios of every row on a device to every row on the CPU, with intervals from the paired
    rounds; none for a simulated device.
    """
    measured = [row for row in rows if row["median"] is not None]
    hosts = [row for row in measured if row["device"].startswith("cpu")]
    told = []

    for row in (r for r in measured if not r["device"].startswith("cpu")):
        for base in hosts:
            ours = [repeats[row["id"]] / s for s in seconds[row["id"]]]
            theirs = [repeats[base["id"]] / s for s in seconds[base["id"]]]
            value, interval = statistics.ratio(ours, theirs)
            doubt = statistics.doubt(value, interval, min(len(ours), len(theirs)))
            told.append(
                {
                    "id": row["id"],
                    "dtype": row["dtype"],
                    "baseline_id": base["id"],
                    "baseline": base["configuration"],
                    "baseline_dtype": base["dtype"],
                    "cores": cores,
                    "value": value,
                    "ci95": list(interval),
                    "conclusive": doubt is None,
                    "doubt": doubt,
                }
            )

    return told


def headline(
    ups: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], devices: Sequence[Device]
) -> dict[str, Any]:
    """The speed-up that may be quoted: the device's fastest row against the fastest float32 CPU row
    of the same run, or why there is none.

    One whose answers are not the reference's, or whose interval is too wide to conclude from, is
    not quoted; its figures stay in ``speedups``.
    """
    if all(device.kind == "cpu" for device in devices):
        return {"value": None, "ci95": None, "reason": "no device but the CPU was timed"}
    if any(device.simulated for device in devices):
        return {"value": None, "ci95": None, "reason": "simulated"}
    rates = {row["id"]: row["median"] for row in rows}
    fair = [up for up in ups if up["baseline_dtype"] == "float32"]

    if not fair:
        return {
            "value": None,
            "ci95": None,
            "reason": "no float32 row on the CPU was timed in the same run",
        }

    best = max(fair, key=lambda up: (rates[up["baseline_id"]], rates[up["id"]]))
    if wrong := _wrong(next(row for row in rows if row["id"] == best["id"]).get("parity")):
        return {**best, "value": None, "ci95": None, "reason": wrong}
    if best["conclusive"]:
        return {**best, "reason": None}
    low, high = best["ci95"]
    reason = (
        f"{best['doubt']}; {best['value']:.3g} times {best['baseline']} ({low:.3g} to {high:.3g})."
        " Time it for longer, or on a quiet machine"
    )

    return {**best, "value": None, "ci95": None, "reason": reason}


def _wrong(parity: dict[str, Any] | None) -> str | None:
    """Why a row's answers in this same run, beside the reference's, rule out a speed-up; the
    verdict of 03_parity is another matter, and stricter.

    MLPerf's rule: at least 99 % of the reference's quality. One text may change whatever their
    number, since a near tie is in every set.
    """
    if not parity:
        return None
    if not math.isfinite(parity["max_difference"]):
        return "its answers are not all numbers: the speed of a wrong answer is not a speed-up"

    changed, texts = parity.get("top1_changed") or 0, parity["n_texts"]
    if changed <= max(1, (1 - QUALITY) * texts):
        return None

    return (
        f"the first label of {changed} of {texts} texts is not the reference's: the speed of a"
        " wrong answer is not a speed-up"
    )
