"""Made-up labelled texts: a label is decided by its words among words that mean nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from goemo_utils.training.data import LABELS, Split

CUES = {
    "joy": ("happy", "delighted", "cheerful"),
    "anger": ("furious", "angry", "mad"),
    "gratitude": ("thanks", "grateful", "thankful"),
    "neutral": ("table", "street", "paper"),
}
FILLERS = (
    "the",
    "a",
    "this",
    "was",
    "very",
    "today",
    "we",
    "they",
    "really",
    "then",
    "about",
    "some",
    "it",
    "that",
)


def make(n_texts: int, seed: int) -> Split:
    """``n_texts`` texts of six fillers and one cue each."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((n_texts, len(LABELS)), np.float32)
    texts = []
    for row in range(n_texts):
        label = str(rng.choice(list(CUES)))
        words = [*rng.choice(FILLERS, 6), rng.choice(CUES[label])]
        texts.append(" ".join(rng.permutation(words)))
        targets[row, LABELS.index(label)] = 1
    return Split(texts, targets)


def write(split: Split, path: Path) -> Path:
    """The split in GoEmotions' .tsv form."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        for number, (text, target) in enumerate(zip(split.texts, split.targets, strict=True)):
            writer.writerow([text, ",".join(str(i) for i in np.flatnonzero(target)), f"id{number}"])
    return path
