"""Labelled texts of a training: a split, how it is read, parted and limited, and what is worth
knowing about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.errors import TextsError
from goemo_utils.training.columns import Asked
from goemo_utils.training.labels import LABELS, Vocabulary, mark, parse_names
from goemo_utils.training.sources import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABELS", "Split", "Splits", "hold_out", "load", "overlap", "read_split"]
FEW = 5


# What becomes of a label without a dev text in macro-F1, by the task.
DEV_ABSENT = {
    "multi_label": "each counts as an F1 of 0 in macro-F1",
    "single_label": "macro-F1 leaves out those that no answer names either, as scikit-learn does",
}


@dataclass(frozen=True)
class Split:
    """Texts and their labels: ``targets`` is float32 [n_texts, n_labels], 1 where the label
    applies; exactly one 1 a text if single_label.
    """

    texts: list[str]
    targets: np.ndarray
    labels: tuple[str, ...] = LABELS
    task: str = "multi_label"

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> Split:
        """The split made of these rows, in this order."""
        return Split([self.texts[row] for row in rows], self.targets[rows], self.labels, self.task)

    def label_ids(self) -> list[list[int]]:
        """The positions of each text's labels, rising; what ``of_ids`` takes back."""
        return [np.flatnonzero(target).tolist() for target in self.targets]

    @staticmethod
    def of_ids(
        texts: Sequence[str], ids: Sequence[Sequence[int]], labels: Sequence[str], task: str
    ) -> Split:
        """The split of texts whose labels are given by their positions."""
        targets = np.zeros((len(texts), len(labels)), np.float32)
        for row, positions in enumerate(ids):
            targets[row, list(positions)] = 1
        return Split(list(texts), targets, tuple(labels), task)

    def support(self) -> dict[str, int]:
        """How many texts have each label."""
        return dict(zip(self.labels, self.targets.sum(0, dtype=np.int64).tolist(), strict=True))


@dataclass(frozen=True)
class Splits:
    """What a training learns from (``train``), is stopped and given thresholds by (``held``), and
    is scored on (``dev``).

    ``notes`` are sentences on what lowers the worth of a score; ``counts`` are texts and labels of
    each split, and what was left out, repeated or shared, JSON-able.
    """

    train: Split
    held: Split
    dev: Split
    notes: list[str]
    counts: dict[str, Any]


def read_split(
    source: str | Path | pd.DataFrame,
    labels: str | Sequence[str] | None = None,
    *,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    task: str = "auto",
) -> Split:
    """Read labelled texts in their order; empty texts are left out.

    ``source`` is a .csv .tsv .jsonl .txt .parquet path, ``hub:OWNER/NAME[/CONFIG]:SPLIT``, sample,
    sample:dev, or a pandas frame. Columns are names or numbers from 0; ``labels`` are the names in
    their order, or the names of 0/1 columns. None takes what the source has: docs/finetuning.md.
    Raises TextsError naming source and row for what cannot be read, for a missing or unknown label,
    and when there is no text.
    """
    return _read(source, _asked(labels, text_column, label_column), task)[0]


def _asked(
    labels: str | Sequence[str] | None,
    text_column: str | int | None,
    label_column: str | int | None,
) -> Asked:
    text, label = (
        None if column is None else str(column) for column in (text_column, label_column)
    )
    return Asked(text, label, parse_names(labels))


def _read(
    source: Any, asked: Asked, task: str, vocabulary: Vocabulary | None = None
) -> tuple[Split, Vocabulary, int]:
    """The split, its vocabulary, and how many texts were empty."""
    table = read_table(source, asked)
    targets, vocabulary, task = mark(table, asked.labels, task, vocabulary)
    return Split(table.texts, targets, vocabulary.names, task), vocabulary, table.dropped


def load(params: Any) -> Splits:
    """The splits that ``params`` asks for: its train, dev, text_column, label_column, labels, task,
    limit, held_out and seed.

    At most ``limit`` train texts are drawn at random; without dev the share ``held_out`` of them
    becomes dev; of the rest, the share ``held_out`` is held. Each part keeps at least one text of
    every label for train. Equal parameters give equal rows. Raises TextsError as ``read_split``
    does, and when every text of train has the same labels.
    """
    asked = _asked(params.labels, params.text_column, params.label_column)
    whole, vocabulary, train_dropped = _read(params.train, asked, params.task)

    if (whole.targets == whole.targets[0]).all():
        named = ", ".join(name for name, count in whole.support().items() if count) or "none"
        raise TextsError(
            f"All {len(whole):,} texts of {_name(params.train)} have the same label ({named}), so"
            " there is nothing to learn; expected at least two. Check label_column."
        )

    notes, n_read = _never_apart(whole), len(whole)
    if params.limit is not None and params.limit < n_read:
        whole = whole.take(_drawn(whole, params.limit, np.random.default_rng([params.seed, 1])))
        notes.append(
            f"{len(whole):,} of {n_read:,} train texts were drawn at random (limit"
            f" {params.limit:,}, seed {params.seed})."
        )

    dev_dropped = 0
    if params.dev is None:
        whole, dev = _part(whole, params.held_out, np.random.default_rng([params.seed, 2]))
        notes.append(
            f"No dev was given: {len(dev):,} texts were parted from train at random (seed"
            f" {params.seed}); being of one source with it, they score higher than new texts may."
        )
    else:
        dev, _, dev_dropped = _read(
            "sample:dev" if isinstance(params.dev, str) and params.dev == "sample" else params.dev,
            asked,
            whole.task,
            vocabulary,
        )

    # The same rows as training/scratch holds out with this seed.
    train, held = _part(whole, params.held_out, np.random.default_rng(params.seed))
    counts: dict[str, Any] = {
        name: {"texts": len(split), "labels": split.support()}
        for name, split in (("train", train), ("held", held), ("dev", dev))
    }
    counts |= {
        "read": n_read,
        "dropped": {"train": train_dropped, "dev": dev_dropped},
        "duplicates": len(whole) - len(set(whole.texts)),
        "overlap": overlap(whole, dev),
        "held_overlap": overlap(train, held),
    }

    return Splits(train, held, dev, notes + _notes(counts, train.task), counts)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else "the data frame"


