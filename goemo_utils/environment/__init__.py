"""The environment doctor: what this machine is, what is wrong with it, and what fixes it.

Only the standard library is used, torch is imported in child processes alone, and every answer is
JSON-able. See notebook 00_environment.
"""

from __future__ import annotations

from typing import Any

from goemo_utils.environment import diagnosis
from goemo_utils.environment.checkup import check
from goemo_utils.environment.diagnosis import fallbacks

__all__ = ["check", "diagnose", "explain", "fallbacks"]


def diagnose(text: str) -> list[dict[str, Any]]:
    """The known Ascend messages in a log, most important first, as finding dictionaries; empty when
    none is in the table.
    """
    return [one.as_dict() for one in diagnosis.diagnose(text)]


def explain(text: str) -> list[dict[str, Any]]:
    """diagnose, but a text without a known message gives one finding with the id "unknown"."""
    return [one.as_dict() for one in diagnosis.explain(text)]
