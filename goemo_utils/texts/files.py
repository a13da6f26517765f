"""Files of texts, read one row at a time in constant memory."""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from goemo_utils.errors import TextsError, first_line
from goemo_utils.records.pairs import COLUMNS as PLUS
from goemo_utils.records.pairs import joined
from goemo_utils.texts import arrow
from goemo_utils.texts.json_files import rows as json_rows
from goemo_utils.texts.lines import check_file, lines

COLUMNS = ("text", "sentence", "comment", "content")
_LABEL_IDS = re.compile(r"\d{1,2}(,\d{1,2})*", re.ASCII)


class Row(NamedTuple):
    """One text and, where the file has them, its GoEmotions label ids."""

    text: str
    labels: list[int] | None = None


def read_texts(
    path: Path | str, column: str | None = None, limit: int | None = None
) -> Iterator[str]:
    """The texts of a file in its order, empty ones as ``""``, at most ``limit``; memory does not
    grow with the file.

    Raises:
        TextsError: at once when the path is no readable file of a known kind; while reading when
        the file is empty, is not UTF-8, lacks the column, or holds a row that is no text.
    """
    return (row.text for row in read_rows(path, column, limit))


def read_rows(
    path: Path | str, column: str | None = None, limit: int | None = None
) -> Iterator[Row]:
    """As ``read_texts``, with the labels of each text.

    The column is the one named, or numbered from 0 in a file without a header. Without ``column``
    it is the one called text, sentence, comment or content, or the only one; a headerless .tsv in
    the GoEmotions layout (text, comma-separated label ids, comment id) is recognised by its first
    rows. Two columns with a plus between them, ``sentence1+sentence2``, give pairs of texts.
    """
    path = Path(path)
    check_file(path, SUFFIXES)
    read = _READERS[path.suffix.lower()]
    if column is None or PLUS not in column or _reads(read, path, column):
        return itertools.islice(_checked(read(path, column), path), limit)

    first, second = (_checked(read(path, name), path) for name in column.split(PLUS, 1))
    pairs = zip(first, second, strict=True)

    return itertools.islice((Row(joined(a.text, b.text), a.labels) for a, b in pairs), limit)


def _reads(read: Callable[[Path, str | None], Iterator[Any]], path: Path, column: str) -> bool:
    """Whether a column has this very name, with its plus sign."""
    try:
        next(read(path, column), None)
    except TextsError:
        return False
    return True


def _checked(rows: Iterator[tuple[str, Any, Any]], path: Path) -> Iterator[Row]:
    """Rows whose text is sound Unicode without NUL; a file without any row is an error."""
    place = None
    for place, text, labels in rows:
        check_text(text, path, place)
        yield Row(text, _ids(labels))
    if place is None:
        raise TextsError(
            f"{path} holds no texts; expected at least one row. Check that it was written"
            " completely."
        )


def _ids(labels: Any) -> list[int] | None:
    """A list of whole numbers from 0, or of marks (1.0, true), as ints; None for anything else."""
    if not isinstance(labels, list):
        return None
    sound = all(
        (type(label) is int and label >= 0) or (isinstance(label, bool | float) and label in (0, 1))
        for label in labels
    )
    return [int(label) for label in labels] if sound else None


def check_text(text: Any, path: Path | str, place: str) -> None:
    """Raise TextsError unless ``text`` is a str of sound Unicode without NUL."""
    if not isinstance(text, str):
        raise TextsError(
            f"{path}, {place}: the value is {kind(text)}; expected a text. Correct the row, or"
            " choose another column."
        )
    if "\0" in text:
        raise TextsError(
            f"{path}, {place}: holds a NUL character; expected plain text. Remove it, or save the"
            " file again as UTF-8."
        )

    try:
        text.encode()
    except UnicodeEncodeError:
        raise TextsError(
            f"{path}, {place}: holds half of a surrogate pair; expected valid Unicode. Correct the"
            " row."
        ) from None


def _txt_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    if column is not None:
        raise TextsError(
            f"{path} has no columns, but column {listed([column])} was asked for; expected none for"
            " .txt. Leave the column out."
        )
    for number, line in enumerate(lines(path, None), 1):
        yield f"line {number}", line.rstrip("\n"), None


def _table_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    rows = table_rows(path)
    first = list(itertools.islice(rows, 20))
    filled = [row for _, row in first if row]
    if not filled:
        return

    layout = is_goemotions(path, filled)
    index, header = (
        (0, False) if layout and column is None else _table_column(path, filled[0], column)
    )
    for place, row in itertools.chain(first, rows):
        if header and row:
            header = False
            continue
        if row and index >= len(row):
            raise TextsError(
                f"{path}, {place}: has {len(row)} columns; expected at least {index + 1}. Correct"
                " the row: a text with a delimiter needs quotes."
            )
        if header:
            continue
        labels = (
            [int(number) for number in row[1].split(",")]
            if layout and len(row) == 3 and _LABEL_IDS.fullmatch(row[1])
            else None
        )
        yield place, row[index] if row else "", labels


