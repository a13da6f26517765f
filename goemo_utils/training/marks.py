"""A table whose label cells are lists of 0 and 1: marks over the labels, as Trainer's multi-label
examples and simpletransformers write them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.texts.marks import are_marks
from goemo_utils.training.cells import bracketed, members
from goemo_utils.training.table import Table

DIGIT = r"[01](?:\.0*)?"
OPEN = ("[", "(")
# One row of marks in one cell, with or without brackets: ``[0, 1, 0]``, ``(0, 1)``, ``0 1 0``.
ROW = rf"[\[(]?\s*{DIGIT}(?:[\s,;|]+{DIGIT})+[\s,]*[\])]?|\[\s*{DIGIT}\s*\]|\[\s*\]"


def with_marks(table: Table, names: Collection[str]) -> Table:
    """The table with 0/1 columns where its cells are lists of marks over ``names``; else as it is.

    Raises TextsError where the marks have no names, or a row has not one for each: read as ids they
    would train other targets, unsaid.
    """
    if table.hot is not None:
        return table
    alone = next(iter(names)) if len(names) == 1 and table.names is None else None
    if alone and (one := _of_one(table.cells, alone)) is not None:
        return replace(table, cells=one, hot=(alone,), listed=True)
    digits = any(re.fullmatch(DIGIT, name) for name in names)
    lists = [_list(cell, digits) for cell in table.cells]
    if any(cell is None for cell in lists):
        return table
    rows = [cell for cell in lists if cell is not None]
    # Without brackets only a repeated value tells a list of marks from one of ids.
    bare = any(isinstance(cell, str) and not cell.strip().startswith(OPEN) for cell in table.cells)
    if not are_marks(rows) or (bare and not any(len(set(row)) < len(row) for row in rows)):
        _check_once(table, rows, len(names))
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


def _of_one(cells: Sequence[Any], name: str) -> list[Any] | None:
    """The marks of a table with a single label, as ``toxic``: 0 or 1 in every cell, alone or in a
    list; None where something else stands there. As ids 0 and 1 would be two labels.
    """
    read = [re.fullmatch(rf"\[?\s*({DIGIT})\s*\]?", _plain(cell)) for cell in cells]
    if name in ("0", "1") or not all(read):
        return None
    return [(float(one[1]),) for one in read if one]


def _plain(cell: Any) -> str:
    """A cell as text, truth values as digits."""
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    alone = cell[0] if isinstance(cell, list) and len(cell) == 1 else cell
    return str(int(alone) if isinstance(alone, bool) else alone).strip()


def _check_once(table: Table, rows: Sequence[Sequence[Any]], labels: int) -> None:
    """Raise TextsError for rows of one number a label in which a number stands twice: counts of
    votes, such as ``[2, 0, 0]``, and no ids.
    """
    if labels < 2 or any(len(row) != labels for row in rows):
        return
    for number, row in enumerate(rows):
        numbers = [value for value in row if isinstance(value, int | float)]
        if len(numbers) == labels and len(set(numbers)) < labels:
            raise TextsError(
                f"{table.at(number)}: holds {list(row)}, one number for each of the {labels} labels"
                " and not 0 or 1 alone; expected marks of 0 and 1, or ids, each once. Make marks of"
                " the counts, such as 1 where at least two annotators agree."
            )


def _against(count: int, named: bool) -> str:
    return f"there are {count} labels" if named else f"the first row holds {count}"


def _list(cell: Any, digits: bool) -> Sequence[Any] | None:
    """The members of a list cell, numbers as numbers; None for a cell that is no list. Digits as
    text are marks too, unless ``digits`` name labels.
    """
    if isinstance(cell, str):
        if not digits and re.fullmatch(ROW, cell.strip()):
            return [float(digit) for digit in re.findall(DIGIT, cell)]
        return members(cell.strip()) if bracketed(cell) else None
    if hasattr(cell, "tolist"):
        cell = cell.tolist()
    if not isinstance(cell, list):
        return None
    written = not digits and all(isinstance(one, str) and re.fullmatch(DIGIT, one) for one in cell)
    return [float(one) for one in cell] if written else cell
