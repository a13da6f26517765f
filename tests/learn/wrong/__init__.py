"""Typical wrong answers to the exercises, one module an exercise: what stands in which cell, and
what the check says to it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """A typical mistake: the cells that differ from the solution, and a part of what is said."""

    mistake: str
    cells: dict[str, str]
    says: str