def is_goemotions(path: Path, rows: list[list[str]]) -> bool:
    """Whether the first rows have the GoEmotions layout: a .tsv of text, comma-separated label ids
    and comment id, without a header.
    """
    return path.suffix.lower() == ".tsv" and all(
        len(row) == 3 and _LABEL_IDS.fullmatch(row[1]) for row in rows
    )


def table_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The place ("line 7") and the cells of each row of a .csv or .tsv file, a header included; an
    empty line has no cell.
    """
    reader = csv.reader(
        lines(path, ""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
    )

    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field larger" in str(error):
                raise TextsError(
                    f"{path}, line {start}: has a cell of more than {csv.field_size_limit():,}"
                    " characters; expected one text a cell, which a quotation mark that is never"
                    " closed prevents. Correct the row, or give the texts as .jsonl."
                ) from None
            raise TextsError(
                f"{path}, line {start}: is no row of a table ({error}); expected fields quoted as"
                " the csv format quotes. Correct it."
            ) from None
        yield f"line {start}", row


def _table_column(path: Path, first: list[str], column: str | None) -> tuple[int, bool]:
    """Index of the column of texts, and whether the first row is a header."""
    names = [cell.strip() for cell in first]
    numbered = column is not None and re.fullmatch(r"[0-9]{1,6}", column)
    if numbered and int(numbered[0]) < len(first):
        return int(numbered[0]), False
    if column is not None and column in names:
        return names.index(column), True
    if column is not None:
        raise _no_column(path, column, names)

    found = known_column(names)
    if found is not None:
        return names.index(found), True
    if len(first) == 1:
        return 0, False

    raise _no_column(path, None, names)


def known_column(names: list[str]) -> str | None:
    """The column that is called as a column of texts is; None without one."""
    return next((name for known in COLUMNS for name in names if name.lower() == known), None)


def _chosen(path: Path | str, column: str | None, names: list[str]) -> str:
    """The column of texts among ``names``: as asked, the one called so, or the only one."""
    only = names[0] if len(names) == 1 else None
    name = column if column is not None else known_column(names) or only
    if name is None or name not in names:
        raise _no_column(path, column, names)
    return name


def listed(names: list[str]) -> str:
    """The columns that there are, for an error: the first twenty, long ones cut."""
    return (
        ", ".join(repr(name if len(name) <= 40 else name[:37] + "...") for name in names[:20])
        or "none"
    )


def _no_column(path: Path | str, column: str | None, names: list[str]) -> TextsError:
    wanted = (
        f"has no column {listed([column])}"
        if column is not None
        else f"has no column called {', '.join(COLUMNS)}"
    )
    return TextsError(
        f"{path} {wanted}; its first row or its fields are {listed(names)}. Name the column of"
        " texts, or give its number from 0 if there is no header."
    )


def _json_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    for place, value in json_rows(path):
        if not isinstance(value, dict):
            yield place, value, None
            continue
        name = _chosen(f"{path}, {place}:", column, list(value))
        yield place, value[name], value.get("labels")


def _parquet_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    arrow.require()
    from pyarrow import parquet

    try:
        # Without a buffer, or with all row groups asked for at once, pyarrow holds the whole file.
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            names = file.schema_arrow.names
            name = _chosen(path, column, names)
            if names.count(name) > 1 or names.count("labels") > 1:
                raise TextsError(
                    f"{path} has two columns of one name; its columns are {listed(names)}. Write it"
                    " again with one column of texts."
                )
            wanted = [name, "labels"] if "labels" in names and name != "labels" else [name]
            number = 0
            groups = (
                file.iter_batches(batch_size=1024, row_groups=[group], columns=wanted)
                for group in range(file.num_row_groups)
            )
            for batch in itertools.chain.from_iterable(groups):
                columns = {key: batch.column(key).to_pylist() for key in wanted}
                marks = columns.get("labels", itertools.repeat(None))
                for text, labels in zip(columns[name], marks, strict=False):
                    yield f"row {number}", text, labels
                    number += 1
    except TextsError:
        raise
    except Exception as error:  # pyarrow has its own, and lets those of Python's types through
        raise TextsError(
            f"{path} is not a readable .parquet file ({first_line(error)}); expected Parquet. Write"
            " it again."
        ) from None


def kind(value: Any) -> str:
    """What a value is, in words for an error."""
    kinds = {
        type(None): "empty (null)",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
        bytes: "bytes",
    }
    return kinds.get(type(value), f"of type {type(value).__name__}")


_READERS: dict[str, Callable[[Path, str | None], Iterator[tuple[str, Any, Any]]]] = {
    ".txt": _txt_rows,
    ".csv": _table_rows,
    ".tsv": _table_rows,
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".parquet": _parquet_rows,
}
SUFFIXES = tuple(_READERS)