def _drawn(split: Split, limit: int, rng: np.random.Generator) -> np.ndarray:
    """``limit`` rows at random, among them one text of every label as far as they reach."""
    order = rng.permutation(len(split))
    targets = split.targets[order]
    first = np.zeros(len(split), bool)
    first[targets.argmax(0)[targets.any(0)]] = True
    return np.concatenate([order[first], order[~first]])[:limit]


def _part(split: Split, share: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """As ``hold_out``, but a text whose label would be gone from the first part stays there, and
    the next one is held in its place.
    """
    order, n_held = _order(split, share, rng)
    left, held = split.targets.sum(0), list[int]()
    for row in order:
        if len(held) < n_held and (left[split.targets[row] > 0] > 1).all():
            held.append(row)
            left -= split.targets[row]

    if not held:
        raise TextsError(
            f"Holding out {share:.0%} of {len(split):,} texts would take every text of some label;"
            " give more texts, or fewer labels."
        )

    return split.take(order[~np.isin(order, held)]), split.take(np.array(held))


def hold_out(split: Split, share: float, rng: np.random.Generator) -> tuple[Split, Split]:
    """Part a split at random into (fit, held out); thresholds are tuned on the second, which no
    weight ever sees.

    Raises TextsError when either part would be empty.
    """
    order, n_held = _order(split, share, rng)
    return split.take(order[n_held:]), split.take(order[:n_held])


def _order(split: Split, share: float, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    n_held = int(len(split) * share)
    if not 0 < n_held < len(split):
        raise TextsError(
            f"Holding out {share:.0%} of {len(split)} texts leaves an empty part; give more texts."
        )
    return rng.permutation(len(split)), n_held


def overlap(first: Split, second: Split) -> int:
    """How many texts of ``second`` occur, letter for letter, in ``first``."""
    seen = set(first.texts)
    return sum(text in seen for text in second.texts)


def _never_apart(whole: Split) -> list[str]:
    """A sentence on two labels that no text has one of alone, as the halves of a name with a comma
    in it, ``Sports, Outdoors``, are.
    """
    columns = whole.targets.T
    for i, first in enumerate(columns):
        for j in range(i + 1, len(columns)):
            if first.sum() >= FEW and np.array_equal(first, columns[j]):
                pair = f"'{whole.labels[i]}' and '{whole.labels[j]}'"
                return [
                    f"The labels {pair} never stand apart: if they are one name with a comma in it,"
                    " give task single_label, which takes the whole cell as the name."
                ]
    return []


def _notes(counts: dict[str, Any], task: str) -> list[str]:
    """What the counts say against the scores, a sentence each."""
    n_train, n_dev = counts["train"]["texts"] + counts["held"]["texts"], counts["dev"]["texts"]
    notes = []

    if any(counts["dropped"].values()):
        notes.append(
            f"Empty texts left out: {counts['dropped']['train']:,} of train,"
            f" {counts['dropped']['dev']:,} of dev."
        )

    if counts["duplicates"]:
        notes.append(
            f"{counts['duplicates']:,} of {n_train:,} train texts repeat another letter for letter;"
            f" {counts['held_overlap']:,} of the {counts['held']['texts']:,} held out occur in the"
            " rest."
        )

    if counts["overlap"]:
        notes.append(
            f"{counts['overlap']:,} of {n_dev:,} dev texts occur letter for letter in train: dev"
            " scores lean high."
        )

    few = [f"{name} ({count})" for name, count in counts["train"]["labels"].items() if count < FEW]
    if few:
        notes.append(f"Labels with fewer than {FEW} texts to learn from: {', '.join(few)}.")

    for part, effect in (
        ("held", "their thresholds stay 0.5"),
        ("dev", DEV_ABSENT[task]),
    ):
        absent = [name for name, count in counts[part]["labels"].items() if not count]
        if absent and (part == "dev" or task == "multi_label"):
            notes.append(
                f"Labels without a text {'held out' if part == 'held' else 'in dev'}:"
                f" {', '.join(absent)}; {effect}."
            )

    return notes
