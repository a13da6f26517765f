"""How far two arrays are apart, always in float64; each metric carries its unit, its n and its
formula.

Symbols in the formulas: z logits, p probabilities, h hidden states; c candidate, r reference, g
gold.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS = 4096  # rows compared at a time: float64 copies of hidden states never exist as a whole
EPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}
SMALL = {"float32": 2.0**-14, "float16": 2.0**-11, "bfloat16": 2.0**-8, "float64": 2.0**-14}
"""Below this a relative error says nothing: the small-value domain of msprobe's documents, per
dtype.
"""


def metric(id: str, value: Any, unit: str, n: int, formula: str, **more: Any) -> dict[str, Any]:
    """A metric as records hold it; a value that is no finite number becomes null, and why."""
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        more.setdefault("reason", f"not finite: {value}")
        value = None
    if isinstance(value, np.generic):
        value = value.item()
    return {"id": id, "value": value, "unit": unit, "n": int(n), "formula": formula, **more}


def absent(id: str, unit: str, formula: str, reason: str) -> dict[str, Any]:
    """A metric that could not be computed, and why."""
    return {"id": id, "value": None, "unit": unit, "n": 0, "formula": formula, "reason": reason}


@dataclass(frozen=True)
class Distance:
    """The difference of two arrays of one shape: ``rms``, ``mean`` and ``max`` of |a - b| over
    ``n`` elements.
    """

    rms: float
    mean: float
    max: float
    n: int


def distance(a: np.ndarray, b: np.ndarray) -> Distance:
    """Distance of two arrays ``[rows, …]``; a NaN or infinity anywhere makes all three numbers NaN
    or infinite.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"Arrays of shapes {a.shape} and {b.shape} cannot be compared element by element."
        )

    squares = total = largest = 0.0
    for start in range(0, len(a), ROWS):
        with np.errstate(invalid="ignore", over="ignore"):
            d = np.abs(
                a[start : start + ROWS].astype(np.float64)
                - b[start : start + ROWS].astype(np.float64)
            )
            squares += float(np.sum(d * d))
            total += float(np.sum(d))
        largest = float(np.maximum(largest, np.max(d, initial=0.0)))

    n = a.size
    if not n:
        return Distance(math.nan, math.nan, math.nan, 0)

    return Distance(math.sqrt(squares / n), total / n, largest, n)


def rms(a: np.ndarray) -> float:
    """Root mean square of an array, NaN if it is empty."""
    return distance(a, np.broadcast_to(np.float32(0), a.shape)).rms


def ratio(candidate: float, reference: float, floor: float) -> float:
    """Candidate's error over the reference's, both to gold; ``floor`` stands in for a reference
    error of (nearly) zero.

    The floor is half of the largest rounding error of a typical element: an exact operation has no
    error on the CPU.
    """
    below = max(reference, floor)
    if math.isnan(candidate) or math.isnan(below):
        return math.nan
    if below == 0.0:
        return 0.0 if candidate == 0.0 else math.inf
    return candidate / below


def over_noise(size: float, noise: float) -> float:
    """An error in units of a noise. NaN stays NaN, which no limit holds for; something over no
    noise at all is infinite, nothing over nothing 0.
    """
    return ratio(size, noise, 0.0)


