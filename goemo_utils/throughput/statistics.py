"""Statistics of timings: medians with intervals, ratios, percentiles that the sample can carry, and
when not to conclude.

Pure functions on samples. Timings are skewed and drift, so nothing here assumes a normal
distribution: medians and quartiles describe, the percentile bootstrap (Efron 1979) gives intervals
(Hoefler and Belli, SC'15, rules 5 to 8).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 2000
# An interval wider than this share of its own median says too little to conclude from.
CONCLUSIVE_WIDTH = 0.2
# Samples that an interval needs. Of n samples even the whole range covers the median only 1 -
# 2^(1-n) of the time: 94 % for five, 75 % for three, never for one.
FEWEST = 5
PERCENTILES = (0.50, 0.90, 0.95, 0.99)


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile, by linear interpolation."""
    q1, median, q3 = np.percentile(_checked(samples), [25, 50, 75])
    return float(q1), float(median), float(q3)


def median_interval(samples: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    values = _checked(samples)
    medians = np.median(values[_resamples(len(values), seed)], axis=1)
    return _interval(medians)


def ratio(
    numerator: Sequence[float], denominator: Sequence[float], seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Ratio of two medians and its 95 % bootstrap interval.

    Samples of the same round belong together (interleaved rounds share the machine's mood and the
    texts), so rounds are resampled as pairs; samples of unequal number are resampled apart.
    """
    above, below = _checked(numerator), _checked(denominator)
    rows = _resamples(len(above), seed)
    columns = rows if len(above) == len(below) else _resamples(len(below), seed + 1)
    ratios = np.median(above[rows], axis=1) / np.median(below[columns], axis=1)
    return float(np.median(above) / np.median(below)), _interval(ratios)


def needed_for(quantile: float) -> int:
    """Samples that a percentile needs: ten beyond it, 10 / (1 - q); the median needs 20, p90 100,
    p99 1000.
    """
    return round(10 / (1 - quantile))


def percentiles(
    samples: Sequence[float], quantiles: Sequence[float] = PERCENTILES
) -> dict[str, float | None]:
    """``{"p50": …}``; a percentile for which there are too few samples is None."""
    values = _checked(samples) if len(samples) else np.zeros(0)
    return {
        f"p{q * 100:g}": float(np.quantile(values, q)) if len(values) >= needed_for(q) else None
        for q in quantiles
    }


def drift(samples: Sequence[float]) -> float:
    """Change over the whole run of samples as a share of their median, along the Theil-Sen slope
    (median of all pairwise slopes).

    One outlier cannot move it, and a steady descent cannot hide from it.
    """
    values = _checked(samples)
    i, j = np.triu_indices(len(values), 1)
    if len(i) == 0:
        return float("inf")
    slope = np.median((values[j] - values[i]) / (j - i))
    return float(abs(slope) * (len(values) - 1) / np.median(values))


def is_steady(samples: Sequence[float], window: int = 6, tolerance: float = 0.05) -> bool:
    """Whether the last ``window`` samples drift by less than ``tolerance`` of their median, first
    to last.
    """
    return len(samples) >= window and drift(samples[-window:]) < tolerance


def doubt(value: float, interval: tuple[float, float], n: int) -> str | None:
    """Why ``n`` samples with this interval are not enough to conclude from; None where they are."""
    if n < FEWEST:
        return f"too few rounds to conclude: {n}, and an interval of 95 % needs {FEWEST}"
    width = interval[1] - interval[0]
    if width <= CONCLUSIVE_WIDTH * abs(value):
        return None
    return (
        f"too noisy to conclude: the 95 % interval is {100 * width / abs(value):.0f} % of the"
        f" median, the limit is {100 * CONCLUSIVE_WIDTH:.0f} %"
    )


def summary(samples: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """``n, median, q1, q3, ci95, conclusive`` of one row; all None but n = 0 when there are no
    samples.
    """
    if not len(samples):
        return {"n": 0, "median": None, "q1": None, "q3": None, "ci95": None, "conclusive": None}

    q1, median, q3 = quartiles(samples)
    interval = median_interval(samples, seed)

    return {
        "n": len(samples),
        "median": median,
        "q1": q1,
        "q3": q3,
        "ci95": list(interval),
        "conclusive": doubt(median, interval, len(samples)) is None,
    }


def _resamples(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _checked(samples: Sequence[float]) -> np.ndarray:
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"Statistics need at least one sample and finite ones; got {values.size} samples,"
            f" {int((~np.isfinite(values)).sum())} not finite."
        )
    return values
