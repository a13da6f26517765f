"""One family through every path of the package, against transformers' own answer to one text at a
time.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from goemo_utils.errors import GoemoError, first_line
from goemo_utils.families.zoo import Family, make
from goemo_utils.forward.model import quiet
from goemo_utils.texts.builtin import BUILTIN

# Largest difference of a probability; rounding in float32 is about 3e-7.
LIMIT = 1e-5
# Answers of different texts differ by at least this, or the comparison would show nothing.
DIFFERENT = 0.01
TEXTS = (*BUILTIN[:6], "ok", " ".join(BUILTIN), BUILTIN[-1], " ".join(BUILTIN[::-1]))
"""Short ones, the shortest, and two that are cut at the model's limit."""


@dataclass(frozen=True)
class Cell:
    """What one path gave: the largest difference of a probability from transformers, or why there
    is none.
    """

    difference: float | None
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.difference is not None and self.difference <= LIMIT

    @property
    def words(self) -> str:
        if self.difference is None:
            return self.reason
        return f"{self.difference:.1e}" + (f" ({self.reason})" if self.reason else "")


@dataclass
class Row:
    """A family's row of the table. ``differs``: how far the answers of two texts lie apart."""

    family: Family
    limit: int = 0
    pads: bool = True
    why: str | None = None
    differs: float = 0.0
    cells: dict[str, Cell] = field(default_factory=dict)
    refused: str | None = None

    @property
    def passed(self) -> bool:
        """Whether transformers' answers came by every path; ONNX Runtime may refuse a graph."""
        asked = [cell for name, cell in self.cells.items() if name != "onnxruntime"]
        graph = self.cells.get("onnxruntime", Cell(0.0))
        exact = graph.passed or graph.difference is None
        return bool(asked) and all(cell.passed for cell in asked) and exact


def judge(family: Family, tune: bool = True) -> Row:
    """Make the family's checkpoint and try every path on it."""
    row = Row(family)
    with tempfile.TemporaryDirectory(prefix="goemo-family-") as folder, quiet():
        path = make(family, Path(folder))
        try:
            _fill(row, path, tune)
        except GoemoError as error:
            row.refused = str(error)
    return row


def expected(folder: Path, limit: int, texts: Sequence[str] = TEXTS) -> np.ndarray:
    """transformers' probabilities ``[texts, labels]``: a fresh copy of the model a text, so that
    nothing is left of the text before, and no padding.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    )
    answers = []
    for text in texts:
        batch = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        fresh = copy.deepcopy(network).eval()
        with torch.no_grad():
            answers.append(fresh(**_taken(fresh, batch)).logits.sigmoid().numpy())
    return np.concatenate(answers)


def _taken(network: Any, batch: Any) -> dict[str, Any]:
    """What the model's forward names, as transformers' pipeline hands it over."""
    import inspect

    names = inspect.signature(network.forward).parameters
    return {name: value for name, value in batch.items() if name in names}


def _fill(row: Row, folder: Path, tune: bool) -> None:
    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    eager = GoEmotionsClassifier(folder, backend="eager", max_length=512)
    row.limit, row.pads, row.why = eager.max_length, eager.inputs.pads, eager.inputs.why
    answers = expected(folder, eager.max_length)
    row.differs = float(np.ptp(answers, axis=0).max())

    def alone() -> np.ndarray:
        return np.concatenate([eager.predict([text])[1] for text in TEXTS])

    ways: dict[str, Callable[[], np.ndarray]] = {
        "alone": alone,
        "batched": lambda: eager.predict(TEXTS)[1],
        "packed": lambda: GoEmotionsClassifier(folder, max_length=512).predict(TEXTS)[1],
        "onnxruntime": lambda: GoEmotionsClassifier(
            folder, backend="onnxruntime", max_length=512
        ).predict(TEXTS)[1],
        "chain": lambda: _chain(folder),
    }
    if tune:
        ways["tuned"] = lambda: _tuned(folder)
    for name, ask in ways.items():
        row.cells[name] = _cell(ask, answers if name != "tuned" else None)


def _cell(ask: Callable[[], np.ndarray], answers: np.ndarray | None) -> Cell:
    try:
        given = ask()
    except GoemoError as error:
        return Cell(None, str(error))
    except Exception as error:  # a fault of the kit: the row shows it
        return Cell(None, f"{type(error).__name__}: {first_line(error)}")
    if answers is None:
        return Cell(float(given.max()))
    if given.shape != answers.shape:
        return Cell(None, f"shape {given.shape} for {answers.shape}")
    return Cell(float(np.max(np.abs(given - answers))))


def _chain(folder: Path) -> np.ndarray:
    """The probabilities of a forward run, as notebook 03 makes one, with every hidden state."""
    import torch

    from goemo_utils.forward.pack import read_pack
    from goemo_utils.forward.run import job, run
    from goemo_utils.params import Params

    with tempfile.TemporaryDirectory(prefix="goemo-family-") as out:
        params = Params.load(None, {"model": str(folder), "device": "cpu"})
        run(job(params, list(TEXTS), "reference", Path(out) / "reference"))
        logits = read_pack(Path(out) / "reference").tensors["logits"]
    return torch.from_numpy(logits).sigmoid().numpy()


def _tuned(folder: Path) -> np.ndarray:
    """Fine-tune for a few steps, and compare the tuned model in the classifier with transformers:
    their differences.
    """
    from goemo_utils.classifier.classifier import GoEmotionsClassifier
    from goemo_utils.families.tune import tune

    with tempfile.TemporaryDirectory(prefix="goemo-family-") as out:
        tuned = tune(folder, Path(out))
        classifier = GoEmotionsClassifier(tuned, backend="eager", max_length=64)
        answers = expected(tuned, classifier.max_length)
        differences: np.ndarray = np.abs(classifier.predict(TEXTS)[1] - answers)
        return differences
