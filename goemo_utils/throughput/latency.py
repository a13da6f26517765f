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
# Every way is called so often that it has a median, unless that alone takes longer than LONGEST.
ALWAYS = NEW_SHAPES + statistics.needed_for(0.5)
FOR_P99 = NEW_SHAPES + statistics.needed_for(0.99)
LONGEST = 60.0  # seconds of one way's own time
# Seconds of its own that a way may take for a p99: a device is what a run is about.
AFFORDABLE = {"cpu": 2.0, "device": 15.0}


def latency(
    timed: Sequence[Way], texts: Sequence[str], seconds: float, clock: Clock
) -> list[dict[str, Any]]:
    """Milliseconds for one text at a time, in turns; percentiles only where calls are enough.

    Each way has a budget of its own, so that a slow one takes nothing from a fast one: 20 calls
    for its median in any case, then ``seconds`` of its own time, and the thousand of a p99 where
    they cost no more than AFFORDABLE.
    """

    def one_text(way: Way) -> Arm:
        def step(number: int) -> None:
            way.run([texts[number % len(texts)]])

        return Arm(way.id, step, way.device.synchronize)

    real = [way for way in timed if not way.device.simulated]
    arms = {way.id: one_text(way) for way in real}
    samples = _in_turns(list(arms.values()), ALWAYS, clock) if arms else {}

    more = {way.id: _more_calls(way, samples[way.id], seconds) for way in real}
    while more := {name: calls for name, calls in more.items() if calls > 0}:
        calls = min(more.values())
        again = _in_turns([arms[name] for name in more], calls, clock)
        for name, values in again.items():
            samples[name] += values
        more = {name: left - calls for name, left in more.items()}

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


def _in_turns(arms: Sequence[Arm], calls: int, clock: Clock) -> dict[str, list[float]]:
    return interleave(arms, 0, calls, LONGEST * len(arms), clock).seconds


def _more_calls(way: Way, values: Sequence[float], seconds: float) -> int:
    """How many calls a way's budget still holds, judged by the calls that are counted already."""
    counted = values[NEW_SHAPES:]
    if len(counted) < statistics.needed_for(0.5):
        return 0
    one = max(statistics.quartiles(counted)[1], 1e-9)
    affordable = AFFORDABLE["cpu" if way.device.kind == "cpu" else "device"]
    within = FOR_P99 if one * FOR_P99 <= affordable else 0
    return min(MOST_CALLS, max(int(seconds / one), within)) - len(values)


def _why_no_percentile(way: Way, n_calls: int) -> str | None:
    if way.device.simulated:
        return "simulated"
    return None if n_calls >= 20 else f"only {n_calls} calls, p50 needs 20"
