"""The rows that a file of answers has so far, kept beside it until it is whole.

Beside ``answers.jsonl`` lies the folder ``.answers.jsonl.started``: a part for each list of texts
that was answered, and a line about each part. After a kill the parts of whole lines count and
nothing else does, so no row is there twice and none is missing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.parts import LOCK
from goemo_utils.errors import ParamsError
from goemo_utils.predict.started import SETTINGS, Started
from goemo_utils.records.record import sha256_file

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import Prediction

LINES = "parts.jsonl"
NAMED = 5  # places of empty texts that the end of a run names


@dataclass
class Counts:
    """What happened to the texts so far; ``first_empty`` are line numbers, from 1."""

    texts: int = 0
    empty: int = 0
    truncated: int = 0
    first_empty: list[int] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        self.texts += 1
        self.truncated += prediction.truncated
        if prediction.empty:
            self.empty += 1
            if len(self.first_empty) < NAMED:
                self.first_empty.append(prediction.index + 1)


@dataclass(frozen=True)
class Line:
    """One part: its file's name and digest, the digest of all texts up to its end, and the counts
    up to its end.
    """

    part: str
    digest: str
    texts: str
    counts: dict[str, Any]


class Journal:
    """The parts of one file of answers, held by one process at a time.

    ``settings`` is whatever decides a row: model, texts' column, threshold, form. What was begun
    with other settings is neither mixed with these nor thrown away: a ParamsError names the
    difference. With ``anew`` it is thrown away.
    """

    def __init__(self, target: Path, settings: Mapping[str, Any], anew: bool = False) -> None:
        self.target = target
        self.counts = Counts()
        self._texts = hashlib.blake2b(digest_size=16)
        self._lines: list[Line] = []

        self._started = Started(target)
        self.folder = self._started.path
        try:
            if anew:
                self._started.empty()
            self._take_up(settings)
        except BaseException:
            self._started.release()
            raise

    @property
    def rows(self) -> int:
        """Rows that are whole."""
        return self.counts.texts

    @property
    def parts(self) -> list[Path]:
        """The files of whole parts, in the order of their rows."""
        return [self.folder / line.part for line in self._lines]

    def skip(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts behind those that are answered. Raises ParamsError where those before are not
        the ones that were answered.
        """
        rest = iter(texts)
        done = 0
        for line in self._lines:
            several = list(itertools.islice(rest, line.counts["texts"] - done))
            if self._texts_to(several) != line.texts:
                raise ParamsError(
                    f"The texts {done + 1:,} to {line.counts['texts']:,} are not those that"
                    f" '{self.target.name}' was begun with: expected the same texts in the same"
                    " order. Give them again, or begin anew with --from-scratch."
                )
            done = line.counts["texts"]
        return rest

    def next_part(self) -> Path:
        """Where the next part belongs; ``keep`` makes it count."""
        return self.folder / f"{len(self._lines):06d}{self.target.suffix}"

    def keep(self, part: Path, predictions: list[Prediction]) -> None:
        """Count the rows of a part that is on the disk."""
        for prediction in predictions:
            self.counts.add(prediction)

        texts = self._texts_to([prediction.text for prediction in predictions])
        line = Line(part.name, sha256_file(part), texts, asdict(self.counts))
        with (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")
        self._lines.append(line)

    def close(self, done: bool) -> None:
        """Let go of the folder; it stays only where rows are kept for another time."""
        self._started.close(keep=bool(self.rows) and not done)

    def _take_up(self, settings: Mapping[str, Any]) -> None:
        """Read what is whole; clear what is not."""
        self._lines = list(self._whole_lines())
        if self._lines:
            self.counts = Counts(**self._lines[-1].counts)
            self._started.compare(settings, self.rows)

        known = {line.part for line in self._lines} | {LOCK, LINES, SETTINGS}
        for path in self.folder.iterdir():
            if path.name not in known:
                path.unlink()

        kept = "".join(json.dumps(asdict(line)) + "\n" for line in self._lines)
        (self.folder / LINES).write_text(kept, encoding="utf-8")
        self._started.remember(settings)

    def _whole_lines(self) -> Iterator[Line]:
        """Lines up to the first that was not written to its end, or whose part was not."""
        try:
            written = (self.folder / LINES).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return
        for row in written.splitlines():
            try:
                line = Line(**json.loads(row))
                whole = sha256_file(self.folder / line.part) == line.digest
            except (OSError, TypeError, ValueError):
                return
            if not whole:
                return
            yield line

    def _texts_to(self, texts: list[str]) -> str:
        """The digest of all texts up to these. No text holds a NUL, so it parts them."""
        self._texts.update("\0".join([*texts, ""]).encode("utf-8", "surrogatepass"))
        return self._texts.hexdigest()
