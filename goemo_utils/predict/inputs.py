"""The files of texts that ``goemo predict`` is given: one or several, folders, patterns."""

from __future__ import annotations

import bisect
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from goemo_utils.errors import TextsError
from goemo_utils.texts import builtin as texts
from goemo_utils.texts.files import SUFFIXES
from goemo_utils.texts.lines import check_file


class Inputs:
    """Texts of several files behind one another, which remember where each stood.

    A folder stands for the files of texts in it, a pattern such as ``data/*.tsv`` for what it
    matches, both in the order of their names; ``without``, the file of answers, is never among
    them. Raises TextsError for what is no file of texts, and for a folder or a pattern without one.
    """

    def __init__(
        self, names: Sequence[str], column: str | None = None, without: Path | None = None
    ) -> None:
        self.files = [file for name in names for file in _files(name, without)]
        # Before the first of them is read, which may take hours.
        for file in self.files:
            check_file(file, SUFFIXES)
        self._column = column
        self._starts: list[int] = []

    def texts(self) -> Iterator[str]:
        """All texts, in order."""
        count = 0
        for file in self.files:
            self._starts.append(count)
            for text in texts.read_texts(file, self._column):
                yield text
                count += 1

    def place(self, index: int) -> tuple[str, int]:
        """File and row, from 1, of a text that was read."""
        which = bisect.bisect_right(self._starts, index) - 1
        return str(self.files[which]), index - self._starts[which] + 1


def _files(name: str, without: Path | None) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    elif path.exists() or not glob.has_magic(name):
        return [path]  # a file, or what is missing: its reader says so
    else:
        found = sorted(map(Path, glob.glob(name, recursive=True)))

    kept = [file for file in found if not _same(file, without)]
    if not kept:
        raise TextsError(
            f"There is no file of texts in '{name}': expected names that end in"
            f" {', '.join(SUFFIXES)}."
        )
    return kept


def _same(file: Path, other: Path | None) -> bool:
    return other is not None and file.resolve() == other.resolve()
