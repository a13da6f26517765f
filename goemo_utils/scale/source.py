"""Texts in the lists that a classifier batches together, for workers anywhere.

A list is the unit of work: answered as a whole, it gets the very answers of an undisturbed run,
whatever was answered before.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.classifier import batching
from goemo_utils.predict.inputs import Inputs

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Range:
    """Rows from ``first`` to ``last``, both among them."""

    first: int
    last: int

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return self.last - self.first + 1


class Kept:
    """Which rows are answered already."""

    def __init__(self, answered: Iterable[Range] = ()) -> None:
        self.ranges = merged(answered)
        self._firsts = [one.first for one in self.ranges]

    def __len__(self) -> int:
        return sum(one.rows for one in self.ranges)

    def has(self, index: int) -> bool:
        """Whether the row is answered."""
        which = bisect.bisect_right(self._firsts, index) - 1
        return which >= 0 and index <= self.ranges[which].last


def ranges(indices: np.ndarray) -> list[Range]:
    """Row numbers [n] as ranges, in order; a number that comes twice counts once."""
    if not len(indices):
        return []
    numbers = np.unique(indices)
    gaps = np.flatnonzero(np.diff(numbers) > 1)
    firsts = numbers[np.append(0, gaps + 1)]
    lasts = numbers[np.append(gaps, len(numbers) - 1)]
    return [Range(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def merged(several: Iterable[Range]) -> list[Range]:
    """Ranges in order, as few as cover the same rows."""
    whole: list[Range] = []
    for one in sorted(several, key=lambda one: one.first):
        if whole and one.first <= whole[-1].last + 1:
            whole[-1] = Range(whole[-1].first, max(whole[-1].last, one.last))
        else:
            whole.append(one)
    return whole


@dataclass(frozen=True)
class Survey:
    """How many texts there are, and the digest of them all in their order."""

    texts: int
    digest: str


def survey(inputs: Inputs) -> Survey:
    """Read all texts once: so a damaged file is told before a worker starts, and other texts than
    those of an earlier run are noticed.
    """
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for text in inputs.texts():
        # No text holds a NUL, so it parts them.
        digest.update(_bytes(text) + b"\0")
        count += 1
    return Survey(count, digest.hexdigest())


def lists(inputs: Inputs, kept: Kept) -> Iterator[pa.Table]:
    """The lists that hold a row which is not answered yet."""
    first = 0
    for chunk in batching.chunks(inputs.texts()):
        answered = [row for row in range(first, first + len(chunk)) if kept.has(row)]
        if len(answered) < len(chunk):
            yield as_table(first, chunk, answered)
        first += len(chunk)


def datasource(inputs: Inputs, kept: Kept, texts: int) -> Any:
    """The lists as a source of Ray: one task, which reads file after file."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Texts(Datasource):  # type: ignore[misc]  # an extra without types
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            facts = BlockMetadata(texts, None, None, None)
            return [ReadTask(partial(lists, inputs, kept), facts)]

    return Texts()


def as_table(first: int, chunk: list[str], answered: list[int]) -> pa.Table:
    """One list as a row: the place of its first text, its texts, and which rows are answered."""
    import pyarrow as pa

    texts = pa.array([list(map(_bytes, chunk))], pa.list_(pa.binary()))
    rows = pa.array([answered], pa.list_(pa.int64()))
    return pa.table({"first": [first], "texts": texts, "answered": rows})


def texts_of(row: dict[str, Any]) -> list[str]:
    """The texts of such a row, as they were."""
    return [text.decode("utf-8", "surrogatepass") for text in row["texts"]]


def _bytes(text: str) -> bytes:
    """A text as bytes that keep half a surrogate pair, as wrong decoding leaves them."""
    return text.encode("utf-8", "surrogatepass")
