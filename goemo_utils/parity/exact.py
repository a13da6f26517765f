"""Sums without rounding, so that the parts of a corpus add up to the same number however it was
cut.

A float64 is a whole number times a power of two. The whole numbers are added up per power, first in
float64 below 2^53, where that is exact, then as Python's integers, which do not overflow. (The idea
of one wide integer for every float: Kulisch and Miranker, "The Arithmetic of the Digital Computer",
SIAM Review 28(1), 1986.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

UNIT = 1126
"""The sum is a whole number of 2^-UNIT: the smallest float64, 2^-1074, has 52 bits below its own
power as ``frexp`` writes it."""
CHUNK = 2**20
HALF = 2**27


@dataclass(frozen=True)
class Sum:
    """A sum of ``n`` float64 numbers as a whole number of 2^-UNIT; ``finite`` says whether each of
    them was.
    """

    whole: int = 0
    n: int = 0
    finite: bool = True

    @classmethod
    def of(cls, values: np.ndarray) -> Sum:
        """The sum of an array of any shape."""
        flat = np.asarray(values, np.float64).reshape(-1)
        if not np.isfinite(flat).all():
            return cls(0, flat.size, False)
        parts = (_whole(flat[start : start + CHUNK]) for start in range(0, flat.size, CHUNK))
        return cls(sum(parts), flat.size)

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.whole + other.whole, self.n + other.n, self.finite and other.finite)

    @property
    def value(self) -> float:
        """The sum, rounded once; NaN where a number was not finite."""
        return float(Fraction(self.whole, 2**UNIT)) if self.finite else math.nan

    @property
    def mean(self) -> float:
        """The mean, rounded once; NaN of nothing."""
        if not self.finite or not self.n:
            return math.nan
        return float(Fraction(self.whole, self.n * 2**UNIT))


def _whole(flat: np.ndarray) -> int:
    """The sum of at most CHUNK numbers in units of 2^-UNIT."""
    mantissas, powers = np.frexp(flat)
    numbers = np.ldexp(mantissas, 53).astype(np.int64)  # |number| <= 2^53
    high, low = np.divmod(numbers, HALF)  # low >= 0, so that both halves add up
    kinds, place = np.unique(powers, return_inverse=True)

    highs = np.bincount(place, weights=high.astype(np.float64))
    lows = np.bincount(place, weights=low.astype(np.float64))
    return sum(
        (int(h) * HALF + int(w)) << (int(power) - 53 + UNIT)
        for h, w, power in zip(highs, lows, kinds, strict=True)
    )
