"""How the gates about the runs themselves are decided: the right model, the right inputs, the right
place, and the same answer again.

The gates about the error between them are in ``checks``; the order, the words and the limits are in
``gates``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goemo_utils.parity.compared import Compared
from goemo_utils.parity.gates import (
    CANNOT_TELL,
    EXPLAINED,
    FAIL,
    ORDER,
    PASS,
    Gate,
    Limits,
    not_run,
)

Part = Mapping[str, Any] | None
INPUTS = "digests of texts, token ids, weights and tokenizer, and shapes"


def refused(reasons: Sequence[str]) -> list[Gate]:
    """Gates of packs that were made from different inputs: one fails and names the differences, the
    others are not run.
    """
    text = "; ".join(reasons)
    gates = {id: not_run(id, "The inputs differ, so nothing was compared.") for id in ORDER}
    gates["finite"] = Gate(
        "finite", FAIL, None, 0, 0, "count of NaN and infinite values", "Nothing was compared."
    )
    gates["same_inputs"] = Gate(
        "same_inputs",
        FAIL,
        f"{len(reasons)} differences",
        0,
        0,
        INPUTS,
        f"The sides were asked different questions: {text}.",
    )

    return list(gates.values())


def known_answer(answer: Part) -> Gate:
    """An author's published scores, checked on the reference: a wrong weight, tokenizer or label
    order shows here.
    """
    formula = "max|p_r - p_published|"
    if answer is None:
        return not_run("known_answer", "No published answer of this model is known.", formula)

    error, limit, n, id = answer["error"], answer["limit"], answer["n"], answer["id"]
    ok = error is not None and error <= limit
    if not ok and not answer["named"]:
        return not_run(
            "known_answer", f"Not {id}, whose labels it has: its scores are others.", formula
        )

    device = answer.get("error_candidate")
    extra = {"candidate": device, "source": answer.get("source")}
    if not ok:
        meaning = f"Not the published scores of {id}: wrong weights, tokenizer, labels or GELU."
        return Gate("known_answer", FAIL, error, limit, n, formula, meaning, extra)

    if device is None:
        off = "; the device's are not finite"
    else:
        off = "" if device <= limit else f"; the device's are {device:.2g} off"

    return Gate(
        "known_answer",
        PASS,
        error,
        limit,
        n,
        formula,
        f"The published scores of {id} come out{off}.",
        extra,
    )


def finite(c: Compared) -> Gate:
    """No NaN, no infinity, on any side; and something was compared."""
    count, n = sum(c.finite.values()), c.n_elements
    if not n or not c.n_texts:
        return Gate(
            "finite", FAIL, None, 0, 0, "count of NaN and infinite values", "Nothing was compared."
        )

    bad = ", ".join(f"{v} in the {role}" for role, v in c.finite.items() if v)
    meaning = f"NaN or infinite values: {bad}." if bad else "No output is NaN or infinite."

    return Gate(
        "finite",
        FAIL if count else PASS,
        count,
        0,
        n,
        "count of NaN and infinite values in candidate, reference and gold",
        meaning,
    )


def same_inputs(c: Compared) -> Gate:
    """Reached only when nothing differs; see ``refused``. A manifest without digests proves
    nothing.
    """
    missing = [k for k in ("texts_digest", "input_ids_digest") if not c.manifest.get(k)]
    if missing:
        return Gate(
            "same_inputs",
            CANNOT_TELL,
            None,
            "all",
            c.n_texts,
            INPUTS,
            f"The manifest has no {' and no '.join(missing)}.",
        )

    return Gate(
        "same_inputs",
        PASS,
        f"{c.n_texts} / {c.n_texts}",
        "all",
        c.n_texts,
        INPUTS,
        "All sides read identical token ids.",
    )


def on_device(manifest: Mapping[str, Any], limits: Limits) -> Gate:
    """The candidate ran where it should: proof of placement, and no operator on the CPU instead."""
    formula = "device of parameters and of the output; operators that fell back to the CPU"
    fallbacks = list(manifest.get("fallbacks") or [])
    placement = dict(manifest.get("placement") or {})
    n = int(manifest.get("n_texts") or 0)

    if manifest.get("simulated"):
        return Gate(
            "on_device",
            CANNOT_TELL,
            "simulated",
            limits.fallbacks,
            n,
            formula,
            "A rehearsal: no such device took part.",
        )
    if not placement:
        return Gate(
            "on_device",
            CANNOT_TELL,
            None,
            limits.fallbacks,
            n,
            formula,
            "The pack has no proof of where it ran.",
        )

    elsewhere = misplaced(placement)
    if elsewhere:
        return Gate(
            "on_device",
            FAIL,
            elsewhere,
            limits.fallbacks,
            n,
            formula,
            "The candidate did not run where it should.",
        )
    if len(fallbacks) > limits.fallbacks:
        value = f"{len(fallbacks)} fallbacks"
        return Gate(
            "on_device",
            FAIL,
            value,
            limits.fallbacks,
            n,
            formula,
            f"Operators ran on the CPU instead: {', '.join(fallbacks)}.",
        )

    return Gate(
        "on_device",
        PASS,
        f"{len(fallbacks)} fallbacks",
        limits.fallbacks,
        n,
        formula,
        f"Parameters and output lie on {placement.get('expected')}.",
    )


def misplaced(placement: Mapping[str, Any]) -> str:
    """What a proof of placement says against itself, empty if nothing does."""
    if placement.get("on_device") is True:
        return ""
    parameters = ", ".join(placement.get("parameters_device") or []) or "nowhere known"
    return (
        f"parameters on {parameters}, output on {placement.get('output_device')}, expected"
        f" {placement.get('expected')}"
    )


def repeatable(c: Compared, limits: Limits, invariance: Part, exercise: Part = None) -> Gate:
    """The same batch gives the same bits every time. Another order is another computation, judged
    as rounding with ``invariance``. Differences that come and go are intermittent, and forwards
    that all agree bound how often one may differ.
    """
    formula, n = "identical forwards, equal bit by bit", c.n_texts
    again = [
        row
        for row in (invariance or {}).get("rows", [])
        if row["id"] == "again" and row.get("side") == "candidate"
    ]
    equal = c.manifest.get("repeat_equal")
    reached = (exercise or {}).get("reach") or {}
    repeats = int(reached.get("repeats") or 0) + len(again) + (equal is not None)
    differing = int(reached.get("differing") or 0) + (equal is False)
    differing += sum(row["equal"] != 1.0 for row in again)

    def gate(result: str, value: Any, meaning: str) -> Gate:
        bound = 3.0 / repeats if repeats and not differing else None
        extra = {"repeats": repeats, "differing": differing, "rarer_than": bound}
        return Gate("repeatable", result, value, "bit-equal", n, formula, meaning, extra)

    if equal is not True and c.finite["candidate"]:
        return gate(CANNOT_TELL, None, "The output is not finite, and NaN equals nothing.")
    if not repeats:
        return not_run(
            "repeatable", "The pack does not say whether a repeat was equal.", formula, "bit-equal"
        )
    if not differing:
        few = (
            f" {repeats} repeats: others are rarer than {3.0 / repeats:.1%}." if repeats > 2 else ""
        )
        return gate(PASS, "bit-equal", f"Two runs give the same bits.{few}")
    spread = max((row["max"] for row in again if row["max"] is not None), default=None)
    value = f"spread {spread:.2g}" if spread else "not equal"
    if intermittent(differing, repeats):
        return gate(
            FAIL, value, f"Intermittent: {differing} of {repeats} identical forwards differed."
        )
    return gate(FAIL, value, "Two runs give different bits.")


def intermittent(differing: int, repeats: int) -> bool:
    """Whether identical forwards agree most of the time: not a kernel that adds in any order, nor a
    dropout that was left on, but an event."""
    return 0 < differing <= repeats / 2


def share(row: Mapping[str, Any], limits: Limits) -> float:
    """How much of its limits a spread takes up: the larger of rms and largest element; infinite
    where it is not finite.
    """
    pairs = ((row["rms_noise"], limits.invariance_rms), (row["max_noise"], limits.invariance_max))

    def taken(value: float | None, limit: float) -> float:
        if value is None or (value and not limit):
            return float("inf")
        return value / limit if limit else 0.0

    return max(taken(value, limit) for value, limit in pairs)


def invariance(c: Compared, limits: Limits, invariance: Part, repeats: Gate | None = None) -> Gate:
    """A text's answer may not depend on its neighbours in the batch, on its place, nor on padding,
    beyond rounding. Where identical forwards differ, nothing else can be told.
    """
    formula = (
        "largest spread over batch sizes, order and padding, in units of the rung's noise: rms, and"
        " largest element"
    )
    if invariance is None:
        return not_run(
            "invariance",
            "Other batch sizes and paddings were not run.",
            formula,
            limits.invariance_rms,
        )

    rows = [
        r
        for r in invariance.get("rows", [])
        if r.get("side", "candidate") == "candidate" and r["id"] != "again"
    ]
    if not rows:
        return Gate(
            "invariance", FAIL, None, limits.invariance_rms, 0, formula, "Nothing was compared."
        )
    if any(c.finite.values()):
        return Gate(
            "invariance",
            CANNOT_TELL,
            None,
            limits.invariance_rms,
            int(invariance.get("n", 0)),
            formula,
            "The output is not finite, and NaN equals nothing.",
        )
    if repeats is not None and repeats.result == FAIL:
        return Gate(
            "invariance",
            CANNOT_TELL,
            None,
            limits.invariance_rms,
            int(invariance.get("n", 0)),
            formula,
            "Identical forwards differ, so nothing can be said of other batches.",
        )

    own = {r["id"]: share(r, limits) for r in invariance["rows"] if r.get("side") == "reference"}
    worst = max(rows, key=lambda row: share(row, limits))
    ok = share(worst, limits) <= 1.0

    if not ok and all(
        share(row, limits) <= max(1.0, _as_much(own.get(row["id"], 0.0))) for row in rows
    ):
        meaning = (
            f"The answer changes when run {worst['name']}, on the CPU as much: the model does so,"
            " not the device."
        )
        return Gate(
            "invariance",
            EXPLAINED,
            worst["rms_noise"],
            limits.invariance_rms,
            int(invariance.get("n", 0)),
            formula,
            meaning,
            _spread(worst, limits),
        )

    level = _level_three(invariance)
    meaning = (
        "Alone, in other batches and padded: the same up to rounding."
        if ok
        else f"The answer changes when run {worst['name']}."
    )
    if level:
        meaning = f"{meaning} With set_deterministic_level(3): {level}."

    return Gate(
        "invariance",
        PASS if ok else FAIL,
        worst["rms_noise"],
        limits.invariance_rms,
        int(invariance.get("n", 0)),
        formula,
        meaning,
        _spread(worst, limits) | ({"level_3": level} if level else {}),
    )


def _level_three(invariance: Mapping[str, Any]) -> str | None:
    """What the device did once it was asked for the same bits in every batch; None where it was
    not.
    """
    level = invariance.get("level_3") or {}
    if not level.get("asked"):
        return None
    other = [row["name"] for row in level["rows"] if row["equal"] < 1.0]
    return f"other bits {other[0]}" if other else "the same bits in every batch"


def _as_much(reference: float) -> float:
    """How large the device's spread may be where the model itself depends on its batch, as one
    without a padding mask does: the CPU's and a tenth, for the arithmetic's own error in it.
    Nothing where the CPU is within the limits: then a larger spread is the device's.
    """
    return 1.1 * reference if 1.0 < reference < np.inf else 0.0


def _spread(row: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    return {"where": row["id"], "max": row["max_noise"], "limit_max": limits.invariance_max}
