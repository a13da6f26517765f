"""A table whose label cells are lists of 0 and 1: marks over the labels, as Trainer's multi-label
examples and simpletransformers write them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.texts.marks import are_marks
from goemo_utils.training.cells import bracketed, members
from goemo_utils.training.table import Table


def with_marks(table: Table, names: Collection[str]) -> Table:
    """The table with 0/1 columns where its cells are lists of marks over ``names``; else as it is.

    Raises TextsError where the marks have no names, or a row has not one for each: read as ids they
    would train other targets, unsaid.
    """
    if table.hot is not None:
        return table
    lists = [_list(cell) for cell in table.cells]
    if any(cell is None for cell in lists):
        return table
    rows = [cell for cell in lists if cell is not None]
    if not are_marks(rows):
        return table

    count = len(names) or len(rows[0])
    for number, row in enumerate(rows):
        if len(row) != count:
            raise TextsError(
                f"{table.at(number)}: holds {len(row)} marks of 0 and 1, and"
                f" {_against(count, bool(names))}; expected one a label in every row. Correct the"
                " row, or write the labels' names or ids."
            )
    if not names:
        raise TextsError(
            f"{table.source}: each label cell holds {count} marks of 0 and 1, and nothing names"
            f" them; expected `labels` with {count} names in their order. Give them."
        )
    cells: list[Any] = [tuple(row) for row in rows]
    return replace(table, cells=cells, hot=tuple(names), listed=True)


def _against(count: int, named: bool) -> str:
    return f"there are {count} labels" if named else f"the first row holds {count}"


def _list(cell: Any) -> Sequence[Any] | None:
    """The members of a list cell, numbers as numbers; None for a cell that is no list."""
    if bracketed(cell):
        return [_number(member) for member in members(cell.strip())]
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    return cell if isinstance(cell, list) else None


def _number(member: Any) -> Any:
    """0 and 1 written as text, as NumPy prints them, are numbers."""
    texts = {"0": 0, "1": 1, "0.": 0, "1.": 1, "0.0": 0, "1.0": 1}
    return texts.get(member, member) if isinstance(member, str) else member
