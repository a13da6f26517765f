"""Scores of a classifier, multi-label or single-label, from targets and probabilities of shape
[n_texts, n_labels].
"""

from __future__ import annotations

import numpy as np

from goemo_utils.forward.thresholds import COMMON as THRESHOLD
from goemo_utils.forward.thresholds import above

N_BINS = 15  # of a calibration: Guo et al. 2017, arXiv 1706.04599


def decide(
    probabilities: np.ndarray, task: str, thresholds: float | np.ndarray = THRESHOLD
) -> np.ndarray:
    """Which labels are answered, float 0/1 [n_texts, n_labels]: those above their threshold, or for
    single_label the most probable one alone.
    """
    if task == "single_label":
        one_hot: np.ndarray = np.eye(probabilities.shape[1])[probabilities.argmax(1)]
        return one_hot
    return above(probabilities, thresholds).astype(float)


def counts(targets: np.ndarray, marked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives per label, from 0/1 arrays [n_texts,
    n_labels].
    """
    truth, marked = targets > 0.5, marked.astype(bool)
    return (truth & marked).sum(0), (~truth & marked).sum(0), (truth & ~marked).sum(0)


def f1_per_label(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """2 tp / (2 tp + fp + fn); 0 where a label is neither present nor predicted, as scikit-learn's
    zero_division=0 has it.
    """
    whole = 2 * tp + fp + fn
    zeros = np.zeros(np.shape(whole))
    share: np.ndarray = np.divide(2 * tp, whole, out=zeros, where=whole > 0)
    return share


def scores(
    targets: np.ndarray,
    probabilities: np.ndarray,
    thresholds: float | np.ndarray,
    task: str = "multi_label",
) -> dict[str, float]:
    """Micro, macro and weighted F1 and subset accuracy when a label is marked at a probability
    above its threshold.

    ``thresholds`` is one number or one a label. Macro F1 is as ``macro_f1`` has it; weighted F1
    weighs a label by its number of texts; subset accuracy is the share of texts whose label set is
    exactly right.
    """
    marked = above(probabilities, thresholds)
    tp, fp, fn = counts(targets, marked)
    each, support = f1_per_label(tp, fp, fn), tp + fn

    return {
        "micro_f1": float(f1_per_label(tp.sum(), fp.sum(), fn.sum())),
        "macro_f1": float(macro_f1(tp, fp, fn, task)),
        "weighted_f1": float((each * support).sum() / max(1, support.sum())),
        "subset_accuracy": float((marked == (targets > 0.5)).all(1).mean()),
    }


def argmax_scores(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, and micro, macro and weighted F1, when the most probable label is the answer. Micro
    F1 is the accuracy where each text has one label.
    """
    marked = decide(probabilities, "single_label")
    found = scores(targets, marked, 0.5, "single_label")
    return {"accuracy": found.pop("subset_accuracy"), **found}


def macro_f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray, task: str) -> np.ndarray:
    """The mean F1 ``[...]`` of counts ``[..., n_labels]``, as scikit-learn's
    f1_score(average="macro") has it: of single_label over the labels that are met in truth or
    answers, for one in neither is no class of such a set (0 without any); else over all labels.
    """
    if task != "single_label":
        mean_of_all: np.ndarray = f1_per_label(tp, fp, fn).mean(-1)
        return mean_of_all

    met = (tp + fp + fn) > 0
    mean: np.ndarray = f1_per_label(tp, fp, fn).sum(-1) / np.maximum(1, met.sum(-1))
    return mean


def roc_auc(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Area under the ROC curve per label [n_labels], NaN for a label that all texts or no text has.

    By ranks (Mann-Whitney): (sum of the positives' ranks - n₊(n₊ + 1)/2) / (n₊ n₋), equal values
    sharing the mean of their ranks.
    """
    areas = np.full(targets.shape[1], np.nan)
    for label in range(targets.shape[1]):
        truth, values = targets[:, label] > 0.5, probabilities[:, label]
        n_yes = int(truth.sum())
        n_no = len(truth) - n_yes
        if n_yes and n_no:
            _, inverse, repeats = np.unique(values, return_inverse=True, return_counts=True)
            last = np.cumsum(repeats)
            ranks = (last - (repeats - 1) / 2)[inverse]
            areas[label] = (ranks[truth].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no)

    return areas


def judged_pairs(
    targets: np.ndarray, probabilities: np.ndarray, task: str
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities whose calibration is judged, and whether each came true: (bool [n], float
    [n]).

    multi_label: all text-label pairs. single_label: the most probable label of each text, as Guo et
    al. judge a softmax.
    """
    if task == "single_label":
        top = probabilities.argmax(1)
        return targets[np.arange(len(top)), top] > 0.5, probabilities.max(1)
    return (targets > 0.5).ravel(), probabilities.ravel()


def calibration_bins(
    truth: np.ndarray, values: np.ndarray, n_bins: int = N_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each of ``n_bins`` bins of equal width over 0…1: how many values fall into it, their sum,
    and how many of them came true.
    """
    bins = np.minimum((values * n_bins).astype(int), n_bins - 1)
    return (
        np.bincount(bins, minlength=n_bins),
        np.bincount(bins, values, n_bins),
        np.bincount(bins, truth, n_bins),
    )


def calibration_error(
    targets: np.ndarray, probabilities: np.ndarray, n_bins: int = N_BINS, task: str = "multi_label"
) -> float:
    """Expected calibration error of ``judged_pairs``: mean |share that came true - mean
    probability| of equal-width bins, weighted by the pairs in a bin (Guo et al. 2017, arXiv
    1706.04599, with 15 bins)."""
    truth, values = judged_pairs(targets, probabilities, task)
    size, total, true = calibration_bins(truth, values, n_bins)
    gap = np.abs(true - total)
    return float(gap[size > 0].sum() / len(values))


def bootstrap(
    targets: np.ndarray,
    probabilities: np.ndarray,
    thresholds: float | np.ndarray,
    n_draws: int = 1000,
    seed: int = 0,
    task: str = "multi_label",
) -> dict[str, list[float]]:
    """95 % percentile intervals of micro and macro F1 when the texts are drawn again with
    replacement.
    """
    drawn = drawn_f1(targets, above(probabilities, thresholds), n_draws, seed, task)

    return {
        name: [float(edge) for edge in np.percentile(values, [2.5, 97.5])]
        for name, values in drawn.items()
    }


def drawn_f1(
    targets: np.ndarray,
    marked: np.ndarray,
    n_draws: int = 1000,
    seed: int = 0,
    task: str = "multi_label",
) -> dict[str, np.ndarray]:
    """Micro and macro F1 [n_draws] of texts drawn with replacement; the same seed draws the same
    texts, so two models can be paired. Macro F1 of single_label is over the labels that a draw
    meets.
    """
    truth, marked = targets > 0.5, marked.astype(bool)
    cells = [cell.astype(np.float32) for cell in (truth & marked, ~truth & marked, truth & ~marked)]
    weights = (
        np.random.default_rng(seed)
        .multinomial(len(targets), np.full(len(targets), 1 / len(targets)), n_draws)
        .astype(np.float32)
    )
    tp, fp, fn = (weights @ cell for cell in cells)

    return {
        "micro_f1": f1_per_label(tp.sum(1), fp.sum(1), fn.sum(1)),
        "macro_f1": macro_f1(tp, fp, fn, task),
    }
