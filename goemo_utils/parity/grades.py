"""Grades that reviewers know, beside R: the tiers of Huawei's open operator standard and of AWS's
framework equivalence, and whether the errors have the reference's shape to their tails.

Sources: CANN's operator precision standard (opbase, open since 9.1: ratios of RMSE 2, 1.5 and 1.2
for L0, L1 and L2, and a mixed tolerance that 99 % of elements and the largest must keep); AWS
Neuron's Framework Equivalence (1.1 and 1.2 good, up to 2.0 marginal, and a QQ plot: "a passing
ratio with a failing QQ plot warrants investigation").
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity import metrics as m
from goemo_utils.parity.compared import Compared

TIERS = (("L2", 1.2), ("L1", 1.5), ("L0", 2.0))
AWS = (("excellent", 1.1), ("good", 1.2), ("marginal", 2.0))
QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
TAIL = 3.0
"""How much larger than the median's a tail quantile's ratio may be: the same shape gives 1."""


@dataclass(frozen=True)
class Tolerance:
    """|a - g| <= atol + rtol |g| for 99 % of elements, and at most max(limit, 32 ulp)."""

    rtol: float
    atol: float
    limit: float
    ulp: float


MIXED = {
    "float32": Tolerance(2.0**-10, 2.0**-16, 1e-2, 2.0**-23),
    "float16": Tolerance(2.0**-9, 2.0**-9, 0.1, 2.0**-10),
    "bfloat16": Tolerance(2.0**-6, 2.0**-6, 1.0, 2.0**-7),
}


def tier(ratio: float, tiers: tuple[tuple[str, float], ...] = TIERS) -> str:
    """The best tier whose limit a ratio keeps; ``none`` if it keeps none, as NaN does."""
    return next((name for name, limit in tiers if ratio <= limit), "none")


def of(c: Compared) -> dict[str, Any]:
    """The grades of what is compared first: tier by RMSE, AWS's class, and the mixed tolerance."""
    ratio, gold = c.ratio(c.main), c.gold.astype(np.float64)
    mixed = MIXED.get(c.dtype)
    grades: dict[str, Any] = {
        "tier": tier(ratio),
        "aws": tier(ratio, AWS),
        "ratio": ratio if math.isfinite(ratio) else None,
        "mixed_tolerance": None,
        "formula": "RMSE(c, g) / RMSE(r, g): L2 <= 1.2, L1 <= 1.5, L0 <= 2; AWS 1.1, 1.2, 2.0",
    }
    if mixed is None:
        return grades

    with np.errstate(invalid="ignore"):
        error = np.abs(c.candidate.astype(np.float64) - gold)

    share = float((error <= mixed.atol + mixed.rtol * np.abs(gold)).mean()) if error.size else 0.0
    allowed = np.maximum(mixed.limit, 32 * mixed.ulp * np.abs(gold))
    grades["mixed_tolerance"] = {
        "passed": share >= 0.99 and bool((error <= allowed).all()),
        "share": share,
        "largest": float(error.max()) if error.size and np.isfinite(error.max()) else None,
    }

    return grades


def tail(c: Compared) -> dict[str, Any]:
    """Quantiles of |error| of candidate and reference: a ratio that grows towards the tail says
    that a few values are wrong which R averages away.
    """
    gold = c.gold.astype(np.float64)
    with np.errstate(invalid="ignore"):
        sides = [np.abs(x.astype(np.float64) - gold).ravel() for x in (c.candidate, c.reference)]

    n = sides[0].size
    if not n or not all(np.isfinite(side).all() for side in sides):
        return {"rows": [], "heavier": None, "n": n}

    levels = [q for q in QUANTILES if n * (1 - q) >= 1] + [1.0]
    floor = m.EPS[c.dtype] / 4 * m.rms(c.gold)
    rows = []

    for level in levels:
        mine, theirs = (float(np.quantile(side, level)) for side in sides)
        ratio = mine / max(theirs, floor * 0.1) if max(theirs, floor) > 0 else 0.0
        rows.append({"quantile": level, "candidate": mine, "reference": theirs, "ratio": ratio})

    typical = max(rows[0]["ratio"], 1.0)

    return {"rows": rows, "heavier": rows[-1]["ratio"] > TAIL * typical, "n": n}
