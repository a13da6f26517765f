"""The parts of a folder of answers, from the first that a worker commits to the folder's name.

Beside ``answers.parquet`` lies ``.answers.parquet.begun``: ``kept/`` holds the parts that count,
and each attempt writes into a folder of its own, with Ray's checkpoint of row ids beside its parts.
What an attempt committed is moved to ``kept/`` when the next one begins; what it did not is thrown
away with its folder, so that a worker which outlives its attempt can neither add a row nor take one
away.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.errors import ParamsError, RecordError
from goemo_utils.predict.journal import NAMED, Counts
from goemo_utils.predict.started import Started
from goemo_utils.records.record import sha256_file
from goemo_utils.scale.source import Kept, Range, merged, ranges

if TYPE_CHECKING:
    import pyarrow as pa

INDEX = "index.json"
SCHEMA = "goemo-parts/1"
IDS, ROWS = "ids", "rows"


@dataclass(frozen=True)
class Part:
    """A file of the folder: how many rows it holds, and which."""

    file: str
    rows: int
    ranges: list[Range]
    sha256: str


class Parts:
    """A folder of answers on its way, held by one process at a time. With ``anew`` nothing of an
    earlier one is used. Raises ParamsError where the name is taken by something else, or by another
    process.
    """

    def __init__(self, target: Path, anew: bool = False) -> None:
        self.target = target
        _refuse_strange(target)
        self._started = Started(target, "begun")
        try:
            if anew:
                self._started.empty()
            self._kept = self._started.path / "kept"
            self._kept.mkdir(exist_ok=True)
            self.adopt()
        except BaseException:
            self._started.release()
            raise

    def begin(self, settings: Mapping[str, Any]) -> Path:
        """The folder of a new attempt; raises ParamsError where the rows that are kept were made
        with other settings.
        """
        if len(self.kept):
            self._started.compare(settings, len(self.kept))
        self._started.remember(settings)
        attempt = self._started.path / f"attempt-{os.getpid()}-{os.urandom(4).hex()}"
        attempt.mkdir()
        return attempt

    def committed(self) -> int:
        """Rows that this attempt and earlier ones have committed."""
        import pyarrow.parquet as pq

        waiting = self._started.path.glob(f"attempt-*/{IDS}/*.parquet")
        files = [path for path in waiting if ".pending." not in path.name]
        rows: int = sum(pq.read_metadata(path).num_rows for path in files)
        return len(self.kept) + rows

    def finish(self, rows: int, facts: Mapping[str, Any]) -> Counts:
        """Give the folder its name, with an index of its parts; what happened to the texts.

        Raises RecordError where a row is missing or there twice: then nothing gets the name.
        """
        self.adopt()
        parts = [_part(path) for path in sorted(self._kept.glob("*.parquet"))]
        parts.sort(key=lambda part: part.ranges[0].first)
        _check(parts, rows)

        for number, part in enumerate(parts):
            # A kill in the middle leaves names of both kinds, in the same order.
            name = f"part-{number:05d}.parquet"
            os.replace(self._kept / part.file, self._kept / name)
            parts[number] = replace(part, file=name)
        counts = _counts(self._kept, parts)
        index = {"schema": SCHEMA, "rows": rows, **facts, "parts": list(map(asdict, parts))}
        text = json.dumps(index, indent=1, ensure_ascii=False)
        (self._kept / INDEX).write_text(text, encoding="utf-8")
        self._name()
        return counts

    def close(self, done: bool) -> None:
        """Let go; rows that are kept or committed stay for another time."""
        self._started.close(keep=not done and self.committed() > 0)

    def adopt(self) -> None:
        """Keep the parts that attempts have committed, and throw away what they have not."""
        for attempt in sorted(self._started.path.glob("attempt-*")):
            committed = [
                path.stem
                for path in (attempt / IDS).glob("*.parquet")
                if not path.name.endswith(".pending.parquet")
            ]
            for stem in committed:
                for part in (attempt / ROWS).glob(f"{stem}-*.parquet"):
                    os.replace(part, self._kept / f"{attempt.name}-{part.name}")
            shutil.rmtree(attempt, ignore_errors=True)
        self.kept = Kept(self._ranges())

    def _ranges(self) -> Iterator[Range]:
        for path in self._kept.glob("*.parquet"):
            yield from ranges(_indices(path))

    def _name(self) -> None:
        """Put the folder in the place of an earlier one, which is put aside first. After a kill
        between the two the name is free; after one behind them an older one still lies aside.
        """
        aside = self._started.path / "before"
        if self.target.exists():
            _remove(aside)
            os.replace(self.target, aside)
        os.replace(self._kept, self.target)


def _remove(path: Path) -> None:
    """A file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_answers(folder: Path) -> pa.Table:
    """All rows of a folder of answers, in the order of their texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    tables = [pq.read_table(folder / part["file"]) for part in index["parts"]]
    return pa.concat_tables(tables).sort_by("index")


def _refuse_strange(target: Path) -> None:
    """Only a file, or an earlier folder of answers, may be replaced."""
    if target.is_dir() and SCHEMA not in _index_text(target):
        raise ParamsError(
            f"--output '{target}' is a folder and holds no answers of --engine ray: expected a new"
            " name, or an earlier folder of answers. Give another name."
        )


def _index_text(folder: Path) -> str:
    try:
        return (folder / INDEX).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _indices(path: Path) -> np.ndarray:
    """The numbers [n] of the rows of a part."""
    import pyarrow.parquet as pq

    indices: np.ndarray = pq.read_table(path, columns=["index"])["index"].to_numpy()
    return indices


def _part(path: Path) -> Part:
    indices = _indices(path)
    return Part(path.name, len(indices), ranges(indices), sha256_file(path))


def _check(parts: list[Part], rows: int) -> None:
    """Every row once: the parts hold every number, and no more rows than there are texts."""
    held = sum(part.rows for part in parts)
    whole = merged(one for part in parts for one in part.ranges)
    if held != rows or whole != [Range(0, rows - 1)]:
        said = ", ".join(f"{one.first} to {one.last}" for one in whole[:NAMED])
        raise RecordError(
            f"The parts hold {held:,} rows, with the numbers {said or 'of none'}, and there are"
            f" {rows:,} texts: expected every row once. Begin anew with --from-scratch."
        )


def _counts(folder: Path, parts: list[Part]) -> Counts:
    """Empty and truncated texts over all parts."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts = Counts()
    places: list[int] = []
    for part in parts:
        rows = pq.read_table(folder / part.file, columns=["index", "empty", "truncated"])
        counts.texts += rows.num_rows
        counts.truncated += rows["truncated"].to_pylist().count(True)
        empty = rows.filter(pc.field("empty"))["index"].to_pylist()
        counts.empty += len(empty)
        places = sorted([*places, *empty])[:NAMED]

    counts.first_empty = [place + 1 for place in places]
    return counts
