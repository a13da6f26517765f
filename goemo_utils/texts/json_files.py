"""Files of JSON: one object a line (.jsonl), and the forms that a .json file has: an array, lines,
or an object of columns, as the datasets library and pandas read and write them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.texts.lines import lines, whole

FORMS = (
    "an array of objects or texts, one object a line, or an object of columns of the same length"
)


def rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The place ("line 7", "row 3") and the value of each row of a .jsonl or .json file.

    Lines are read one at a time; the other forms of a .json file are held whole.
    """
    if path.suffix.lower() != ".json" or _holds_lines(path):
        return _lines(path)
    return _rows_of(path, _value(path))


def _holds_lines(path: Path) -> bool:
    """Whether a .json file is one object a line: its first line is a whole object, and more follow
    or it is no table by itself.
    """
    filled = (line for line in lines(path, "\n") if line.strip())
    try:
        first = next(filled, "")
        value = json.loads(first)
    except (ValueError, RecursionError, TextsError):
        return False
    if not isinstance(value, dict):
        return False
    return next(filled, None) is not None or not _nested(value)


def _value(path: Path) -> Any:
    try:
        return json.loads(whole(path))
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TextsError(
            f"{path} is not JSON{place}; expected {FORMS}. Check that it was written completely."
        ) from None


def _rows_of(path: Path, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        yield from ((f"row {number}", row) for number, row in enumerate(value))
        return

    columns = _columns(value) if isinstance(value, dict) else None
    if columns:
        names = list(columns)
        for number, cells in enumerate(zip(*columns.values(), strict=True)):
            yield f"row {number}", dict(zip(names, cells, strict=True))
        return
    if isinstance(value, dict) and not _nested(value):
        yield "row 0", value
        return

    raise TextsError(
        f"{path} holds no table: expected {FORMS}. Write the rows alone, or as .jsonl."
    )


def _columns(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """The columns of an object of lists, or of pandas' objects by index; None for anything else."""
    columns: dict[str, list[Any]] = {}
    for name, cells in value.items():
        if isinstance(cells, dict):
            columns[name] = list(cells.values())
        elif isinstance(cells, list):
            columns[name] = cells
        else:
            return None
    return columns if len({len(cells) for cells in columns.values()}) == 1 else None


def _nested(value: dict[str, Any]) -> bool:
    """Whether an object holds nothing but lists and objects, so that it is no row of a table."""
    return bool(value) and all(isinstance(cells, list | dict) for cells in value.values())


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The place ("line 7") and the value of each line of a .jsonl file that is not blank."""
    for number, line in enumerate(lines(path, "\n"), 1):
        if not line.strip():
            continue

        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = (
                f"{error.msg} at column {error.colno}"
                if isinstance(error, json.JSONDecodeError)
                else "too deep or too large"
            )
            raise TextsError(
                f"{path}, line {number}: is not JSON ({reason}); expected one object a line."
                " Correct the line."
            ) from None

        yield f"line {number}", value