def within(value: float | None, limit: float) -> bool:
    """Whether a number is at most its limit; NaN, and null where it stands for NaN or infinite, is
    not.
    """
    return value is not None and value <= limit


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows of the cosine of two ``[rows, width]`` arrays; two zero rows count as equal;
    NaN where a value is not finite.
    """
    total = 0.0
    for start in range(0, len(a), ROWS):
        x, y = (v[start : start + ROWS].astype(np.float64) for v in (a, b))
        with np.errstate(invalid="ignore", over="ignore"):
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            both_zero = ~x.any(axis=1) & ~y.any(axis=1)
            cosines = np.where(
                both_zero, 1.0, np.sum(x * y, axis=1) / np.where(norms == 0, 1.0, norms)
            )
        total += float(np.sum(cosines))

    return total / len(a) if len(a) else math.nan


def relative(
    candidate: np.ndarray, reference: np.ndarray, small: float
) -> tuple[float, float, int]:
    """(mean, max, n) of |c - r| / |r| over the elements with |r| >= ``small``; NaN where none is
    large enough.
    """
    total, largest, n = 0.0, 0.0, 0
    for start in range(0, len(reference), ROWS):
        c, r = (v[start : start + ROWS].astype(np.float64) for v in (candidate, reference))
        keep = np.abs(r) >= small
        with np.errstate(invalid="ignore"):
            errors = np.abs(c[keep] - r[keep]) / np.abs(r[keep])
        total, largest, n = (
            total + float(np.sum(errors)),
            float(np.maximum(largest, np.max(errors, initial=0.0))),
            n + errors.size,
        )

    return (total / n, largest, n) if n else (math.nan, math.nan, 0)


def within_one_percent(candidate: np.ndarray, reference: np.ndarray) -> float:
    """Share of elements with |c - r| <= 0.01 |r|."""
    c, r = candidate.astype(np.float64), reference.astype(np.float64)
    return float(np.mean(np.abs(c - r) <= 0.01 * np.abs(r))) if r.size else math.nan


def same_multiplier(dtype: str, n: int) -> float:
    """How many times the reference's RMSE the candidate's may be: ``torch._dynamo.utils.same``.

    2 for float32 and 3 for half precisions; arrays of at most 10 (500) elements may have 10 (8)
    times, of less than 1,000 3 times.
    """
    if n <= 10:
        return 10.0
    if n <= 500:
        return 8.0
    return 3.0 if n < 1000 or dtype in ("float16", "bfloat16") else 2.0


def dynamo_same(
    candidate: Distance, reference: Distance, dtype: str, tolerance: float = 1e-4
) -> bool:
    """The accuracy check of ``torch._dynamo.utils.same`` against float64: RMSE(c, g) <= multiplier
    x RMSE(r, g) + tolerance / 10.

    Torch asks allclose first and this only where it says no; this is the stricter of the two unless
    single elements are far off.
    """
    return candidate.rms <= same_multiplier(dtype, candidate.n) * reference.rms + tolerance / 10


def required_tolerance(candidate: Distance, reference: Distance, dtype: str) -> float:
    """The tolerance that ``torch._dynamo.utils.same`` would have needed; NaN where an error is not
    finite.
    """
    needed = (candidate.rms - same_multiplier(dtype, candidate.n) * reference.rms) * 10
    return needed if math.isnan(needed) else max(0.0, needed)


GRADES = (("L2", (2.0, 1.2, 1.2)), ("L1", (5.0, 1.5, 1.5)), ("L0", (10.0, 2.0, 2.0)))
"""Grades of CANN's dual-benchmark standard, strictest first: limits of the ratios of MARE, MERE and
RMSE. L2 asks for 30,000 cases, L1 10,000, L0 5,000.
"""


def ascend_grade(
    candidate: np.ndarray, reference: np.ndarray, gold: np.ndarray
) -> tuple[str, dict[str, float]]:
    """Grade of CANN's dual-benchmark standard, with the CPU float32 run as the other chip; ("none"
    if all are exceeded).

    Ratios of MARE = max, MERE = mean of |a - g| / (|g| + 1e-7), and RMSE. L2 <= 2 / 1.2 / 1.2, L1
    <= 5 / 1.5 / 1.5, L0 <= 10 / 2 / 2 (operator limits; used here on a whole model). A value that
    is not finite ends as the grade "none".
    """
    ratios = dict(
        zip(
            ("MARE", "MERE", "RMSE"),
            (
                ratio(c, r, 0.0)
                for c, r in zip(_graded(candidate, gold), _graded(reference, gold), strict=True)
            ),
            strict=False,
        )
    )

    return (
        next(
            (
                grade
                for grade, limits in GRADES
                if all(v <= limit for v, limit in zip(ratios.values(), limits, strict=True))
            ),
            "none",
        ),
        ratios,
    )


def _graded(a: np.ndarray, gold: np.ndarray) -> tuple[float, float, float]:
    """(MARE, MERE, RMSE) of an array, a few rows at a time."""
    largest = total = squares = 0.0
    for start in range(0, len(gold), ROWS):
        x, g = (v[start : start + ROWS].astype(np.float64) for v in (a, gold))
        with np.errstate(invalid="ignore", over="ignore"):
            d = np.abs(x - g)
            share = d / (np.abs(g) + 1e-7)
            largest = float(np.maximum(largest, share.max(initial=0.0)))
            total, squares = total + float(share.sum()), squares + float((d * d).sum())
    return largest, total / max(gold.size, 1), math.sqrt(squares / max(gold.size, 1))
