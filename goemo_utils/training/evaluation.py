"""What is measured about a trained model, as one JSON-able object: the card and the tests read
nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from goemo_utils.forward.thresholds import COMMON as THRESHOLD
from goemo_utils.forward.thresholds import above
from goemo_utils.training.data import Split
from goemo_utils.training.metrics import (
    N_BINS,
    argmax_scores,
    bootstrap,
    calibration_bins,
    calibration_error,
    counts,
    decide,
    drawn_f1,
    f1_per_label,
    judged_pairs,
    roc_auc,
    scores,
)
from goemo_utils.training.thresholds import tune


def held_marks(targets: np.ndarray, probabilities: np.ndarray, task: str) -> np.ndarray:
    """What held-out texts are said to be, [n_texts, n_labels] of 0 and 1, where a training is
    stopped or settings are chosen by them.

    single_label: the most probable label. multi_label: every label by a threshold of its own, that
    of one half of the texts tuned on the other half: a common threshold would reward whatever moves
    all probabilities, as label smoothing does, and thresholds of the very texts, luck.
    """
    if task == "single_label":
        return decide(probabilities, task)

    halves = np.arange(0, len(probabilities), 2), np.arange(1, len(probabilities), 2)
    marked = np.zeros(probabilities.shape)
    for own, other in (halves, halves[::-1]):
        if len(own) and len(other):
            cut = tune(targets[other], probabilities[other])
            marked[own] = above(probabilities[own], cut)

    return marked


def judge(
    held: Split, held_probabilities: np.ndarray, dev: Split, dev_probabilities: np.ndarray
) -> dict[str, Any]:
    """Scores on ``dev`` with 95 % bootstrap intervals, and one-vs-rest ROC-AUC and the calibration
    error.

    multi_label: ``at_0.3``, at the common threshold, and ``tuned``, at ``thresholds`` tuned on
    ``held``. single_label: ``argmax``, the most probable label being the answer; ``held`` is not
    looked at.
    """
    areas = roc_auc(dev.targets, dev_probabilities)
    result: dict[str, Any] = {
        "macro_roc_auc": float(np.nanmean(areas)) if np.isfinite(areas).any() else None,
        "calibration_error": calibration_error(dev.targets, dev_probabilities, task=dev.task),
    }

    if dev.task == "single_label":
        found = decide(dev_probabilities, dev.task)
        intervals = bootstrap(dev.targets, found, 0.5, task=dev.task)
        return {
            **result,
            "argmax": {
                **argmax_scores(dev.targets, dev_probabilities),
                "ci95": {"accuracy": intervals["micro_f1"], **intervals},
            },
        }

    tuned = tune(held.targets, held_probabilities)
    result["thresholds"] = tuned.tolist()

    for name, cut in (("at_0.3", THRESHOLD), ("tuned", tuned)):
        result[name] = {
            **scores(dev.targets, dev_probabilities, cut),
            "ci95": bootstrap(dev.targets, dev_probabilities, cut),
        }

    return result


def gain(
    dev: Split,
    better: np.ndarray,
    better_cut: list[float] | None,
    worse: np.ndarray,
    worse_cut: list[float] | None,
) -> dict[str, Any]:
    """How far macro and micro F1 of ``better`` lie above those of ``worse`` on dev, each with its
    tuned thresholds (None for single_label, which has none), with the 95 % interval of the
    difference over draws of the texts that both are scored on.
    """
    marks = [
        decide(found, dev.task, THRESHOLD if cut is None else np.array(cut)) > 0.5
        for found, cut in ((better, better_cut), (worse, worse_cut))
    ]
    found = [scores(dev.targets, mark.astype(float), 0.5, dev.task) for mark in marks]
    draws = [drawn_f1(dev.targets, mark, task=dev.task) for mark in marks]

    return {
        name: {
            "value": found[0][name] - found[1][name],
            "ci95": [
                float(edge) for edge in np.percentile(draws[0][name] - draws[1][name], [2.5, 97.5])
            ],
        }
        for name in ("macro_f1", "micro_f1")
    }


def per_label(dev: Split, dev_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 of each label, at 0.3 or by the most probable label, and
    its one-vs-rest ROC-AUC.
    """
    tp, fp, fn = counts(dev.targets, decide(dev_probabilities, dev.task))
    f1, areas = f1_per_label(tp, fp, fn), roc_auc(dev.targets, dev_probabilities)

    return [
        {
            "label": label,
            "support": int(tp[i] + fn[i]),
            "precision": float(tp[i] / max(1, tp[i] + fp[i])),
            "recall": float(tp[i] / max(1, tp[i] + fn[i])),
            "f1": float(f1[i]),
            "roc_auc": float(areas[i]) if np.isfinite(areas[i]) else None,
        }
        for i, label in enumerate(dev.labels)
    ]


def calibration(
    dev: Split, dev_probabilities: np.ndarray, n_bins: int = N_BINS
) -> list[dict[str, Any]]:
    """The bins behind the calibration error, for a reliability figure: ``from`` and ``to``, ``n``,
    ``mean_probability`` and ``share_true``, both None in an empty bin. A pair is a text and a
    label, or for single_label a text and its most probable label.
    """
    size, total, true = calibration_bins(
        *judged_pairs(dev.targets, dev_probabilities, dev.task), n_bins
    )

    return [
        {
            "from": i / n_bins,
            "to": (i + 1) / n_bins,
            "n": int(n),
            "mean_probability": float(total[i] / n) if n else None,
            "share_true": float(true[i] / n) if n else None,
        }
        for i, n in enumerate(size)
    ]
