"""The latency rows of a throughput run: one text at a time, as a service without company has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goemo_utils.throughput import statistics
from goemo_utils.throughput.protocol import Arm, Clock, interleave
from goemo_utils.throughput.ways import Way

MOST_CALLS = 1100  # single-text calls at most: p99 needs 1000
# single-text calls not counted, because they meet shapes that the warm-up in batches has not
NEW_SHAPES = 10


def latency(
    timed: Sequence[Way], texts: Sequence[str], seconds: float, clock: Clock
) -> list[dict[str, Any]]:
    """Milliseconds for one text at a time, in turns; percentiles only where calls are enough."""

    def one_text(way: Way) -> Arm:
        def step(number: int) -> None:
            way.run([texts[number % len(texts)]])

        return Arm(way.id, step, way.device.synchronize)

    arms = [one_text(way) for way in timed if not way.device.simulated]

    samples = interleave(arms, 0, MOST_CALLS, seconds * len(arms), clock).seconds if arms else {}
    rows = []

    for way in timed:
        values = [1000 * s for s in samples.get(way.id, [])[NEW_SHAPES:]]
        row = {
            "id": way.id,
            "configuration": way.configuration,
            "device": way.device.requested,
            "dtype": way.dtype,
            "unit": "ms",
            "n": len(values),
            **statistics.percentiles(values),
            "raw": values,
            "reason": _why_no_percentile(way, len(values)),
        }
        rows.append(row)

    return rows


def _why_no_percentile(way: Way, n_calls: int) -> str | None:
    if way.device.simulated:
        return "simulated"
    return None if n_calls >= 20 else f"only {n_calls} calls, p50 needs 20"
