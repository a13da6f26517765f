"""From what label cells say to targets: which labels there are, in which order, and whether a text
has exactly one.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from goemo_utils.errors import TextsError
from goemo_utils.training.cells import read_cells, whole
from goemo_utils.training.marks import with_marks
from goemo_utils.training.table import Table

# Order and names: google-research-datasets/go_emotions, configuration "simplified" (27 emotions,
# then neutral).
LABELS = (
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
)
MANY = 50


@dataclass(frozen=True)
class Vocabulary:
    """The labels in their order, and where they come from in words; ``by_id`` if a number that is
    no name is a position.
    """

    names: tuple[str, ...]
    origin: str
    by_id: bool

    def find(self, value: str) -> int | None:
        """The position of a label given by its name or id; None when it is unknown."""
        if value in self.names:
            return self.names.index(value)
        number = int(value) if self.by_id and _is_number(value) else -1
        return number if 0 <= number < len(self.names) else None


def parse_names(labels: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The names in ``labels``, one text with commas or a sequence; a name that holds a comma stands
    in double quotes. Raises TextsError for an empty or a repeated name.
    """
    if labels is None:
        return None

    names = tuple(
        whole(str(name).strip())
        for name in (_parted(labels) if isinstance(labels, str) else labels)
    )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not names or "" in names or repeated:
        found = f"{repeated[0]!r} more than once" if repeated else "an empty name"
        raise TextsError(
            f"`labels` has {found} in {', '.join(names)!r}; expected different names with commas,"
            " in their order. Correct it."
        )

    return names


def _parted(labels: str) -> list[str]:
    """What stands between commas, as in a row of a .csv."""
    quoted = '"' in labels
    return next(csv.reader([labels], skipinitialspace=True)) if quoted else labels.split(",")


def mark(
    table: Table, labels: tuple[str, ...] | None, task: str, vocabulary: Vocabulary | None = None
) -> tuple[np.ndarray, Vocabulary, str]:
    """Targets float32 [n_texts, n_labels] of 0 and 1, the vocabulary, and the task, which is
    ``task`` unless that is auto.

    The vocabulary is the one given, as a dev table gets train's; else ``labels``; else the names
    the table declares; else what is found in it. auto is single_label when every text has exactly
    one label and the table keeps no lists. Raises TextsError naming source, row and label for a
    missing or unknown label, and for a row that contradicts the task.
    """
    table = _declared(table, labels)
    known = vocabulary.names if vocabulary else labels or table.names or ()
    table = with_marks(table, known)
    cells, is_list = read_cells(
        table, frozenset(known), empty_is_none=task == "multi_label", one=task == "single_label"
    )
    values = (
        cells
        if table.names is None
        else [_by_class(table, row, cell) for row, cell in enumerate(cells)]
    )

    vocabulary = vocabulary or _vocabulary(table, labels, values)
    _check_unicode(table, values)
    position = {
        value: vocabulary.find(value)
        for value in dict.fromkeys(itertools.chain.from_iterable(values))
    }
    unknown = {value for value, found in position.items() if found is None}

    if unknown:
        row, value = next(
            (row, value) for row, cell in enumerate(values) for value in cell if value in unknown
        )
        raise _unknown(table, row, value, vocabulary)

    targets = np.zeros((len(values), len(vocabulary.names)), np.float32)
    targets[
        np.repeat(np.arange(len(values)), [len(cell) for cell in values]),
        [place for cell in values for value in cell if (place := position[value]) is not None],
    ] = 1
    n_each = targets.sum(1)
    if task == "auto":
        task = "multi_label" if is_list or (n_each != 1).any() else "single_label"

    if task == "single_label" and (n_each != 1).any():
        row = int(np.flatnonzero(n_each != 1)[0])
        raise TextsError(
            f"{table.at(row)}: has {_count(values[row])}, but the task is single_label; expected"
            " exactly one. Set task to multi_label, or correct the row."
        )

    return targets, vocabulary, task


def _declared(table: Table, labels: tuple[str, ...] | None) -> Table:
    """The table with its classes renamed when ``labels`` has as many names and none of the declared
    ones.
    """
    if (
        labels
        and table.names
        and len(labels) == len(table.names)
        and not set(labels) & set(table.names)
    ):
        return replace(table, names=labels)
    return table


def _by_class(table: Table, row: int, cell: list[str]) -> list[str]:
    """The names of declared classes for their ids. -1 is how hidden labels are published."""
    own = Vocabulary(table.names or (), f"declared by {table.source}", True)
    if "-1" in cell:
        n_hidden = sum(str(other) in ("-1", "[-1]") for other in table.cells)
        raise TextsError(
            f"{table.at(row)}: the label is -1, which stands for a hidden or absent one, in"
            f" {n_hidden:,} of {len(table.cells):,} rows; expected an id from 0 to"
            f" {len(own.names) - 1}. Use a split with labels, such as train or validation, or"
            " remove these rows."
        )

    strange = [
        value for value in cell if _is_number(value) and not 0 <= int(value) < len(own.names)
    ]
    if strange:
        raise _unknown(table, row, strange[0], own)

    return [own.names[int(value)] if _is_number(value) else value for value in cell]


def _vocabulary(
    table: Table, labels: tuple[str, ...] | None, values: list[list[str]]
) -> Vocabulary:
    if labels:
        return Vocabulary(labels, "given in `labels`", not any(map(_is_number, labels)))
    if table.names:
        return Vocabulary(
            table.names, f"declared by {table.source}", not any(map(_is_number, table.names))
        )

    found = dict.fromkeys(itertools.chain.from_iterable(values))
    names = tuple(sorted(found, key=int) if all(map(_is_number, found)) else sorted(found))

    if not names:
        raise TextsError(
            f"{table.source} has {len(values):,} texts and none has a label; expected labels."
            " Choose another label_column."
        )

    if len(names) > max(MANY, len(values) // 2):
        raise TextsError(
            f"{table.source} has {len(names):,} different labels in {len(values):,} texts, such as"
            f" {names[0]!r:.40}; expected labels that many texts share. Choose another"
            " label_column."
        )

    return Vocabulary(names, f"found in {table.source}", False)


def _check_unicode(table: Table, values: list[list[str]]) -> None:
    """Half of a surrogate pair, which JSON can escape, fits into no file: neither config.json nor a
    record could be written.
    """
    broken = {
        value
        for value in set(itertools.chain.from_iterable(values))
        if any("\ud800" <= sign <= "\udfff" for sign in value)
    }

    if broken:
        row = next(row for row, cell in enumerate(values) if broken & set(cell))
        raise TextsError(
            f"{table.at(row)}: a label holds half of a surrogate pair; expected valid Unicode."
            " Correct the row."
        )


def _is_number(value: str) -> bool:
    return value.isascii() and value.removeprefix("-").isdigit()


def _count(labels: list[str]) -> str:
    return f"{len(set(labels))} labels ({', '.join(labels)})" if labels else "no label"


def _unknown(table: Table, row: int, value: str, vocabulary: Vocabulary) -> TextsError:
    shown = ", ".join(vocabulary.names[:40]) + (", …" if len(vocabulary.names) > 40 else "")
    numbers = f", or an id from 0 to {len(vocabulary.names) - 1}" if vocabulary.by_id else ""
    return TextsError(
        f"{table.at(row)}: label {value!r} is unknown; expected one of the {len(vocabulary.names)}"
        f" labels {vocabulary.origin}: {shown}{numbers}. Correct the row, or give every label in"
        " `labels`."
    )
