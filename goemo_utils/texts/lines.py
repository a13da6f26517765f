"""Decoded lines of a file, and what must hold before the first of them is read."""

import codecs
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from goemo_utils.boundary.regular import open_regular, read_regular, what_is
from goemo_utils.errors import TextsError

LONGEST_LINE = 16 * 2**20
_UTF_32_OR_16 = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def check_file(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise TextsError unless ``path`` is a readable file that ends in one of ``suffixes``, is not
    empty, and is neither UTF-16 nor UTF-32.
    """
    lies = what_is(path)
    if lies == "a folder":
        raise TextsError(
            f"{path} is a folder; expected a file of texts. Give the path of the file."
        )
    if lies == "nothing":
        raise TextsError(
            f"{path}: there is no such file; expected a file of texts. Check the path."
        )
    if lies != "a regular file":
        raise TextsError(
            f"{path} is {lies}; expected a regular file of texts. Write the texts to a file first;"
            " goemo predict also reads a pipe, as --batch_file -."
        )
    if path.suffix.lower() not in suffixes:
        raise TextsError(
            f"{path} {f'ends in {path.suffix!r}' if path.suffix else 'has no suffix'}; expected one"
            f" of {', '.join(suffixes)}. Convert it, or rename it if it is one of these."
        )

    try:
        size = path.stat().st_size
        head = read_regular(path, 4)
    except OSError as error:
        raise TextsError(
            f"{path} cannot be read ({error.strerror}); expected a readable file of texts. Check"
            " its permissions."
        ) from None

    if size == 0:
        raise TextsError(
            f"{path} is empty; expected at least one text. Check that it was written completely."
        )

    encoding = next((name for mark, name in _UTF_32_OR_16 if head.startswith(mark)), None)
    if encoding and path.suffix.lower() != ".parquet":
        raise TextsError(
            f"{path} is {encoding} (byte-order mark at byte 0, line 1); expected UTF-8. Save it"
            " again as UTF-8."
        )


def lines(path: Path, newline: str | None) -> Iterator[str]:
    """Decoded lines with their line ends; a wrong byte is reported with its offset and line."""
    with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline=newline) as file:
        try:
            yield from _checked(file, str(path))
        except UnicodeDecodeError as error:
            raise _wrong_byte(path, error) from None


def stream_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """The decoded lines of a pipe, without their ends; ``name`` stands for it in errors."""
    number = 0
    try:
        for line in _checked(io.TextIOWrapper(stream, encoding="utf-8-sig"), name):
            number += 1
            yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise TextsError(
            f"{name}, after line {number}: 0x{error.object[error.start]:02x} is not UTF-8; expected"
            " UTF-8, with or without byte-order mark."
        ) from None


def _checked(file: TextIO, name: str) -> Iterator[str]:
    """Lines with their ends, none of them endless and none with a NUL."""
    for number in itertools.count(1):
        line = file.readline(LONGEST_LINE)
        if not line:
            return
        if len(line) == LONGEST_LINE:
            raise TextsError(
                f"{name}, line {number}: is longer than {LONGEST_LINE} characters; expected one"
                " text a line. Check the line ends."
            )
        if "\0" in line:
            raise TextsError(
                f"{name}, line {number}: holds a NUL character; expected UTF-8 text. It may be"
                " binary, or UTF-16: save it as UTF-8."
            )

        yield line


def whole(path: Path) -> str:
    """The decoded text of a file, without a byte-order mark; a wrong byte is reported as in
    ``lines``.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong_byte(path, error) from None


def _wrong_byte(path: Path, error: UnicodeDecodeError) -> TextsError:
    """Decode again from the start, counting, since the text layer knows neither offset nor line."""
    decoder, offset, line, block = codecs.getincrementaldecoder("utf-8")(), 0, 1, b"-"
    with open_regular(path) as file:
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

    return TextsError(
        f"{path}, line {line}: byte {offset} (0x{byte:02x}) is not UTF-8; expected UTF-8, with or"
        " without byte-order mark. Save it again as UTF-8; it may be Latin-1, Windows-1252 or GBK."
    )
