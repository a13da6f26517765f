"""Logits, probabilities and every hidden state, candidate against gold, by the same measures."""

from typing import Any

import numpy as np

from goemo_utils.parity import metrics as m
from goemo_utils.parity.compared import Compared, to_gold
from goemo_utils.parity.decisions import probabilities
from goemo_utils.parity.gates import written

MEASURES = {
    "rmse": "sqrt(mean((c - g)^2))",
    "mae": "mean|c - g|",
    "max": "max|c - g|",
    "mean_relative": "mean(|c - g| / |g|) over |g| >= small",
    "max_relative": "max(|c - g| / |g|) over |g| >= small",
    "cosine": "mean over rows of cos(c, g)",
    "R": "RMSE(c, g) / max(RMSE(r, g), eps/4 rms(g))",
    "same": "RMSE(c, g) <= multiplier RMSE(r, g) + 1e-5 (torch._dynamo.utils.same, tol 1e-4)",
    "required_tolerance": (
        "the tol that torch._dynamo.utils.same would have needed: 10 (RMSE(c, g) - multiplier"
        " RMSE(r, g)), at least 0"
    ),
    "grade": (
        "L2, L1, L0 or none by the ratios of MARE, MERE and RMSE to gold (limits of operators)"
    ),
}
"""What a row holds, by formula: c candidate, g gold, r reference; small values are those below the
dtype's small-value domain.
"""


def rows(c: Compared) -> list[dict[str, Any]]:
    """A row a state: ``logits`` and ``probabilities`` [n_texts, n_labels], ``hidden.<i>``
    [n_real_tokens, width]; real tokens only.

    A number that is not finite is written as a word; null where no value is large enough for a
    relative error.
    """
    found = [_row(name, c, *c.tensors[name]) for name in c.names]
    if c.decides:
        with np.errstate(invalid="ignore"):
            found.insert(
                1,
                _row("probabilities", c, *(probabilities(z, c.task) for z in c.tensors["logits"])),
            )

    return found


def _row(
    name: str, c: Compared, gold: np.ndarray, reference: np.ndarray, candidate: np.ndarray
) -> dict[str, Any]:
    each = c.to_gold[name] if name in c.to_gold else to_gold(gold, reference, candidate, c.dtype)
    d, own, floor = each.candidate, each.reference, each.floor
    mean, largest, large = m.relative(candidate, gold, m.SMALL[c.dtype])
    grade, ratios = m.ascend_grade(candidate, reference, gold)
    values = {
        "rmse": d.rms,
        "mae": d.mean,
        "max": d.max,
        "mean_relative": mean if large else None,
        "max_relative": largest if large else None,
        "cosine": m.mean_cosine(candidate, gold),
        "R": m.ratio(d.rms, own.rms, floor),
        "same": m.dynamo_same(d, own, c.dtype),
        "required_tolerance": m.required_tolerance(d, own, c.dtype),
        "grade": grade,
        "rmse_reference": own.rms,
    }

    return {
        "state": name,
        "n": d.n,
        "n_relative": large,
        **{k: written(v) for k, v in values.items()},
        "ratios": {k: written(v) for k, v in ratios.items()},
    }
