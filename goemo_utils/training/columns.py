"""Which columns of a table hold the texts and the labels."""

from __future__ import annotations

from dataclasses import dataclass

from goemo_utils.errors import TextsError
from goemo_utils.texts.files import COLUMNS, known_column, listed

LABEL_COLUMNS = (
    "label",
    "labels",
    "emotion",
    "emotions",
    "sentiment",
    "sentiments",
    "target",
    "targets",
    "class",
    "classes",
    "category",
    "categories",
    "topic",
    "intent",
    "rating",
    "stars",
)


@dataclass(frozen=True)
class Asked:
    """What the user said about a table: columns by name or number from 0, and the names of the
    labels in their order; None where nothing.
    """

    text: str | None = None
    label: str | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Columns:
    """Positions of the text and of the label, or with ``hot`` of one 0/1 column for each label
    asked; ``header`` if the first row names them.
    """

    text: int
    label: tuple[int, ...]
    hot: bool = False
    header: bool = True


def choose(source: str, names: list[str], asked: Asked, numbers: bool = True) -> Columns:
    """Find the columns among ``names``: the names of the columns, or the first row of a file that
    may have no header.

    A column that was not asked for is found by its usual name, or because a table of two columns
    leaves only one. Labels that are all names of columns mean 0/1 columns. With ``numbers`` a
    number counts columns before it is a name, as in a file without a header. Raises TextsError with
    the columns there are.
    """
    names = [str(name).strip() for name in names]
    text, text_named = _find(source, names, asked.text, "text_column", numbers)
    hot = asked.label is None and asked.labels is not None and set(asked.labels) <= set(names)
    label, label_named = None, True
    if not hot:
        label, label_named = _find(source, names, asked.label, "label_column", numbers)

    others = [name for i, name in enumerate(names) if i != label]
    if text is None and (known := known_column(others)) is not None:
        text, text_named = names.index(known), True

    if label is None and not hot and (known := _known_label(names, text)) is not None:
        label, label_named = names.index(known), True
    if len(names) == 2 and not hot:
        text, label = _of_two(text, label)
    if text is None:
        raise _absent(source, names, "texts", "text_column")
    if label is None and not hot:
        raise _absent(source, names, "labels", "label_column", _half_hot(names, asked.labels))

    if text == label:
        raise TextsError(
            f"{source}: text_column and label_column are the same column, {names[text]!r}; expected"
            f" two. Its columns are {listed(names)}."
        )

    hot_names = (asked.labels or ()) if hot else ()
    named = [
        names[i]
        for i, by_name in ((text, text_named), (label, label_named))
        if i is not None and (by_name or not numbers)
    ]
    named += hot_names

    _check_once(source, names, named)

    if label is None:
        return Columns(text, tuple(names.index(name) for name in hot_names), hot, header=True)

    named_in_file = names[text].lower() in COLUMNS or names[label].lower() in LABEL_COLUMNS
    header = text_named or label_named or named_in_file
    return Columns(text, (label,), hot, header)


def _of_two(text: int | None, label: int | None) -> tuple[int | None, int | None]:
    """Of a table with two columns the one that is not found is the other one."""
    if text is None and label is not None:
        return 1 - label, label
    if label is None and text is not None:
        return text, 1 - text
    return text, label


def _check_once(source: str, names: list[str], named: list[str]) -> None:
    if twice := [name for name in named if names.count(name) > 1]:
        raise TextsError(
            f"{source} has {names.count(twice[0])} columns called {twice[0]!r}; expected one. Its"
            f" columns are {listed(names)}. Rename or remove one."
        )


def _find(
    source: str, names: list[str], asked: str | None, key: str, numbers: bool
) -> tuple[int | None, bool]:
    """Position of the column asked for, and whether it was found by its name."""
    if asked is None:
        return None, False

    number = int(asked) if asked.isascii() and asked.isdigit() and int(asked) < len(names) else None
    if asked in names and (number is None or not numbers):
        return names.index(asked), True
    if number is None:
        raise TextsError(
            f"{source} has no column {asked!r}; its first row or its fields are {listed(names)}."
            f" Correct {key}, or give the column's number from 0 if there is no header."
        )

    return number, False


def _known_label(names: list[str], text: int | None) -> str | None:
    return next(
        (
            name
            for known in LABEL_COLUMNS
            for i, name in enumerate(names)
            if i != text and name.lower() == known
        ),
        None,
    )


def _half_hot(names: list[str], labels: tuple[str, ...] | None) -> str:
    absent = [name for name in labels or () if name not in names]
    return (
        f" Of the names in `labels` it has columns for all but {listed(absent)}."
        if labels and len(absent) < len(labels)
        else ""
    )


def _absent(source: str, names: list[str], what: str, key: str, also: str = "") -> TextsError:
    usual = (
        "text, sentence, comment or content"
        if what == "texts"
        else "label, emotion, sentiment, target, class or category"
    )

    if len(names) == 1 and (sign := next((sign for sign in ";\t|," if sign in names[0]), None)):
        also += (
            f" It is one column that holds {sign!r}: a .csv is parted by commas, a .tsv by tabs."
            " Write it again so."
        )

    hot = (
        ""
        if what == "texts"
        else ", or name in `labels` the columns that hold 0 or 1 for a label each"
    )

    return TextsError(
        f"{source} has no column of {what} with a usual name ({usual}); its first row or its fields"
        f" are {listed(names)}.{also} Give its name as {key}{hot}, or its number from 0 if there is"
        " no header."
    )
