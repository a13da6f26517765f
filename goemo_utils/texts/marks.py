"""Label lists that are marks, 0 or 1 for each label in order, and not the labels' ids."""

from collections.abc import Sequence
from typing import Any


def are_marks(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether lists of 0 and 1 mark labels: ``[1, 0, 0]`` for the first of three.

    Nothing but 0 and 1 (true, false, 1.0) stands in them, and some list repeats a value, which ids
    never do, or all are of one length above 1. ``[0]``, ``[1]`` and ``[]`` are ids.
    """
    if not any(rows) or not all(_mark(value) for row in rows for value in row):
        return False
    lengths = {len(row) for row in rows}
    repeated = any(len({float(value) for value in row}) < len(row) for row in rows)
    return repeated or (len(lengths) == 1 and lengths != {1})


def _mark(value: Any) -> bool:
    return isinstance(value, bool | int | float) and value in (0, 1)


def ids_of(row: Sequence[Any]) -> list[int]:
    """The positions that are marked."""
    return [position for position, value in enumerate(row) if value]
