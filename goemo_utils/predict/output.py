"""Writers of predictions: .jsonl, .csv and .parquet, row by row, complete under their name or not
there at all.
"""

from __future__ import annotations

import csv
import errno
import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from goemo_utils.boundary.parts import clear_parts, replacing
from goemo_utils.errors import ParamsError
from goemo_utils.records.pairs import shown

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import Prediction

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
SUFFIXES = (".jsonl", ".csv", ".parquet")
ROW_GROUP = 8192  # rows of a .parquet file held in memory before they are written


class Output(Protocol):
    """Something that takes predictions one by one."""

    def write(self, prediction: Prediction) -> None: ...

    def close(self) -> None: ...


@contextmanager
def open_output(
    path: Path,
    labels: list[str],
    probabilities: bool = False,
    simulated: bool = False,
    csv_safe: bool = False,
) -> Iterator[Output]:
    """Open a writer for the suffix of ``path``; the file takes its name when the block ends well.

    Until then rows go to a temporary file beside it, which is removed on an error. After a kill it
    stays until the next answers for the same name; the name itself still holds what it held before.
    With ``simulated`` every row says so; with ``csv_safe`` no cell of a .csv begins a formula.
    Raises ParamsError when the file cannot be written.
    """
    target = path.resolve()  # behind a link, so that the link stays one
    clear_parts(target.parent, target.name)
    kinds: dict[str, Callable[..., Output]] = {
        ".jsonl": JsonLines,
        ".csv": Csv,
        ".parquet": Parquet,
    }
    kind = functools.partial(Csv, safe=csv_safe) if csv_safe else kinds[path.suffix]
    opened = False

    try:
        with replacing(target) as temporary:
            output = kind(temporary, labels, probabilities, simulated)
            opened = True
            yield output
            output.close()
    except OSError as error:
        if not opened:
            raise ParamsError(
                f"--output '{path}' cannot be written: {error.strerror or error}."
            ) from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ParamsError(
                f"--output '{path}' was not written: {error.strerror}. Free some space and run"
                " again."
            ) from None
        raise


def columns(
    prediction: Prediction, labels: list[str], probabilities: bool, simulated: bool
) -> dict[str, Any]:
    """The values of one row under the column names of .csv and .parquet."""
    row, above = prediction.probabilities, prediction.labels
    top = None if row is None else int(np.argmax(row))
    top_probability = None if row is None else float(row[top])
    values = {
        "index": prediction.index,
        "text": shown(prediction.text),
        "labels": [label for label, _ in above],
        "probabilities": [probability for _, probability in above],
        "top_label": None if top is None else labels[top],
        "top_probability": top_probability,
        "truncated": prediction.truncated,
        "empty": prediction.empty,
    }
    if simulated:
        values["simulated"] = True
    if probabilities:
        values |= {
            f"p_{label}": None if row is None else float(row[i]) for i, label in enumerate(labels)
        }

    return values


class JsonLines:
    """One JSON object a line, UTF-8."""

    def __init__(self, path: Path, labels: list[str], probabilities: bool, simulated: bool) -> None:
        self._labels, self._probabilities, self._simulated = labels, probabilities, simulated
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
        if self._simulated:
            row["simulated"] = True
        if self._probabilities:
            row["probabilities"] = self._by_label(prediction.probabilities)

        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def _by_label(self, probabilities: np.ndarray | None) -> dict[str, float] | None:
        if probabilities is None:
            return None
        pairs = zip(self._labels, probabilities, strict=True)
        return {label: round(float(p), 6) for label, p in pairs}

    def close(self) -> None:
        _close_safely(self._file)


class Csv:
    """Comma-separated values with a header, UTF-8; lists are joined by semicolons, true and false
    written so. With ``safe`` a text that a spreadsheet would compute begins with an apostrophe.
    """

    def __init__(
        self,
        path: Path,
        labels: list[str],
        probabilities: bool,
        simulated: bool,
        safe: bool = False,
    ) -> None:
        self._labels, self._probabilities, self._simulated = labels, probabilities, simulated
        self._safe = safe
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")
        self._writer: csv.DictWriter[str] | None = None

    def write(self, prediction: Prediction) -> None:
        row = columns(prediction, self._labels, self._probabilities, self._simulated)
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        row["labels"] = ";".join(row["labels"])
        row["probabilities"] = ";".join(f"{p:.6f}" for p in row["probabilities"])
        cells = {name: _cell(value) for name, value in row.items()}
        if self._safe:
            cells |= {name: _as_text(cells[name]) for name in ("text", "labels", "top_label")}
        self._writer.writerow(cells)

    def close(self) -> None:
        _close_safely(self._file)


class Parquet:
    """Typed columns, written in groups of rows."""

    def __init__(self, path: Path, labels: list[str], probabilities: bool, simulated: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

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
        if simulated:
            fields.append(("simulated", pa.bool_()))
        if probabilities:
            fields += [(f"p_{label}", pa.float32()) for label in labels]
        self._labels, self._probabilities, self._simulated = labels, probabilities, simulated
        self._schema = pa.schema(fields)
        self._rows: list[dict[str, Any]] = []
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, prediction: Prediction) -> None:
        row = columns(prediction, self._labels, self._probabilities, self._simulated)
        row["text"] = row["text"].encode("utf-8", "replace").decode("utf-8")
        self._rows.append(row)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else value


def _as_text(cell: Any) -> Any:
    """A cell that a spreadsheet keeps as text (OWASP, "CSV Injection")."""
    begins = isinstance(cell, str) and cell.startswith(FORMULA)
    return f"'{cell}" if begins else cell


def _close_safely(file: Any) -> None:
    """Reach the disk before the name does, so that a power cut cannot leave a complete name on an
    incomplete file.
    """
    file.flush()
    os.fsync(file.fileno())
    file.close()
