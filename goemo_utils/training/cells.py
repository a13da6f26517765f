"""What a label cell says: no label, one, or several, each as a text."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.texts.files import kind
from goemo_utils.training.table import Table, is_missing

SEPARATORS = ("|", ";", ",")
MISSING = ("nan", "<na>")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_HOT = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def read_cells(
    table: Table, known: Collection[str] = (), empty_is_none: bool = False, one: bool = False
) -> tuple[list[list[str]], bool]:
    """The labels of each row as texts, and whether the table keeps lists.

    A list is a list; a text is a JSON list, ``['joy', 'love']``, ``[1 7]``, one of the ``known``
    names, or names parted by the first of | ; , that the column has anywhere, but for ``one`` label
    a text, where the whole cell is its name; a number is its digits (1.0 is 1). Raises TextsError
    with the row for a missing label, and for an empty cell unless ``empty_is_none``.
    """
    if table.hot is not None:
        return [_hot(table, row, cell) for row, cell in enumerate(table.cells)], table.listed
    plain = [cell for cell in table.cells if isinstance(cell, str) and not bracketed(cell)]
    met = [sign for sign in SEPARATORS if any(sign in cell for cell in plain)]
    separator = None if not met or (one and not known) else met[0]
    seen: dict[str, list[str]] = {}
    found, is_list = [], table.listed

    for row, cell in enumerate(table.cells):
        if bracketed(cell) and cell.strip() not in known:
            cell = members(cell.strip())
        is_list = (
            is_list or isinstance(cell, (list, set, frozenset)) or type(cell).__name__ == "ndarray"
        )
        if not isinstance(cell, str):
            found.append(_several(table, row, cell))
            continue

        if cell not in seen:
            seen[cell] = _text(cell.strip(), known, separator)
            if not seen[cell] and (cell.strip() or not empty_is_none):
                raise _missing(table, row, cell)

        found.append(seen[cell])

    return found, is_list


def bracketed(cell: Any) -> bool:
    """Whether a cell is a text in square brackets."""
    return isinstance(cell, str) and cell.strip()[:1] == "[" and cell.strip()[-1:] == "]"


def _text(cell: str, known: Collection[str], separator: str | None) -> list[str]:
    if cell in known:
        return [cell]
    if cell.lower() in MISSING:
        return []
    parts = cell.split(separator) if separator else [cell]
    return [whole(part.strip()) for part in parts if part.strip()]


def members(cell: str) -> list[Any]:
    """The members of a list that was written as a text: by JSON, by Python, or by NumPy, which
    parts them with blanks.

    A name in quotes is a name, "nan" too; without quotes nan is a missing label.
    """
    try:
        return list(json.loads(cell))
    except (ValueError, RecursionError):
        inner = cell[1:-1].strip()

    if quoted := _QUOTED.findall(inner):
        return [single or double for single, double in quoted]
    if "," in inner:
        bare = [part.strip() for part in inner.split(",") if part.strip()]
    else:
        bare = inner.split() if re.fullmatch(r"[-+\d.\s]*", inner) else [inner]

    return [None if part.lower() in MISSING else part for part in bare]


def whole(text: str) -> str:
    """An integer without what a float of pandas adds: "1.0" is "1"; everything else as it is, "01"
    too.
    """
    return text.split(".")[0].removeprefix("+") if _WHOLE.fullmatch(text) else text


def _several(table: Table, row: int, cell: Any) -> list[str]:
    if is_missing(cell):
        raise _missing(table, row, cell)
    members = cell
    if isinstance(cell, (set, frozenset)):
        members = sorted(cell, key=str)
    elif hasattr(cell, "tolist"):
        members = cell.tolist()
    if not isinstance(members, (list, tuple)):
        members = [members]
    return [_one(table, row, member) for member in members]


def _one(table: Table, row: int, value: Any) -> str:
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if is_missing(value) or not str(value).strip():
        raise _missing(table, row, value)
    if not isinstance(value, (str, bool, int, float)):
        raise TextsError(
            f"{table.at(row)}: a label is {kind(value)}; expected a name, a number, or a list of"
            " them. Correct the row, or choose another label_column."
        )
    return whole(str(value).strip())


def _hot(table: Table, row: int, cells: tuple[Any, ...]) -> list[str]:
    found = []
    for name, cell in zip(table.hot or (), cells, strict=False):
        mark = _HOT.get(str(cell).strip().lower())
        if mark is None:
            raise TextsError(
                f"{table.at(row)}: column {name!r} holds {str(cell)!r:.40}; expected 0 or 1, since"
                " `labels` names it. Correct the row, or give label_column if the labels stand in"
                " one column."
            )
        if mark:
            found.append(name)
    return found


def _missing(table: Table, row: int, cell: Any) -> TextsError:
    said = "empty" if isinstance(cell, str) and not cell.strip() else f"{str(cell)!r}"
    return TextsError(
        f"{table.at(row)}: the label is {said}; expected a label. Correct or remove the row; if it"
        " means no label, write [] or set task to multi_label and leave the cell empty."
    )
