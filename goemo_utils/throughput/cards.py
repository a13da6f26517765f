"""Several cards at once: they begin to time together, and what all of them do is set against what
each does alone. Simulated cards share one processor: of them nothing is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goemo_utils.errors import WorkerError

MEET_SECONDS = 300.0
OVERLAP = 0.8
"""Share of the whole time in which all cards must have worked: below it a card was timed alone."""


def meet(
    folder: Path,
    name: str,
    count: int,
    timeout: float = MEET_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait in ``folder`` until ``count`` workers have come, each under a name of its own.

    Raises WorkerError when some do not come within ``timeout`` seconds.
    """
    (folder / f"{name}.here").touch()
    end = clock() + timeout
    while (here := len(list(folder.glob("*.here")))) < count:
        if clock() > end:
            raise WorkerError(
                f"Only {here} of {count} cards were ready to be timed together within"
                f" {timeout:.0f} s: the logs of the other workers say why."
            )
        time.sleep(0.01)


def scaling(
    alone: Mapping[int, Mapping[str, Any]],
    together: Mapping[int, Mapping[str, Any]],
    windows: Mapping[int, tuple[float, float]],
    reason: str | None = None,
) -> dict[str, Any]:
    """How much of what the cards do alone they do together: ``value`` is the sum of their rates at
    once over the sum of their rates alone, 1 where nothing is lost.

    ``alone`` and ``together`` are rows by card, ``windows`` when each card was timed with the
    others. The interval is that of the ends of the cards' own intervals, and so a wide one.
    ``reason`` says why there is none.
    """
    told: dict[str, Any] = {
        "value": None,
        "ci95": None,
        "cards": len(alone),
        "alone": None,
        "together": None,
        "overlap": None,
        "unit": "texts/s",
        "formula": "sum of the rates of all cards at once / sum of the rates of each card alone",
        "reason": reason,
    }
    if reason is None:
        told["reason"] = reason = _why_not(alone, together, windows)
    if reason is not None:
        return told

    sums = {
        way: sum(float(row["median"]) for row in rows.values())
        for way, rows in (("alone", alone), ("together", together))
    }
    return {
        **told,
        **sums,
        "value": sums["together"] / sums["alone"],
        "ci95": _interval(alone, together),
        "overlap": overlap(windows),
    }


def overlap(windows: Mapping[int, tuple[float, float]]) -> float:
    """Share of the time from the first begin to the last end in which all cards were timed."""
    begins, ends = zip(*windows.values(), strict=True)
    whole = max(ends) - min(begins)
    return max(0.0, min(ends) - max(begins)) / whole if whole else 0.0


def _why_not(
    alone: Mapping[int, Mapping[str, Any]],
    together: Mapping[int, Mapping[str, Any]],
    windows: Mapping[int, tuple[float, float]],
) -> str | None:
    """Why no efficiency can be stated; None where it can."""
    if len(alone) < 2:
        return "there is one card"
    rates = [rows.get(card, {}).get("median") for rows in (alone, together) for card in alone]
    if any(rate is None for rate in rates):
        return "not every card was timed, alone and with the others"
    if overlap(windows) < OVERLAP:
        return f"the cards were timed together for {overlap(windows):.0%} of the time only"
    return None


def _interval(
    alone: Mapping[int, Mapping[str, Any]], together: Mapping[int, Mapping[str, Any]]
) -> list[float] | None:
    rows = [*alone.values(), *together.values()]
    if not all(row.get("ci95") for row in rows):
        return None
    low, high = (
        {
            way: sum(float(row["ci95"][end]) for row in rows.values())
            for way, rows in (("alone", alone), ("together", together))
        }
        for end in (0, 1)
    )
    return [low["together"] / high["alone"], high["together"] / low["alone"]]
