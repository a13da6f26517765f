"""How the gates about the error are decided: its class, its cause, its place and what it changes.

The gates about the runs themselves are in ``runs``; the order, the words and the limits are in
``gates``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goemo_utils.parity import quality
from goemo_utils.parity.compared import Compared
from goemo_utils.parity.decisions import decide
from goemo_utils.parity.flips import lower_bound, needed, upper_bound
from goemo_utils.parity.gates import CANNOT_TELL, EXPLAINED, FAIL, PASS, Gate, Limits, not_run

Part = Mapping[str, Any] | None
NOT_FINITE = "A value is not finite, so there is no decision to compare."


def accepted(cause: Part, limits: Limits) -> bool:
    """Whether the named arithmetic leaves no more over than the limit, in every state; null stands
    for NaN or infinite.
    """
    return (
        bool(cause)
        and cause.get("residual") is not None
        and float(cause["residual"]) <= limits.residual
    )


def rounding(c: Compared, limits: Limits, cause: Part) -> Gate:
    """Is the error no more than rounding? R on the logits, and on every hidden state; else an
    accepted cause explains it.
    """
    limit = (
        limits.ratio
        if limits.ratio is not None
        else (3.0 if c.dtype in ("float16", "bfloat16") else 2.0)
    )
    main = "logits" if c.decides else c.names[-1]
    worst, where, bound = c.ratio(main), main, limit if c.decides else limits.state_ratio
    for n in c.names:  # a hidden state is named only where the main quantity is within its limit
        if worst <= bound and not c.ratio(n) <= limits.state_ratio:
            worst, where, bound = c.ratio(n), n, limits.state_ratio
    x = "z" if where == "logits" else "h"
    formula = (
        f"RMSE({x}_c, {x}_g) / RMSE({x}_r, {x}_g) on {where.replace('hidden.', 'hidden state ')};"
        f" every hidden state <= {limits.state_ratio:g}"
    )
    n, extra = c.to_gold[where][0].n, {"where": where}

    def gate(result: str, meaning: str) -> Gate:
        return Gate("rounding", result, worst, bound, n, formula, meaning, extra)

    if worst <= bound:
        return gate(PASS, f"Error is {worst:.2g} x the reference's own: rounding.")
    if worst != worst:
        return gate(FAIL, "An output is not finite.")
    if accepted(cause, limits):
        if cause.get("causes"):
            return gate(EXPLAINED, f"Error is {worst:.3g} x the reference's own: not rounding.")
        return gate(PASS, f"Error is {worst:.2g} x the reference's own: rounding in another order.")
    return gate(FAIL, f"Error is {worst:.3g} x the reference's own: not rounding.")


def cause(rounding: Gate, limits: Limits, cause: Part, place: Part) -> Gate:
    """Does an arithmetic that the device was seen to do account for the error, up to its own noise?"""
    formula = "largest of rms(c - rung) / noise(rung) over logits, embeddings and every layer"
    if cause is None:
        if rounding.result == PASS:
            return not_run(
                "cause",
                "The error is rounding: there is no cause to find.",
                formula,
                limits.residual,
            )
        return not_run("cause", "No cause was looked for.", formula, limits.residual)
    names, left, n = list(cause.get("causes", [])), cause.get("residual"), int(cause.get("n", 0))
    value = float(left) if left is not None else None
    named = " + ".join(names) or "rounding"
    if accepted(cause, limits):
        return Gate(
            "cause",
            PASS,
            value,
            limits.residual,
            n,
            formula,
            f"{named} accounts for the error.",
            {"cause": named},
        )
    if rounding.result == PASS:
        return Gate(
            "cause",
            PASS,
            value,
            limits.residual,
            n,
            formula,
            "The error is rounding: no cause is needed.",
            {"cause": "rounding"},
        )
    meaning = "No known arithmetic accounts for the error."
    if place is not None and not place.get("faults"):
        meaning = "Unexplained, yet every covered call is right: look at what was not covered."
    return Gate(
        "cause",
        FAIL,
        value,
        limits.residual,
        n,
        formula,
        meaning,
        {"cause": "unexplained", "nearest": named},
    )


def place(limits: Limits, place: Part) -> Gate:
    """No single call may be wrong, whatever the cause: small faults vanish in the logits."""
    formula = (
        "calls whose error, on the reference's inputs, is over 10 x (rms) or 20 x (largest element)"
        " the CPU's own"
    )
    formula = formula.replace("10 x", f"{limits.call_rms:g} x").replace(
        "20 x", f"{limits.call_max:g} x"
    )
    if place is None:
        return not_run("place", "Calls were not replayed one by one.", formula, 0)
    faults, covered = list(place.get("faults", [])), int(place.get("covered", 0))
    if not covered:
        return Gate(
            "place", FAIL, None, 0, 0, formula, "No call could be replayed: nothing was compared."
        )
    hot = [
        f
        for f in faults
        if _over(f.get("ratio_rms"), limits.call_rms) or _over(f.get("ratio_max"), limits.call_max)
    ]
    if hot:
        first = hot[0]
        more = f" and {len(hot) - 1} more" if len(hot) > 1 else ""
        return Gate(
            "place",
            FAIL,
            len(hot),
            0,
            covered,
            formula,
            f"{first['operator']} in {first['module'] or 'the model'}{more}: wrong on right"
            " inputs.",
        )
    worst = place.get("worst") or {}
    if any(
        isinstance(worst.get(key), (int, float)) and worst[key] > limit
        for key, limit in (("ratio_rms", limits.call_rms), ("ratio_max", limits.call_max))
    ):
        operator = max(
            place["operators"],
            key=lambda o: max(o["ratio_rms"] / limits.call_rms, o["ratio_max"] / limits.call_max),
        )["operator"]
        return Gate(
            "place",
            FAIL,
            None,
            0,
            covered,
            formula,
            f"{operator} is over these limits, which are stricter than the run's.",
        )
    return Gate(
        "place", PASS, 0, 0, covered, formula, "Every call is right on the reference's inputs."
    )


def _over(value: Any, limit: float) -> bool:
    """A ratio above its limit; a word or null stands for NaN or infinite, which is above any limit."""
    return not isinstance(value, (int, float)) or not value <= limit


def flips(c: Compared, limits: Limits, changed: Part, bound: float) -> Gate:
    """No decision may change, and no logit may lie, further out than the accepted arithmetic itself
    goes.
    """
    formula = "flips with |z_g - t| > B, and logits with |z_c - z_g| > B; B = 2 max|z_rung - z_g|"
    if changed is None:
        return not_run("flips", f"The task is {c.task}: there are no decisions.", formula, 0)
    if any(c.finite.values()):
        return Gate(
            "flips",
            CANNOT_TELL,
            None,
            limits.unexplained_flips + limits.outside_envelope,
            c.n_decisions,
            formula,
            NOT_FINITE,
        )
    unexplained, outside = changed["unexplained"], changed["outside"]
    bad = unexplained > limits.unexplained_flips or outside > limits.outside_envelope
    extra = {
        "unexplained": unexplained,
        "outside": outside,
        "bound": bound if np.isfinite(bound) else None,
    }
    meaning = (
        f"{unexplained} unexplained flips, {outside} logits outside the envelope."
        if bad
        else (
            f"{changed['flips']} flips, all within reach of rounding."
            if changed["flips"]
            else "No decision changed; no logit is outside the envelope."
        )
    )
    return Gate(
        "flips",
        FAIL if bad else PASS,
        unexplained + outside,
        limits.unexplained_flips + limits.outside_envelope,
        c.n_decisions,
        formula,
        meaning,
        extra,
    )


def flip_bound(c: Compared, limits: Limits, changed: Part, rounding: Gate) -> Gate:
    """How many texts may get another label set, at 95 % confidence? Too few texts cannot show a
    small rate.
    """
    n, limit = c.n_texts, limits.flip_rate
    formula = (
        f"Clopper-Pearson bound, one-sided {limits.confidence:.0%}, on the share of texts with"
        " another label set"
    )
    if changed is None:
        return not_run(
            "flip_bound", f"The task is {c.task}: there are no decisions.", formula, limit
        )
    if any(c.finite.values()):
        return Gate("flip_bound", CANNOT_TELL, None, limit, n, formula, NOT_FINITE)
    if not n:
        return Gate("flip_bound", FAIL, None, limit, 0, formula, "Nothing was compared.")
    k = changed["texts"]
    upper, extra = (
        upper_bound(k, n, limits.confidence),
        {"texts_changed": k, "needed": needed(limit, limits.confidence)},
    )
    if upper <= limit:
        return Gate(
            "flip_bound",
            PASS,
            upper,
            limit,
            n,
            formula,
            f"{k} of {n:,} texts changed: the rate is below the limit.",
            extra,
        )
    if lower_bound(k, n, limits.confidence) <= limit:
        meaning = (
            f"{n:,} texts cannot show {100 * limit:g} %: at least {extra['needed']:,} are needed."
            if not k
            else f"{k} of {n:,} texts changed: too few texts to tell."
        )
        return Gate("flip_bound", CANNOT_TELL, upper, limit, n, formula, meaning, extra)
    if rounding.result == EXPLAINED and not changed["unexplained"]:
        return Gate(
            "flip_bound",
            EXPLAINED,
            upper,
            limit,
            n,
            formula,
            f"{k} of {n:,} texts changed, all explained by the cause.",
            extra,
        )
    return Gate(
        "flip_bound",
        FAIL,
        upper,
        limit,
        n,
        formula,
        f"{k} of {n:,} texts changed: more than the limit.",
        extra,
    )


def task_quality(c: Compared, limits: Limits, labels: Sequence[Sequence[int]] | None) -> Gate:
    """With true labels: micro-F1 may not change by more than half a point, over the whole 95 %
    interval.
    """
    formula = "100 (F1_c - F1_r), micro-averaged; 95 % interval by paired bootstrap over texts"
    limit = limits.quality_points
    if not c.decides:
        return not_run(
            "task_quality", f"The task is {c.task}: there are no decisions.", formula, limit
        )
    if any(c.finite.values()):
        return Gate("task_quality", CANNOT_TELL, None, limit, c.n_texts, formula, NOT_FINITE)
    if labels is None:
        return not_run("task_quality", "The texts have no true labels.", formula, limit)
    truth = quality.truth_matrix([list(ids) for ids in labels], c.n_labels)
    found = quality.difference(
        truth, decide(c.reference, c.task, c.threshold), decide(c.candidate, c.task, c.threshold)
    )
    low, high = (100 * v for v in found["interval"])
    extra = {
        "interval": [low, high],
        "f1_reference": found["reference"],
        "f1_candidate": found["candidate"],
        "unit": "points",
    }
    value = 100 * found["delta"]
    if max(abs(low), abs(high)) <= limit:
        return Gate(
            "task_quality",
            PASS,
            value,
            limit,
            found["n"],
            formula,
            f"Micro-F1 change, 95 % interval [{low:+.2g}, {high:+.2g}].",
            extra,
        )
    if low > limit or high < -limit:
        return Gate(
            "task_quality",
            FAIL,
            value,
            limit,
            found["n"],
            formula,
            f"Micro-F1 changed, 95 % interval [{low:+.2g}, {high:+.2g}].",
            extra,
        )
    return Gate(
        "task_quality",
        CANNOT_TELL,
        value,
        limit,
        found["n"],
        formula,
        f"Too few texts: 95 % interval [{low:+.2g}, {high:+.2g}].",
        extra,
    )
