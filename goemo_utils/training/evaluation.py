"""What is measured about a trained model, as one JSON-able object: the card and the tests read nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from goemo_utils.training.data import Split
from goemo_utils.training.metrics import bootstrap, calibration_error, counts, drawn_f1, f1_per_label, roc_auc, scores
from goemo_utils.training.thresholds import tune

THRESHOLD = 0.3


def judge(held: Split, held_probabilities: np.ndarray, dev: Split, dev_probabilities: np.ndarray) -> dict[str, Any]:
    """Scores on ``dev`` at the common threshold 0.3 and at thresholds tuned on ``held``, with 95 % bootstrap intervals."""
    tuned = tune(held.targets, held_probabilities)
    areas = roc_auc(dev.targets, dev_probabilities)
    result: dict[str, Any] = {"macro_roc_auc": float(np.nanmean(areas)) if np.isfinite(areas).any() else None,
                              "calibration_error": calibration_error(dev.targets, dev_probabilities), "thresholds": tuned.tolist()}
    for name, cut in (("at_0.3", THRESHOLD), ("tuned", tuned)):
        result[name] = {**scores(dev.targets, dev_probabilities, cut), "ci95": bootstrap(dev.targets, dev_probabilities, cut)}
    return result


def gain(dev: Split, better: np.ndarray, better_cut: list[float], worse: np.ndarray, worse_cut: list[float]) -> dict[str, Any]:
    """How far macro and micro F1 of ``better`` lie above those of ``worse`` on dev, each with its tuned thresholds, with the 95 %
    interval of the difference over draws of the texts that both are scored on."""
    marks = (better > np.array(better_cut), worse > np.array(worse_cut))
    found = [scores(dev.targets, mark.astype(float), 0.5) for mark in marks]
    draws = [drawn_f1(dev.targets, mark) for mark in marks]
    return {name: {"value": found[0][name] - found[1][name],
                   "ci95": [float(edge) for edge in np.percentile(draws[0][name] - draws[1][name], [2.5, 97.5])]}
            for name in ("macro_f1", "micro_f1")}


def per_label(dev: Split, dev_probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 of each label at 0.3, and its ROC-AUC."""
    tp, fp, fn = counts(dev.targets, dev_probabilities > THRESHOLD)
    f1, areas = f1_per_label(tp, fp, fn), roc_auc(dev.targets, dev_probabilities)
    return [{"label": label, "support": int(tp[i] + fn[i]), "precision": float(tp[i] / max(1, tp[i] + fp[i])),
             "recall": float(tp[i] / max(1, tp[i] + fn[i])), "f1": float(f1[i]),
             "roc_auc": float(areas[i]) if np.isfinite(areas[i]) else None} for i, label in enumerate(dev.labels)]
