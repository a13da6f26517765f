"""A labelled table as it was read: texts, and beside each the cell of its label, not yet
understood.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from goemo_utils.errors import TextsError
from goemo_utils.texts.files import check_text


@dataclass(frozen=True)
class Table:
    """Rows in their order, empty texts left out.

    ``cells`` holds a label cell a row: a text, a number, a list, None, or with ``hot`` a tuple of
    0/1 cells, one for each of these labels. ``names`` are the names of the ids 0, 1, … where the
    source declares them. ``listed`` says that the source keeps lists of labels.
    """

    source: str
    texts: list[str]
    cells: list[Any]
    places: list[str]
    names: tuple[str, ...] | None = None
    hot: tuple[str, ...] | None = None
    listed: bool = False
    dropped: int = 0

    def at(self, row: int) -> str:
        """Where a row is, for an error: ``reviews.csv, line 7``."""
        return f"{self.source}, {self.places[row]}"


def collect(source: str, rows: Iterable[tuple[str, Any, Any]], **facts: Any) -> Table:
    """The table of rows (place, text, label cell); ``facts`` are names, hot and listed.

    Raises TextsError for a text that is no sound text, and when there is no row or no row with a
    text.
    """
    texts: list[str] = []
    cells: list[Any] = []
    places: list[str] = []
    dropped = 0

    for place, text, cell in rows:
        if is_missing(text) or (isinstance(text, str) and not text.strip()):
            dropped += 1
            continue
        check_text(text, source, place)
        texts.append(text)
        cells.append(cell)
        places.append(place)

    if not texts:
        found = f"{dropped:,} rows and every text is empty" if dropped else "no row"
        raise TextsError(
            f"{source} has {found}; expected at least one text with its labels. Check that it was"
            " written completely, and text_column."
        )

    return Table(source, texts, cells, places, dropped=dropped, **facts)


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN, or one of pandas' marks for a missing value."""
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__ in ("NAType", "NaTType")
    )
