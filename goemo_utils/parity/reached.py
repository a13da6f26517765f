"""How the gates are decided about what a run would not have asked by itself: the yardsticks, the
exercise set, and the path that users run.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from goemo_utils.parity import account
from goemo_utils.parity import metrics as m
from goemo_utils.parity.compared import Compared, to_gold
from goemo_utils.parity.gates import FAIL, PASS, Gate, Limits, not_run

Part = Mapping[str, Any] | None

SMALL = {"float32": 2.0**-15, "float16": 0.5, "bfloat16": 1.0}
"""Relative error of a reference's first layer at most where nothing else is known of it: 256 eps of
float32 (HF32 and TF32 lose 2,000 and 4,000 in one product); half precisions say little."""
SMALL_ANY = {"float32": 1e-3, "float16": 0.5, "bfloat16": 1.0}
"""The same of any state, in which a deep model may have let its rounding grow."""


def reference(c: Compared, limits: Limits, evidence: Part) -> Gate:
    """Is the reference what its dtype says, gold float64, and the checkpoint finite? A device is
    never better judged than by its yardsticks.
    """
    formula = (
        "probes and calls of gold and reference; RMSE(r, g) over this machine's own reference's on"
        " the same texts; all weights finite"
    )
    against = _alone(c) if evidence is None else _told(evidence)
    n = int((evidence or {}).get("n") or c.n_elements)

    if against:
        more = f" and {len(against) - 1} more" if len(against) > 1 else ""
        meaning = f"The yardstick is wrong: {against[0]}{more}."
        extra = {"against": against}
        return Gate("reference", FAIL, len(against), 0, n, formula, meaning, extra)

    settings = (evidence or {}).get("settings")
    meaning = "Gold is float64 and the reference computes as its dtype says."
    if evidence is None:
        meaning = "The reference's error is of the size of its dtype's rounding."

    extra = {"settings": settings} if settings else {}

    return Gate("reference", PASS, 0, 0, n, formula, meaning, extra)


def _told(evidence: Mapping[str, Any]) -> list[str]:
    """What the explanation found against the yardsticks, the checkpoint first."""
    weights = [f"weights are not finite ({text})" for text in evidence.get("weights") or []]
    order = ("gold", "probe", "packs", "calls")
    return weights + [text for part in order for text in evidence.get(part) or []]


def _alone(c: Compared) -> list[str]:
    """What the packs alone say: the reference's error by gold's size, of the first layer and of
    every state.
    """
    found = []
    for name in c.names:
        gold = c.tensors[name][0]
        size, error = m.rms(gold), c.to_gold[name].reference.rms
        if not math.isfinite(size) or not math.isfinite(error):
            continue
        first = name in ("hidden.0", "hidden.1")
        limit = (SMALL if first else SMALL_ANY).get(c.dtype, 1.0)
        if error > limit * size:
            found.append(
                f"the reference's {name} errs {error / size:.2g} of its size, which no"
                f" {c.dtype} does"
            )

    return found


def reach(c: Compared, limits: Limits, exercise: Part) -> Gate:
    """Every batch of the exercise set is right too: lengths up to the model's limit, batches up to
    predict's own budget, tokens of the whole vocabulary.
    """
    formula = (
        "rms(c - rung) / noise and max|c - rung| / largest noise of every batch of the exercise"
        " set, over all states"
    )
    if exercise is None:
        return not_run("reach", "No other lengths and batch sizes were run.", formula)

    rows, failed, limit = exercise["rows"], exercise["failed"], exercise["limit"]
    if not rows:
        return Gate("reach", FAIL, None, limit, 0, formula, "Nothing was compared.")

    values = [_or_infinite(row["residual"]) for row in rows]
    worst = max(range(len(rows)), key=values.__getitem__)
    extra = {"where": _shape(rows[worst])}
    value: Any = values[worst] if math.isfinite(values[worst]) else rows[worst]["residual"]
    if failed:
        meaning = f"Wrong in {len(failed)} of {len(rows)} batches: {told(failed, rows)}."
        return Gate("reach", FAIL, value, limit, len(rows), formula, meaning, extra)

    lengths = exercise["reach"]
    meaning = (
        f"Lengths up to {lengths['longest']} and batches of up to {lengths['batch_sizes'][-1]}"
        " texts are right."
    )

    return Gate("reach", PASS, value, limit, len(rows), formula, meaning, extra)


def told(failed: list[Any], rows: list[Any]) -> str:
    """Which batches are wrong, in words: beyond a length, from a number of texts on, or which."""
    right = [row for row in rows if row["ok"]]
    for axis, words in (("tokens", "of {} tokens and more"), ("texts", "of {} texts and more")):
        least = min(row[axis] for row in failed)
        if right and all(row[axis] < least for row in right):
            return "those " + words.format(least)
    kinds = sorted({row["kind"] for row in failed})
    return f"{_shape(failed[0])} first ({', '.join(kinds)})"


def _shape(row: Mapping[str, Any]) -> str:
    plural = "s" if row["texts"] != 1 else ""
    return f"{row['texts']} text{plural} of {row['tokens']} tokens"


def _or_infinite(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.inf


def as_used(
    c: Compared,
    limits: Limits,
    used: Mapping[str, np.ndarray] | None,
    envelope: float,
    ratio: float,
) -> Gate:
    """Are the answers that users get, without hidden states and in predict's own batches, as right
    as those that were compared? R may be ``ratio``, or what the accepted arithmetic itself has.
    """
    formula = "RMSE(u, g) / RMSE(r, g) of predict and of inference.py's loop, u their answers"
    if not used:
        return not_run("as_used", "The path that users run was not run.", formula)

    worst, at, n, outside = 0.0, "", 0, 0
    for way, output in used.items():
        rows = min(len(output), len(c.gold))
        gold, reference = c.gold[:rows], c.reference[:rows]
        each = to_gold(gold, reference, output[:rows], c.dtype)
        mine = m.ratio(each.candidate.rms, each.reference.rms, each.floor)
        n += each.candidate.n
        if not mine <= worst:
            worst, at = mine, way
        with np.errstate(invalid="ignore"):
            beyond = ~(np.abs(output[:rows].astype(np.float64) - gold) <= envelope)
        outside += int(beyond.sum()) if math.isfinite(envelope) else 0

    extra = {"where": at, "outside": outside}
    name = {"loop": "inference.py's loop", "predict": "predict"}.get(at, at)
    if not worst <= account.WORST * ratio or outside > limits.outside_envelope:
        meaning = f"{name or 'predict'} errs {worst:.3g} x the reference's own, {outside} answers"
        meaning += " outside the envelope."
        return Gate("as_used", FAIL, worst, account.WORST * ratio, n, formula, meaning, extra)

    meaning = "predict and inference.py's loop give the answers that were compared."

    return Gate("as_used", PASS, worst, account.WORST * ratio, n, formula, meaning, extra)
