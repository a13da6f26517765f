"""Task quality with true labels: F1 of both sides, and the paired bootstrap interval of its
difference.
"""

from typing import Any

import numpy as np


def counts(truth: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """True positives, false positives and false negatives per text: ``[n_texts, 3]``."""
    return np.stack(
        [(truth & decided).sum(1), (~truth & decided).sum(1), (truth & ~decided).sum(1)], axis=1
    )


def f1(totals: np.ndarray) -> np.ndarray:
    """Micro-F1 of totals ``[…, 3]`` of (tp, fp, fn); 0 where nothing is true and nothing was
    decided.
    """
    tp, fp, fn = totals[..., 0], totals[..., 1], totals[..., 2]
    whole = 2 * tp + fp + fn
    return np.where(whole == 0, 0.0, 2 * tp / np.maximum(whole, 1))


def difference(
    truth: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Micro-F1 of both sides and the 95 % interval of candidate minus reference, texts resampled in
    pairs.

    All three arrays are boolean ``[n_texts, n_labels]``. Micro- and not macro-F1: a single flip of
    a label with six positives moves GoEmotions' macro-F1 by a whole point.
    """
    n = len(truth)
    a, b = counts(truth, reference), counts(truth, candidate)
    rng, deltas = np.random.default_rng(seed), np.empty(resamples)

    for start in range(0, resamples, 50):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(50, resamples - start)).astype(
            np.float64
        )
        deltas[start : start + len(weights)] = f1(weights @ b) - f1(weights @ a)

    low, high = np.quantile(deltas, [0.025, 0.975])
    f_reference, f_candidate = float(f1(a.sum(0))), float(f1(b.sum(0)))

    return {
        "reference": f_reference,
        "candidate": f_candidate,
        "delta": f_candidate - f_reference,
        "interval": [float(low), float(high)],
        "n": n,
    }


def truth_matrix(labels: list[list[int]], n_labels: int) -> np.ndarray:
    """Label ids per text as a boolean matrix ``[n_texts, n_labels]``."""
    truth = np.zeros((len(labels), n_labels), bool)
    for row, ids in enumerate(labels):
        truth[row, list(ids)] = True
    return truth
