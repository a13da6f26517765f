"""Labelled texts: the GoEmotions table and what every split of it must satisfy."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from goemo_utils.errors import TextsError

# Order and names: google-research-datasets/go_emotions, configuration "simplified" (27 emotions, then neutral).
LABELS = ("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire", "disappointment",
          "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy", "love", "nervousness", "optimism",
          "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral")


@dataclass(frozen=True)
class Split:
    """Texts and their labels: ``targets`` is float32 [n_texts, n_labels], 1 where the label applies."""

    texts: list[str]
    targets: np.ndarray
    labels: tuple[str, ...] = LABELS

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> Split:
        """The split made of these rows, in this order."""
        return Split([self.texts[row] for row in rows], self.targets[rows], self.labels)


def read_split(path: str | Path, labels: tuple[str, ...] = LABELS) -> Split:
    """Read ``text <tab> comma-separated label ids [<tab> anything]``, quoted as the csv module quotes, no header.

    Raises TextsError naming the file and the line for a missing file, another encoding, a missing column, an id that is no label,
    and for a file without a row.
    """
    path = Path(path)
    if not path.is_file():
        raise TextsError(f"Labelled texts '{path}' do not exist. Expected a .tsv with a text and label ids a line; GoEmotions gives one: "
                         "datasets.load_dataset('google-research-datasets/go_emotions', 'simplified').")
    texts: list[str] = []
    marks: list[list[int]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, delimiter="\t")
            for row in reader:
                texts.append(row[0] if row else "")
                marks.append(_label_ids(row, labels, f"{path}, line {reader.line_num}"))
    except UnicodeDecodeError as error:
        raise TextsError(f"Labelled texts '{path}' are not UTF-8 (byte {error.start}). Save the file as UTF-8.") from None
    if not texts:
        raise TextsError(f"Labelled texts '{path}' have no row; expected at least one text with its label ids.")
    targets = np.zeros((len(texts), len(labels)), np.float32)
    for row, ids in enumerate(marks):
        targets[row, ids] = 1
    return Split(texts, targets, labels)


def _label_ids(row: list[str], labels: tuple[str, ...], where: str) -> list[int]:
    if len(row) < 2 or not row[0].strip():
        raise TextsError(f"{where}: expected a text, a tab and label ids, got {row!r:.80}.")
    try:
        ids = [int(part) for part in row[1].split(",")]
    except ValueError:
        ids = [-1]
    if min(ids) < 0 or max(ids) >= len(labels):
        raise TextsError(f"{where}: label ids {row[1]!r} are not comma-separated numbers from 0 to {len(labels) - 1}.")
    return ids


def hold_out(split: Split, share: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Part a split at random into (fit, held out); thresholds are tuned on the second, which no weight ever sees.

    Raises TextsError when either part would be empty.
    """
    order = rng.permutation(len(split))
    n_held = int(len(split) * share)
    if not 0 < n_held < len(split):
        raise TextsError(f"Holding out {share:.0%} of {len(split)} texts leaves an empty part; give more texts.")
    return split.take(order[n_held:]), split.take(order[:n_held])


def overlap(first: Split, second: Split) -> int:
    """How many texts of ``second`` occur, letter for letter, in ``first``."""
    seen = set(first.texts)
    return sum(text in seen for text in second.texts)
