"""What a device makes of a rung, in words, and which rungs it can be asked about."""

from __future__ import annotations

from typing import Any

# Another engine, or something beside the model, is no part of what a device computes.
PORTED = ("float32", "bfloat16")
NOT_PORTED = "only the CPU runs it"


def sentence(found: dict[str, Any] | None) -> str:
    """The verdict in a cell, with the causes that were found and the gates that were not met:
    ``SIMULATED: pass-with-cause (tanh_gelu)``; a dash where nothing was asked.
    """
    if found is None:
        return "–"
    if found.get("reason"):
        return str(found["reason"])
    named = [*found["causes"], *(f"gate {gate}" for gate in found.get("failed", []))]
    because = f" ({', '.join(named)})" if named else ""
    return f"{'SIMULATED: ' if found['simulated'] else ''}{found['verdict']}{because}"


def ported(way: dict[str, Any]) -> bool:
    """Whether the way that a rung is run is a model in a dtype that devices compute."""
    return way["kind"] == "classifier" and way["dtype"] in PORTED and "backend" not in way
