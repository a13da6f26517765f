"""Writers of predictions: .jsonl, .csv and .parquet, row by row, complete under their name or not
there at all.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goemo_utils.boundary.parts import clear_parts, replacing
from goemo_utils.errors import ParamsError
from goemo_utils.predict.journal import Journal
from goemo_utils.records.pairs import shown
from goemo_utils.texts import arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from goemo_utils.classifier.classifier import Prediction

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
SUFFIXES = (".jsonl", ".csv", ".parquet")
ROW_GROUP = 8192  # rows of a .parquet file held in memory before they are written


@dataclass(frozen=True)
class Form:
    """How rows are written: the labels in the model's order; whether each label's probability is,
    too; whether a simulated device answered; whether cells of a .csv may not begin a formula; where
    the text of an index stood, (file, row), for answers to several files.
    """

    labels: list[str]
    probabilities: bool = False
    simulated: bool = False
    csv_safe: bool = False
    place: Callable[[int], tuple[str, int]] | None = None


class Writer(Protocol):
    """Something that takes predictions one by one."""

    def write(self, prediction: Prediction) -> None: ...

    def close(self) -> None: ...


class Output:
    """A file of answers on its way: parts are kept in its journal, and joined at the end."""

    def __init__(self, journal: Journal, form: Form) -> None:
        self.journal = journal
        self._form = form

    def write(self, predictions: list[Prediction]) -> None:
        """Add rows: all of these, or after a kill none."""
        part = self.journal.next_part()
        kind = WRITERS[part.suffix]
        with replacing(part) as unfinished:
            writer = kind(unfinished, self._form, first=not self.journal.rows)
            for prediction in predictions:
                writer.write(prediction)
            writer.close()
        self.journal.keep(part, predictions)

    def join(self) -> None:
        """Write the parts as one file, which takes its name in one move."""
        clear_parts(self.journal.target.parent, self.journal.target.name)
        with replacing(self.journal.target) as whole:
            join = join_tables if self.journal.target.suffix == ".parquet" else join_lines
            join(self.journal.parts, whole)


@contextmanager
def open_output(
    path: Path, form: Form, settings: Mapping[str, Any], resumed: bool = True, anew: bool = False
) -> Iterator[Output]:
    """A file of answers that goes on where an earlier process with the same ``settings`` was
    stopped; it takes its name when the block ends well.

    Until then its rows lie in a folder beside it, which stays after a kill or an error if it holds
    whole rows and ``resumed`` is set; the name itself still holds what it held before. With
    ``anew`` nothing of an earlier process is used. Raises ParamsError when the file cannot be
    written, or was begun with other settings.
    """
    target = path.resolve()  # behind a link, so that the link stays one
    try:
        journal = Journal(target, settings, anew)
    except OSError as error:
        raise ParamsError(
            f"--output '{path}' cannot be written: {error.strerror or error}."
        ) from None

    done = not resumed
    try:
        output = Output(journal, form)
        yield output
        output.join()
        done = True
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ParamsError(
            f"--output '{path}' was not written: {error.strerror}. Free some space and run again."
        ) from None
    finally:
        journal.close(done)


def columns(prediction: Prediction, form: Form) -> dict[str, Any]:
    """The values of one row under the column names of .csv and .parquet."""
    row, above = prediction.probabilities, prediction.labels
    top = None if row is None else int(np.argmax(row))
    top_probability = None if row is None else float(row[top])
    values = {
        "index": prediction.index,
        "text": shown(prediction.text),
        "labels": [label for label, _ in above],
        "probabilities": [probability for _, probability in above],
        "top_label": None if top is None else form.labels[top],
        "top_probability": top_probability,
        "truncated": prediction.truncated,
        "empty": prediction.empty,
    }
    values |= _place(prediction, form)
    if form.simulated:
        values["simulated"] = True
    if form.probabilities:
        values |= {
            f"p_{label}": None if row is None else float(row[i])
            for i, label in enumerate(form.labels)
        }

    return values


def _place(prediction: Prediction, form: Form) -> dict[str, Any]:
    """File and row (from 1) of a text, for answers to several files."""
    if form.place is None:
        return {}
    file, row = form.place(prediction.index)
    return {"file": file, "row": row}


class JsonLines:
    """One JSON object a line, UTF-8."""

    def __init__(self, path: Path, form: Form, first: bool = True) -> None:
        self._form = form
        # Half a surrogate pair, as wrong decoding leaves them, cannot be written in UTF-8; a
        # question mark can.
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="\n")

    def write(self, prediction: Prediction) -> None:
        row: dict[str, Any] = {
            "index": prediction.index,
            "text": shown(prediction.text),
            "labels": [
                {"label": label, "probability": round(probability, 6)}
                for label, probability in prediction.labels
            ],
            "truncated": prediction.truncated,
            "empty": prediction.empty,
        }
        row |= _place(prediction, self._form)
        if self._form.simulated:
            row["simulated"] = True
        if self._form.probabilities:
            row["probabilities"] = self._by_label(prediction.probabilities)

        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _by_label(self, probabilities: np.ndarray | None) -> dict[str, float] | None:
        if probabilities is None:
            return None
        pairs = zip(self._form.labels, probabilities, strict=True)
        return {label: round(float(p), 6) for label, p in pairs}

    def close(self) -> None:
        self._file.close()


class Csv:
    """Comma-separated values with a header, UTF-8; lists are joined by semicolons, true and false
    written so. With ``csv_safe`` a text that a spreadsheet would compute begins with an apostrophe.
    """

    def __init__(self, path: Path, form: Form, first: bool = True) -> None:
        self._form, self._first = form, first
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._writer: csv.DictWriter[str] | None = None

    def write(self, prediction: Prediction) -> None:
        row = columns(prediction, self._form)
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            if self._first:
                self._writer.writeheader()
        row["labels"] = ";".join(row["labels"])
        row["probabilities"] = ";".join(f"{p:.6f}" for p in row["probabilities"])
        cells = {name: _cell(value) for name, value in row.items()}
        if self._form.csv_safe:
            cells |= {name: _as_text(cells[name]) for name in ("text", "labels", "top_label")}
        self._writer.writerow(cells)

    def close(self) -> None:
        self._file.close()


class Parquet:
    """Typed columns, written in groups of rows."""

    def __init__(self, path: Path, form: Form, first: bool = True) -> None:
        arrow.require()
        import pyarrow.parquet as pq

        self._form = form
        self._predictions: list[Prediction] = []
        self._writer = pq.ParquetWriter(path, schema(form))

    def write(self, prediction: Prediction) -> None:
        self._predictions.append(prediction)
        if len(self._predictions) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._predictions:
            self._writer.write_table(table(self._predictions, self._form))
            self._predictions = []


def schema(form: Form) -> pa.Schema:
    """The columns of a .parquet of answers."""
    import pyarrow as pa

    fields = [
        ("index", pa.int64()),
        ("text", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("probabilities", pa.list_(pa.float32())),
        ("top_label", pa.string()),
        ("top_probability", pa.float32()),
        ("truncated", pa.bool_()),
        ("empty", pa.bool_()),
    ]
    if form.place is not None:
        fields += [("file", pa.string()), ("row", pa.int64())]
    if form.simulated:
        fields.append(("simulated", pa.bool_()))
    if form.probabilities:
        fields += [(f"p_{label}", pa.float32()) for label in form.labels]

    return pa.schema(fields)


def table(predictions: list[Prediction], form: Form) -> pa.Table:
    """Answers as rows of a .parquet."""
    import pyarrow as pa

    rows = [columns(prediction, form) for prediction in predictions]
    for row in rows:
        row["text"] = row["text"].encode("utf-8", "replace").decode("utf-8")
    return pa.Table.from_pylist(rows, schema=schema(form))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else value


def _as_text(cell: Any) -> Any:
    """A cell that a spreadsheet keeps as text (OWASP, "CSV Injection"), also where it trims what
    stands before the formula.
    """
    begins = isinstance(cell, str) and cell.lstrip(" \n\v\f\u00a0\u3000").startswith(FORMULA)
    return f"'{cell}" if begins else cell


WRITERS: dict[str, Callable[..., Writer]] = {".jsonl": JsonLines, ".csv": Csv, ".parquet": Parquet}


def join_lines(parts: list[Path], whole: Path) -> None:
    """Parts of lines behind one another, on the disk before the name is, so that a power cut cannot
    leave a complete name on an incomplete file.
    """
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as rows:
                shutil.copyfileobj(rows, file)
        file.flush()
        os.fsync(file.fileno())


def join_tables(parts: list[Path], whole: Path) -> None:
    """Parts of a .parquet as one, in groups of at least ROW_GROUP rows, on the disk as above."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole.open("wb") as file:
        with pq.ParquetWriter(file, pq.read_schema(parts[0])) as writer:
            waiting: list[Any] = []
            for part in parts:
                waiting.append(pq.read_table(part))
                if part == parts[-1] or sum(map(len, waiting)) >= ROW_GROUP:
                    writer.write_table(pa.concat_tables(waiting).combine_chunks())
                    waiting = []
        file.flush()
        os.fsync(file.fileno())
