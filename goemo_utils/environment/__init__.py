"""The environment doctor: what this machine is, what is wrong with it, and what fixes it.

Only the standard library is used, torch is imported in child processes alone, and every answer is
JSON-able. See notebook 00_environment.
"""

from __future__ import annotations

from typing import Any

from goemo_utils import on_first_use

__all__ = ["check", "diagnose", "explain", "fallbacks"]


def diagnose(text: str) -> list[dict[str, Any]]:
    """The known Ascend messages in a log, most important first, as finding dictionaries; empty when
    none is in the table.
    """
    from goemo_utils.environment import diagnosis

    return [one.as_dict() for one in diagnosis.diagnose(text)]


def explain(text: str) -> list[dict[str, Any]]:
    """diagnose, but a text without a known message gives one finding with the id "unknown"."""
    from goemo_utils.environment import diagnosis

    return [one.as_dict() for one in diagnosis.explain(text)]


__getattr__ = on_first_use(__name__, {"check": "checkup", "fallbacks": "diagnosis"})
