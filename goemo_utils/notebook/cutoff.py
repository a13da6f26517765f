"""What each threshold would give on labelled texts, and a sentence that helps to choose one.

Used by 02_smoke and 10_finetune.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from goemo_utils.forward.thresholds import above
from goemo_utils.notebook.plots import BLUE, BROWN, GREY, titled

GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)
# "Where a wrong label costs more than a missing one": three of four labels given are right.
CAREFUL = 0.75
ALT = (
    "Precision, recall and micro-F1 against the threshold from 0 to 1, with the threshold of the"
    " highest F1 marked."
)


@dataclass(frozen=True)
class Curve:
    """Micro-averaged over all labels, one value a threshold of ``GRID``; precision is NaN where
    nothing is answered.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    n_texts: int

    @property
    def best(self) -> int:
        """The place of the highest F1; of equals the lowest threshold."""
        return int(self.f1.argmax())


def curve(targets: np.ndarray, probabilities: np.ndarray, task: str) -> Curve:
    """The curve of ``targets`` (0 or 1) and ``probabilities``, both ``[texts, labels]``.

    With one label a text (single_label), only the most probable one is given, and only above the
    threshold. Precision is tp / (tp + fp), recall tp / (tp + fn), F1 2 tp / (2 tp + fp + fn).
    """
    truth = targets > 0.5
    allowed = np.ones(truth.shape, dtype=bool)
    if task == "single_label":
        allowed = np.eye(truth.shape[1], dtype=bool)[probabilities.argmax(1)]

    given = [above(probabilities, threshold) & allowed for threshold in GRID]
    right = np.array([(marks & truth).sum() for marks in given], dtype=float)
    answered = np.array([marks.sum() for marks in given], dtype=float)
    asked = float(truth.sum())

    nothing = np.full(len(GRID), np.nan)
    precision = np.divide(right, answered, out=nothing, where=answered > 0)
    recall = right / max(1.0, asked)
    f1 = 2 * right / np.maximum(1.0, answered + asked)

    return Curve(precision, recall, f1, len(truth))


def sentence(found: Curve | None) -> str:
    """How to choose a threshold by a curve; without one, what it would need."""
    if found is None:
        return (
            "No labelled texts with these labels come along: 10_finetune draws the curve of yours."
        )

    best = found.best
    said = (
        f"On {found.n_texts:,} labelled texts F1 is highest at {GRID[best]:.2f}:"
        f" {_at(found, best)}."
    )
    careful = [i for i, value in enumerate(found.precision) if value >= CAREFUL]
    if not careful or careful[0] <= best:
        return said + " Above it fewer labels are wrong, and more are missed."
    return (
        f"{said} Where a wrong label costs more than a missing one, take {GRID[careful[0]]:.2f}:"
        f" {_at(found, careful[0])}."
    )


def _at(found: Curve, place: int) -> str:
    return (
        f"{found.precision[place]:.0%} of the labels given are right,"
        f" {found.recall[place]:.0%} of those asked for are found"
    )


def figure(found: Curve | None, simulated: bool = False) -> Figure | None:
    """Precision, recall and F1 against the threshold; None without a curve."""
    if found is None:
        return None
    drawn, axes = plt.subplots(figsize=(7.5, 4))
    axes.plot(GRID, found.precision, color=BLUE, label="precision: of the labels given, right")
    axes.plot(GRID, found.recall, color=GREY, label="recall: of the labels asked for, found")
    axes.plot(GRID, found.f1, color=BROWN, linestyle="--", label="F1, their harmonic mean")

    best = found.best
    axes.axvline(GRID[best], color=BROWN, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold", ylabel="share, micro-averaged")
    axes.legend(frameon=False, fontsize=9)
    finding = f"F1 is highest, {found.f1[best]:.2f}, at a threshold of {GRID[best]:.2f}"
    axes.set_title(titled(finding, simulated), loc="left", fontsize=11)
    drawn.tight_layout()
    plt.close(drawn)

    return drawn
