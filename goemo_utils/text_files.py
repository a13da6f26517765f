"""Files of texts, read one row at a time in constant memory: .txt, .csv, .tsv, .jsonl and .parquet."""

import codecs
import csv
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from goemo_utils.errors import TextsError

COLUMNS = ("text", "sentence", "comment", "content")
LONGEST_LINE = 16 * 2**20
_UTF_32_OR_16 = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
_LABEL_IDS = re.compile(r"\d{1,2}(,\d{1,2})*", re.ASCII)


class Row(NamedTuple):
    """One text and, where the file has them, its GoEmotions label ids."""

    text: str
    labels: list[int] | None = None


def read_texts(path: Path | str, column: str | None = None, limit: int | None = None) -> Iterator[str]:
    """The texts of a file in its order, empty ones as ``""``, at most ``limit``; memory does not grow with the file.

    Raises:
        TextsError: at once when the path is no readable file of a known kind; while reading when the file is empty, is not
            UTF-8, lacks the column, or holds a row that is no text.
    """
    return (row.text for row in read_rows(path, column, limit))


def read_rows(path: Path | str, column: str | None = None, limit: int | None = None) -> Iterator[Row]:
    """As ``read_texts``, with the labels of each text.

    The column is the one named, or numbered from 0 in a file without a header. Without ``column`` it is the one called
    text, sentence, comment or content, or the only one; a headerless .tsv in the GoEmotions layout (text, comma-separated
    label ids, comment id) is recognised by its first rows.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if os.path.isdir(path):
        raise TextsError(f"{path} is a folder; expected a file of texts. Give the path of the file.")
    if not os.path.exists(path):
        raise TextsError(f"{path}: there is no such file; expected a file of texts. Check the path.")
    if reader is None:
        raise TextsError(f"{path} ends in {path.suffix or 'no suffix'!r}; expected one of {', '.join(_READERS)}. Convert it, or rename it if it is one of these.")
    try:
        size = path.stat().st_size
        head = path.open("rb").read(4) if path.is_file() else b""
    except OSError as error:
        raise TextsError(f"{path} cannot be read ({error.strerror}); expected a readable file of texts. Check its permissions.") from None
    if path.is_file() and size == 0:
        raise TextsError(f"{path} is empty; expected at least one text. Check that it was written completely.")
    encoding = next((name for mark, name in _UTF_32_OR_16 if head.startswith(mark)), None)
    if encoding and reader is not _parquet_rows:
        raise TextsError(f"{path} is {encoding} (byte-order mark at byte 0, line 1); expected UTF-8. Save it again as UTF-8.")
    return itertools.islice(_checked(reader(path, column), path), limit)


def _checked(rows: Iterator[tuple[str, Any, Any]], path: Path) -> Iterator[Row]:
    """Rows whose text is sound Unicode without NUL; a file without any row is an error."""
    place = None
    for place, text, labels in rows:
        if not isinstance(text, str):
            raise TextsError(f"{path}, {place}: the value is {_kind(text)}; expected a text. Correct the row, or choose another column.")
        if "\0" in text:
            raise TextsError(f"{path}, {place}: holds a NUL character; expected plain text. Remove it, or save the file again as UTF-8.")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TextsError(f"{path}, {place}: holds half of a surrogate pair; expected valid Unicode. Correct the row.") from None
        sound = isinstance(labels, list) and all(type(label) is int and label >= 0 for label in labels)
        yield Row(text, labels if sound else None)
    if place is None:
        raise TextsError(f"{path} holds no texts; expected at least one row. Check that it was written completely.")


def _lines(path: Path, newline: str | None) -> Iterator[str]:
    """Decoded lines with their line ends; a wrong byte is reported with its offset and line."""
    with path.open(encoding="utf-8-sig", newline=newline) as file:
        for number in itertools.count(1):
            try:
                line = file.readline(LONGEST_LINE)
            except UnicodeDecodeError as error:
                raise _wrong_byte(path, error) from None
            if not line:
                return
            if len(line) == LONGEST_LINE:
                raise TextsError(f"{path}, line {number}: is longer than {LONGEST_LINE} characters; expected one text a line. Check the line ends.")
            if "\0" in line:
                raise TextsError(f"{path}, line {number}: holds a NUL character; expected UTF-8 text. It may be binary, or UTF-16: save it as UTF-8.")
            yield line


def _wrong_byte(path: Path, error: UnicodeDecodeError) -> TextsError:
    """Decode again from the start, counting, since the text layer knows neither offset nor line."""
    decoder, offset, line, block = codecs.getincrementaldecoder("utf-8")(), 0, 1, b"-"
    with path.open("rb") as file:
        while block:
            block, kept = file.read(2**16), len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as found:
                error, offset = found, offset - kept + found.start
                line += block[: max(found.start - kept, 0)].count(b"\n")
                break
            offset, line = offset + len(block), line + block.count(b"\n")
    byte = error.object[error.start]
    return TextsError(f"{path}, line {line}: byte {offset} (0x{byte:02x}) is not UTF-8; expected UTF-8, with or without byte-order mark. "
                      "Save it again as UTF-8; it may be Latin-1, Windows-1252 or GBK.")


def _txt_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    if column is not None:
        raise TextsError(f"{path} has no columns, but column {column!r} was asked for; expected none for .txt. Leave the column out.")
    for number, line in enumerate(_lines(path, None), 1):
        yield f"line {number}", line.rstrip("\n"), None


def _table_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    reader = csv.reader(_lines(path, ""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    rows = _csv_rows(path, reader)
    first = list(itertools.islice(rows, 20))
    filled = [row for _, row in first if row]
    if not filled:
        return
    layout = path.suffix.lower() == ".tsv" and all(len(row) == 3 and _LABEL_IDS.fullmatch(row[1]) for row in filled)
    index, header = (0, False) if layout and column is None else _table_column(path, filled[0], column)
    for place, row in itertools.chain(first, rows):
        if header and row:
            header = False
            continue
        if row and index >= len(row):
            raise TextsError(f"{path}, {place}: has {len(row)} columns; expected at least {index + 1}. Correct the row: a text with a delimiter needs quotes.")
        if header:
            continue
        labels = [int(number) for number in row[1].split(",")] if layout and len(row) == 3 and _LABEL_IDS.fullmatch(row[1]) else None
        yield place, row[index] if row else "", labels


def _csv_rows(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TextsError(f"{path}, line {start}: is no row of a table ({error}); expected fields quoted as the csv format quotes. Correct it.") from None
        yield f"line {start}", row


def _table_column(path: Path, first: list[str], column: str | None) -> tuple[int, bool]:
    """Index of the column of texts, and whether the first row is a header."""
    names = [cell.strip() for cell in first]
    if column is not None and column.isascii() and column.isdigit() and int(column) < len(first):
        return int(column), False
    if column is not None and column in names:
        return names.index(column), True
    if column is not None:
        raise _no_column(path, column, names)
    found = _known_column(names)
    if found is not None:
        return names.index(found), True
    if len(first) == 1:
        return 0, False
    raise _no_column(path, None, names)


def _known_column(names: list[str]) -> str | None:
    return next((name for known in COLUMNS for name in names if name.lower() == known), None)


def _no_column(path: Path, column: str | None, names: list[str]) -> TextsError:
    listed = ", ".join(repr(name if len(name) <= 40 else name[:37] + "...") for name in names[:20]) or "none"
    wanted = f"has no column {column!r}" if column is not None else f"has no column called {', '.join(COLUMNS)}"
    return TextsError(f"{path} {wanted}; its first row or its fields are {listed}. Name the column of texts, or give its number from 0 if there is no header.")


def _jsonl_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    for number, line in enumerate(_lines(path, "\n"), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "too deep or too large"
            raise TextsError(f"{path}, {place}: is not JSON ({reason}); expected one object a line. Correct the line.") from None
        if not isinstance(value, dict):
            yield place, value, None
            continue
        name = column if column is not None else _known_column(list(value)) or (next(iter(value)) if len(value) == 1 else None)
        if name not in value:
            raise _no_column(f"{path}, {place}:", column, list(value))
        yield place, value[name], value.get("labels")


def _parquet_rows(path: Path, column: str | None) -> Iterator[tuple[str, Any, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        # Without a buffer, or with all row groups asked for at once, pyarrow holds the whole file.
        with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            names = file.schema_arrow.names
            name = column if column is not None else _known_column(names) or (names[0] if len(names) == 1 else None)
            if name not in names:
                raise _no_column(path, column, names)
            wanted = [name, "labels"] if "labels" in names and name != "labels" else [name]
            number = 0
            groups = (file.iter_batches(batch_size=1024, row_groups=[group], columns=wanted) for group in range(file.num_row_groups))
            for batch in itertools.chain.from_iterable(groups):
                columns = {key: batch.column(key).to_pylist() for key in wanted}
                for text, labels in zip(columns[name], columns.get("labels", itertools.repeat(None))):
                    yield f"row {number}", text, labels
                    number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise TextsError(f"{path} is not a readable .parquet file ({str(error).splitlines()[0]}); expected Parquet. Write it again.") from None


def _kind(value: Any) -> str:
    kinds = {type(None): "empty (null)", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes"}
    return kinds.get(type(value), f"of type {type(value).__name__}")


_READERS: dict[str, Callable[[Path, str | None], Iterator[tuple[str, Any, Any]]]] = {
    ".txt": _txt_rows, ".csv": _table_rows, ".tsv": _table_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows,
}
