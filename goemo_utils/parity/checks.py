"""How the gates about the error are decided: its class, its cause, its place and what it changes.

The gates about the runs themselves are in ``runs``; the order, the words and the limits are in
``gates``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity import account, quality
from goemo_utils.parity.compared import Compared
from goemo_utils.parity.decisions import decide
from goemo_utils.parity.flips import lower_bound, needed, upper_bound
from goemo_utils.parity.gates import (
    CANNOT_TELL,
    EXPLAINED,
    FAIL,
    PASS,
    Gate,
    Limits,
    not_run,
    written,
)
from goemo_utils.parity.metrics import within

Part = Mapping[str, Any] | None
Arrays = Mapping[str, np.ndarray]
NOT_FINITE = "A value is not finite, so there is no decision to compare."


def accepted(cause: Part, limits: Limits) -> bool:
    """Whether the named arithmetic leaves no more over than the limit, in every state; null stands
    for NaN or infinite.
    """
    return cause is not None and within(cause.get("residual"), limits.residual)


@dataclass(frozen=True)
class Excuse:
    """Whether an arithmetic accounts for the error of the packs' own texts, and how much of the
    limit it leaves over there: 1 is at the limit.
    """

    holds: bool
    left: float
    told: str


def excuse(c: Compared, cause: Part, rung: Arrays | None, limits: Limits) -> Excuse:
    """May an error that is more than rounding be explained? Only if the named arithmetic was
    accepted, and what it leaves over on the packs' own texts, and on the worst batch of them, is
    within the limit too.
    """
    if cause is None or not accepted(cause, limits):
        return Excuse(False, math.inf, "")

    worst, at = 0.0, ""
    for state in c.names:
        left = account.residual(c, state, cause, rung)
        if left is None:
            if state == c.main:
                return Excuse(False, math.inf, "its answers to these texts are not at hand")
            continue
        over = left.over(limits.residual)
        if not over <= worst:
            worst, at = over, _told_at(left)

    if worst <= 1.0:
        return Excuse(True, worst, "")

    return Excuse(False, worst, f"it leaves {worst:.3g} x the limit over {at}")


def _told_at(left: account.Left) -> str:
    batch = f", worst in batch {left.batch}" if left.batch is not None else ""
    return f"on {left.where}{batch}"


def ratio_limit(c: Compared, limits: Limits) -> float:
    """The limit of R on what is compared first."""
    if limits.ratio is not None:
        return limits.ratio
    return 3.0 if c.dtype in ("float16", "bfloat16") else 2.0


def rounding(c: Compared, limits: Limits, cause: Part, excused: Excuse) -> Gate:
    """Is the error no more than rounding? R on the logits and on every hidden state, over all texts
    and over the worst batch; else a cause that accounts for these very texts explains it.
    """
    main_limit = ratio_limit(c, limits)
    errors = {name: account.error(c, name) for name in c.names}
    bounds = {
        name: main_limit if c.decides and name == c.main else limits.state_ratio for name in c.names
    }
    where = c.main
    for name in c.names:  # a hidden state is named only where the main quantity is within its limit
        if errors[where].over(bounds[where]) <= 1 and not errors[name].over(bounds[name]) <= 1:
            where = name
    left, bound = errors[where], bounds[where]
    x = "z" if where == "logits" else "h"
    formula = (
        f"RMSE({x}_c, {x}_g) / RMSE({x}_r, {x}_g) on {where.replace('hidden.', 'hidden state ')};"
        f" every hidden state <= {limits.state_ratio:g}; {account.WORST:g} times that on any batch"
    )
    n = c.to_gold[where].candidate.n
    extra = {"where": where, "worst_batch": written(left.worst), "batch": left.batch}

    def gate(result: str, meaning: str) -> Gate:
        return Gate("rounding", result, left.value, bound, n, formula, meaning, extra)

    if left.over(bound) <= 1:
        return gate(PASS, f"Error is {left.value:.2g} x the reference's own: rounding.")
    if math.isnan(left.value):
        return gate(FAIL, "An output is not finite.")
    seen = left.worst if left.value <= bound else left.value
    at = f" in batch {left.batch}" if left.value <= bound else ""
    if excused.holds and cause and cause.get("causes"):
        return gate(EXPLAINED, f"Error is {seen:.3g} x the reference's own{at}: not rounding.")
    if excused.holds:
        return gate(
            PASS, f"Error is {seen:.2g} x the reference's own{at}: rounding in another order."
        )
    return gate(FAIL, f"Error is {seen:.3g} x the reference's own{at}: not rounding.")


def largest_error(
    c: Compared, limits: Limits, cause: Part, rung: Arrays | None, excused: Excuse
) -> Gate:
    """No single element may be further from gold than the largest errors of the reference say: an
    encoder has no decisions that would show one, and a root mean square hides it.
    """
    over = {name: c.ratio_max(name) for name in c.names}
    at = max(over, key=lambda name: math.inf if math.isnan(over[name]) else over[name])
    limit = limits.largest
    formula = "max|x_c - x_g| / max|x_r - x_g|, largest of all states"
    n = sum(each.candidate.n for each in c.to_gold.values())

    def gate(result: str, meaning: str) -> Gate:
        return Gate("largest_error", result, over[at], limit, n, formula, meaning, {"where": at})

    if any(c.finite.values()):
        return gate(CANNOT_TELL, NOT_FINITE)
    if over[at] <= limit:
        return gate(PASS, f"The largest error is {over[at]:.2g} x the reference's largest.")
    if excused.holds and cause is not None:
        tops = [account.largest(c, name, cause, rung) for name in c.names]
        if all(top is None or top <= limit for top in tops):
            return gate(EXPLAINED, "The accepted arithmetic accounts for errors of this size.")
    return gate(FAIL, f"An element of {at} errs {over[at]:.3g} x the reference's largest error.")


def cause(rounding: Gate, limits: Limits, cause: Part, place: Part, excused: Excuse) -> Gate:
    """Does an arithmetic that the device was seen to do account for the error, up to its noise?"""
    formula = "largest of rms(c - rung) / noise(rung) over logits, embeddings and every layer"
    if cause is None:
        why = "No cause was looked for."
        if rounding.result == PASS:
            why = "The error is rounding: there is no cause to find."
        return not_run("cause", why, formula, limits.residual)
    left, n = cause.get("residual"), int(cause.get("n", 0))
    value = float(left) if left is not None else None
    named = " + ".join(cause.get("causes", [])) or "rounding"

    def gate(result: str, meaning: str, **extra: Any) -> Gate:
        return Gate("cause", result, value, limits.residual, n, formula, meaning, extra)

    if rounding.result in (PASS, EXPLAINED) and accepted(cause, limits):
        return gate(PASS, f"{named} accounts for the error.", cause=named)
    if rounding.result == PASS:
        return gate(PASS, "The error is rounding: no cause is needed.", cause="rounding")
    meaning = "No known arithmetic accounts for the error."
    if excused.told:
        meaning = f"{named} does not account for the error: {excused.told}."
    if place is not None and not place.get("faults"):
        meaning += f" {_suspected(place)}"
    return gate(FAIL, meaning, cause="unexplained", nearest=named)


def _suspected(place: Mapping[str, Any]) -> str:
    """Which call to look at where none is over its limits: the nearest; else what calls do not
    cover.
    """
    suspects = [s for s in place.get("suspects") or [] if _number(s["share_of_limit"]) >= NEAR]
    if suspects:
        first = suspects[0]
        where = first["module"] or "the model"
        share = _number(first["share_of_limit"])
        return (
            f"No call is over its limits; the nearest is {first['operator']} in {where}, at"
            f" {share:.2g} of them."
        )
    return "No call is over its limits: look at what was not covered, the model's own code first."


NEAR = 0.3
"""A call at less of its limits is as a clean one is, and no suspect."""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.inf


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
        if f.get("kind") == "gain"
        or _over(f.get("ratio_rms"), limits.call_rms)
        or _over(f.get("ratio_max"), limits.call_max)
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
            f" inputs{_where(first)}.",
        )

    worst, stricter = place.get("worst") or {}, limits.call_rms < 10 or limits.call_max < 20
    if stricter and any(
        isinstance(worst.get(key), (int, float)) and worst[key] > limit
        for key, limit in (("ratio_rms", limits.call_rms), ("ratio_max", limits.call_max))
    ):
        operator = max(
            place["operators"],
            key=lambda o: max(o["ratio_rms"] / limits.call_rms, o["ratio_max"] / limits.call_max),
        )["operator"]
        meaning = f"{operator} is over these limits, which are stricter than the run's."
        return Gate("place", FAIL, None, 0, covered, formula, meaning)

    graded = place.get("graded") or []
    if graded:
        most = max(row["ulp"] for row in graded)
        names = ", ".join(row["operator"] for row in graded)
        meaning = f"No call is at fault; {names} err up to {most:.2g} ulp, of 32 that CANN allows."
        extra = {"grade": "lower"}
        return Gate("place", PASS, 0, 0, covered, formula, meaning, extra)

    meaning = "Every call is right on the reference's inputs."

    return Gate("place", PASS, 0, 0, covered, formula, meaning)


def _where(fault: Mapping[str, Any]) -> str:
    """Reading and circumstances of a fault, as they end a sentence."""
    parts = [fault.get("reading"), fault.get("only")]
    told = ", ".join(str(part) for part in parts if part)
    return f" ({told})" if told else ""


def _over(value: Any, limit: float) -> bool:
    """A ratio above its limit; a word or null stands for NaN or infinite, above any limit."""
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
    if bad:
        meaning = f"{unexplained} unexplained flips, {outside} logits outside the envelope."
    elif changed["flips"]:
        meaning = f"{changed['flips']} flips, all within reach of rounding."
    else:
        meaning = "No decision changed; no logit is outside the envelope."

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
    if rounding.result in (PASS, EXPLAINED) and not changed["unexplained"]:
        why = "explained by the cause" if rounding.result == EXPLAINED else "within its rounding"
        return Gate(
            "flip_bound",
            EXPLAINED,
            upper,
            limit,
            n,
            formula,
            f"{k} of {n:,} texts changed, all {why}.",
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
