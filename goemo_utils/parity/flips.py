"""Changed decisions: which are explained by the accepted arithmetic, and how many there may be at
most.

A flip must never be explained by the candidate's own error. If reference and candidate fall on
different sides of the threshold, one of them is on the other side from gold, so its error is at
least the margin: that rule explains every flip of every fault. The yardstick is the envelope of the
accepted rung, from runs that the candidate has no part in.
"""

import math
from typing import Any

import numpy as np

from goemo_utils.parity.decisions import decide, logit


def log_binomial_cdf(k: int, n: int, p: float) -> float:
    """log P(X <= k) for X binomial(n, p)."""
    if p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 0.0 if k >= n else -math.inf
    log_p, log_q, all_ways = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = [
        all_ways - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q
        for i in range(k + 1)
    ]
    top = max(terms)
    return top + math.log(sum(math.exp(t - top) for t in terms))


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Exact one-sided Clopper-Pearson bound on a rate of which k were seen in n; 1 - 0.05^(1/n) for
    k = 0.
    """
    if n <= 0:
        raise ValueError(f"A bound needs at least one observation, got n = {n}.")
    if k >= n:
        return 1.0
    if k == 0:
        return -math.expm1(math.log1p(-confidence) / n)

    low, high, target = k / n, 1.0, math.log1p(-confidence)
    for _ in range(60):  # bisection: P(X <= k) falls as p grows
        middle = (low + high) / 2
        low, high = (middle, high) if log_binomial_cdf(k, n, middle) > target else (low, middle)

    return high


def lower_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Exact one-sided Clopper-Pearson bound from below: the rate is larger than this at the given
    confidence.
    """
    return 0.0 if k <= 0 else 1.0 - upper_bound(n - k, n, confidence)


def needed(limit: float, confidence: float = 0.95) -> int:
    """Smallest n with which no event at all shows a rate of at most ``limit``: 2,995 for 0.1 %, 299
    for 1 %.
    """
    n = max(1, math.ceil(math.log1p(-confidence) / math.log1p(-limit)) - 1)
    while upper_bound(0, n, confidence) > limit:
        n += 1
    return n


def margins(gold: np.ndarray, task: str, threshold: float | np.ndarray) -> np.ndarray:
    """Distance of gold from changing a decision ``[n_texts, n_labels]``, in logits.

    multi_label: |z_g - t|. single_label: half the gap between a label and the best other label,
    because two logits move; a label's decision cannot change while every logit moves by less.
    """
    g = gold.astype(np.float64)
    if task == "multi_label":
        return np.abs(g - logit(threshold))
    if g.shape[1] == 1:
        return np.full(g.shape, np.inf)
    order = np.sort(g, axis=1)
    best_other = np.where(g == order[:, -1:], order[:, -2:-1], order[:, -1:])
    return np.abs(g - best_other) / 2


def ties(
    gold: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    threshold: float | np.ndarray,
    bound: float,
) -> dict[str, int]:
    """What happens exactly at the threshold (multi_label): every label's own is put on the answer
    of gold that is nearest to it.

    Then at least one decision a label is a tie, which rounding may decide either way: ``changed``
    of them may differ, ``unexplained``, those that gold places further than ``bound`` from the new
    threshold, must not.
    """
    g = gold.astype(np.float64)
    nearest = np.abs(g - logit(threshold)).argmin(axis=0)
    at = g[nearest, np.arange(g.shape[1])]
    changed = (reference.astype(np.float64) > at) != (candidate.astype(np.float64) > at)

    return {
        "labels": g.shape[1],
        "changed": int(changed.sum()),
        "unexplained": int((changed & ~(np.abs(g - at) <= bound)).sum()),
    }


def flips(
    gold: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    task: str,
    threshold: float | np.ndarray,
    bound: float,
) -> dict[str, Any]:
    """Count the changed decisions and judge them by ``bound`` = 2 max |z_rung - z_gold| of the
    accepted rung.

    Returns masks ``changed`` and ``explained`` ``[n_texts, n_labels]`` and the counts; a flip is
    explained iff its gold margin is at most the bound. ``outside`` counts logits further than the
    bound from gold: much the stronger test.
    """
    changed = decide(reference, task, threshold) != decide(candidate, task, threshold)
    margin = margins(gold, task, threshold)
    explained = changed & (margin <= bound)

    with np.errstate(invalid="ignore"):
        outside = ~(np.abs(candidate.astype(np.float64) - gold) <= bound)

    return {
        "changed": changed,
        "explained_mask": explained,
        "margin": margin,
        "flips": int(changed.sum()),
        "explained": int(explained.sum()),
        "unexplained": int((changed & ~explained).sum()),
        "outside": int(outside.sum()),
        "texts": int(changed.any(axis=1).sum()),
    }
