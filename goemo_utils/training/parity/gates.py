"""The gates of a training parity, in order; words and style are those of goemo_utils.parity.gates.

Calibrated on the rehearsal's arithmetic and on the CPU's own (``python -m
goemo_utils.training.parity.selftest``): see docs/finetuning.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity.gates import CANNOT_TELL, EXPLAINED, FAIL, PASS, Gate, not_run
from goemo_utils.training.parity.measures import CURVES, Measured, worst

ORDER = (
    "finite",
    "same_start",
    "same_batches",
    "on_device",
    "repeatable",
    "first_gradients",
    "lost_gradients",
    "optimizer",
    "loss_curve",
    "gradient_norms",
    "final_weights",
    "cause",
    "place",
)
ROUNDING = ("first_gradients", "loss_curve", "gradient_norms", "final_weights")
"""The gates that a cause can explain: what they judge is the arithmetic of forward and backward."""


@dataclass(frozen=True)
class Limits:
    """What the gates demand, in units of the noise of right CPU arithmetic.

    Those of a forward call are goemo_utils.parity.place's. A backward gets twice that: it starts
    from what the forward of the same kernels gave, so the noise of both is in it (right kernels
    with 8 ulp reach 15 and 19, where tanh is nearly 1).
    """

    gradient_rms: float = 10.0
    gradient_max: float = 20.0
    # of a gradient; a choice: hf32, tf32 and bfloat16 operands lose at most 0.044 on seven models,
    # float16 ones 0.027 to 2.1
    lost: float = 0.1
    optimizer: float = 10.0
    curve: float = 10.0
    weights: float = 10.0
    call_rms: float = 10.0
    call_max: float = 20.0
    backward_rms: float = 20.0
    backward_max: float = 40.0


LIMITS = Limits()


def record(gate: Gate) -> dict[str, Any]:
    """A gate as a record of this study holds it."""
    row = gate.record()
    return {key: row[key] for key in ("id", "result", "value", "limit", "n", "formula", "meaning")}


def verdict(gates: Sequence[Gate]) -> str:
    """fail if a gate fails or nothing was compared, pass-with-cause if an error is more than
    rounding and explained, pass otherwise.
    """
    results = {gate.id: gate.result for gate in gates}
    if FAIL in results.values() or any(
        results.get(id) not in (PASS, EXPLAINED) for id in ("finite", *ROUNDING)
    ):
        return "fail"
    return "pass-with-cause" if EXPLAINED in results.values() else "pass"


def finite(bad: Mapping[str, int], n: int) -> Gate:
    """Nothing recorded may be NaN or infinite, on any side, and something must be compared."""
    formula = "count of NaN and infinite losses, gradient norms, gradients and weights"
    if not n:
        return Gate("finite", FAIL, None, 0, 0, formula, "No step was made: nothing was compared.")
    where = [role for role, count in bad.items() if count]
    if not where:
        return Gate("finite", PASS, 0, 0, n, formula, "Everything is finite.")
    hint = "" if where == ["candidate"] else " The CPU diverges too: lower learning_rate."
    return Gate(
        "finite", FAIL, sum(bad.values()), 0, n, formula, f"Not finite: {', '.join(where)}.{hint}"
    )


def same(id: str, digests: Mapping[str, str], n: int) -> Gate:
    """Every role must have begun with the same weights (``same_start``) or learnt from the same
    batches (``same_batches``), as read back from its device.
    """
    what = "start weights" if id == "same_start" else "token ids, masks and targets of every batch"
    formula = f"SHA-256 of the {what}, read back from each role's device"
    base = next(iter(digests.values()))
    other = [role for role, found in digests.items() if found != base]

    if other:
        return Gate(
            id,
            FAIL,
            len(other),
            0,
            n,
            formula,
            f"{', '.join(other)} had other {what} than {next(iter(digests))}: nothing can be"
            " compared.",
        )

    return Gate(id, PASS, 0, 0, n, formula, f"All roles had the same {what}.")


def on_device(candidate: Mapping[str, Any], placement: Mapping[str, Any]) -> Gate:
    """Weights, logits, gradients and the optimizer's moments were on the device, and no operator
    fell back to the CPU.
    """
    formula = "devices of weights, logits, gradients, moments; operators that fell back to the CPU"
    fallbacks = list(candidate["fallbacks"])

    if not placement["on_device"]:
        places = sorted(
            {
                *placement["parameters_device"],
                placement["output_device"],
                *placement["gradients_device"],
                *placement["moments_device"],
            }
        )

        return Gate(
            "on_device",
            FAIL,
            ", ".join(places),
            placement["expected"],
            1,
            formula,
            "Part of the training was elsewhere.",
        )

    if fallbacks:
        return Gate(
            "on_device",
            FAIL,
            len(fallbacks),
            0,
            1,
            formula,
            f"Fell back to the CPU: {', '.join(fallbacks[:4])}.",
        )

    if candidate["simulated"]:
        return Gate(
            "on_device",
            CANNOT_TELL,
            placement["expected"],
            placement["expected"],
            1,
            formula,
            "SIMULATED: a rehearsal proves no placement.",
        )

    return Gate(
        "on_device",
        PASS,
        placement["expected"],
        placement["expected"],
        1,
        formula,
        "All of it was on the device; no operator fell back.",
    )


def repeatable(again: Mapping[str, Any] | None, noise: Mapping[str, float], limits: Limits) -> Gate:
    """The first step's gradients, computed twice on the device, must agree to the bit, or at least
    as right arithmetic does.
    """
    formula = (
        "first gradients computed twice: rms of the difference / noise, worst parameter; 0 is"
        " bit-equal"
    )
    limit = limits.gradient_rms

    if again is None:
        return not_run("repeatable", "The first gradients were computed once.", formula, limit)
    if not again:
        return Gate("repeatable", PASS, 0.0, limit, len(noise), formula, "Equal to the bit.")

    ratios = {n: float(d) / noise[n] if noise.get(n) else math.inf for n, d in again.items()}
    name, value = worst(ratios, (limit,))
    told = (
        f"{len(again)} of {len(noise)} parameters' gradients are not bit-equal; the worst is"
        f" {name}."
    )
    result = PASS if value <= limit else FAIL
    return Gate("repeatable", result, value, limit, len(noise), formula, told)


def rounding(measured: Measured, explained: Measured | None, limits: Limits) -> list[Gate]:
    """The gates ROUNDING. What exceeds its limit against float64 is explained if the whole training
    stays within the limits of the rung.
    """
    accepted = explained is not None and not any(over_limit(g) for g in compared(explained, limits))
    gates = compared(measured, limits)
    for gate in gates:
        if not over_limit(gate):
            gate.result = PASS
        else:
            gate.result = EXPLAINED if accepted else FAIL
    return gates


def over_limit(gate: Gate) -> bool:
    """Whether a gate of ``compared`` exceeds its limits; NaN does."""
    return not gate.extra["share"] <= 1.0


def compared(measured: Measured, limits: Limits) -> list[Gate]:
    """The gates ROUNDING without results; ``extra["share"]``: the largest value over its limit."""
    rms_limit, max_limit = limits.gradient_rms, limits.gradient_max
    shares = {
        name: _share((root / rms_limit, largest / max_limit))
        for name, (root, largest) in measured.gradients.items()
    }
    hot = sum(not share <= 1.0 for share in shares.values())

    name, (root, largest) = worst(measured.gradients, (rms_limit, max_limit))
    share = _share((root / rms_limit, largest / max_limit))
    told = f"Largest at {name}: {_words(root)} x (rms), {_words(largest)} x (largest element)."
    told += f" {hot} of {len(measured.gradients)} parameters are over the limits." if hot else ""
    formula = (
        "error of each parameter's first gradient / noise: rms, and largest element (limit"
        f" {max_limit:g}); same weights, same batch"
    )

    gates = [
        Gate(
            "first_gradients",
            "",
            root,
            rms_limit,
            len(measured.gradients),
            formula,
            told,
            {"share": share},
        )
    ]

    for key, id in zip(CURVES, ("loss_curve", "gradient_norms"), strict=True):
        ratios = measured.ratios(key)
        at = int(np.argmax(np.where(np.isnan(ratios), math.inf, ratios)))
        what = (
            "losses of the batch's texts" if key == "loss" else "norms of all parameters' gradients"
        )

        gates.append(
            Gate(
                id,
                "",
                float(ratios[at]),
                limits.curve,
                len(ratios),
                f"rms error of the {what} / noise up to the step, worst step",
                f"Largest at step {at + 1}: {_words(ratios[at])} x the noise.",
                {"share": _share((ratios[at] / limits.curve,))},
            )
        )

    name, (root, _) = worst(measured.weights, (limits.weights, math.inf))
    value = _share((measured.whole, measured.middle))
    gates.append(
        Gate(
            "final_weights",
            "",
            value,
            limits.weights,
            len(measured.weights),
            "rms error of the final weights / noise: all together, and median over parameters",
            f"All together {_words(measured.whole)} x the noise, median {_words(measured.middle)}"
            f" x; of one parameter most at {name}, {_words(root)} x.",
            {"share": value / limits.weights},
        )
    )

    return gates


def _share(values: Sequence[float]) -> float:
    return math.nan if any(math.isnan(v) for v in values) else float(max(values))


def _words(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "infinitely many" if math.isinf(value) else f"{value:.3g}"


def lost_gradients(shares: Mapping[str, float], limits: Limits) -> Gate:
    """No parameter's first gradient may be wrong by more than a tenth of its size, whatever
    explains it: such a training learns something else.
    """
    formula = (
        "rms error of each parameter's first gradient / rms of that gradient, worst parameter that"
        " the CPU gets right"
    )

    if not shares:
        return Gate(
            "lost_gradients",
            CANNOT_TELL,
            None,
            limits.lost,
            0,
            formula,
            "The CPU gets no gradient right in this dtype.",
        )

    name, value = worst(shares, (limits.lost,))
    told = (
        f"At most {value:.2g} of a gradient is wrong, at {name}."
        if value <= limits.lost
        else f"{_words(value)} of the gradient of {name} is lost, whatever the cause."
    )

    return Gate(
        "lost_gradients",
        PASS if value <= limits.lost else FAIL,
        value,
        limits.lost,
        len(shares),
        formula,
        told,
    )


def optimizer(ratios: Mapping[str, Mapping[str, float]], limits: Limits) -> Gate:
    """The optimizer's first and last step on the device, judged on the gradients and moments that
    it was itself given: no error before it counts.
    """
    formula = (
        "rms(weights after the step - clipping and AdamW in float64 on the same gradients and"
        " moments) / the CPU's own, worst parameter"
    )
    flat = {
        f"{name} at the {step} step": value
        for step, found in ratios.items()
        for name, value in found.items()
    }

    if not flat:
        return Gate(
            "optimizer",
            FAIL,
            None,
            limits.optimizer,
            0,
            formula,
            "No parameter was moved: nothing was compared.",
        )

    name, value = worst(flat, (limits.optimizer,))
    told = (
        f"Largest: {name}."
        if value <= limits.optimizer
        else f"The step itself is wrong: {name}, {_words(value)} x."
    )

    return Gate(
        "optimizer",
        PASS if value <= limits.optimizer else FAIL,
        value,
        limits.optimizer,
        len(flat),
        formula,
        told,
    )


def cause(
    found: Sequence[Gate],
    explained: Measured | None,
    names: Sequence[str],
    reason: str,
    limits: Limits,
) -> Gate:
    """Does the arithmetic that the device's forward calls have, run on the CPU, train as the device
    does? ``reason``: why no rung was run.
    """
    formula = (
        "the four measures above against the CPU training under the named arithmetic, largest share"
        " of a limit"
    )
    if all(gate.result == PASS for gate in found):
        return Gate("cause", PASS, None, 1.0, 0, formula, "Nothing to explain: only rounding.")
    if explained is None:
        return Gate("cause", FAIL, None, 1.0, 0, formula, f"The error is not explained: {reason}")
    inner = compared(explained, limits)

    last = max(inner, key=lambda g: math.inf if math.isnan(g.extra["share"]) else g.extra["share"])
    share, name, n = last.extra["share"], " + ".join(names), len(inner)

    if share <= 1.0:
        return Gate(
            "cause",
            PASS,
            share,
            1.0,
            n,
            formula,
            f"{name}: the CPU under it trains as the device does.",
        )

    told = (
        f"{name} does not explain all of it: {last.id} is {_words(share)} x its limit away from the"
        f" CPU under it. {last.meaning}"
    )
    return Gate("cause", FAIL, share, 1.0, n, formula, told)


def place(calls: Mapping[str, Any] | None, reason: str, limits: Limits) -> Gate:
    """No call of the first step may be wrong on the reference's own inputs, in its forward or its
    backward.
    """
    formula = (
        f"calls whose error, on the reference's inputs, is over {limits.call_rms:g} x (rms) or"
        f" {limits.call_max:g} x (largest element) the CPU's own; of their gradients"
        f" {limits.backward_rms:g} x and {limits.backward_max:g} x"
    )
    if calls is None:
        return not_run("place", reason, formula, 0)
    covered = calls["forward"]["covered"] + calls["backward"]["covered"]

    if not calls["forward"]["covered"] or not calls["backward"]["covered"]:
        return Gate(
            "place",
            FAIL,
            None,
            0,
            covered,
            formula,
            "No call could be repeated: nothing was compared.",
        )

    at_fault = [*calls["forward"]["faults"], *calls["backward"]["faults"]]
    if not at_fault:
        return Gate(
            "place",
            PASS,
            0,
            0,
            covered,
            formula,
            "Every call is right on the reference's inputs, forward and backward.",
        )

    first, more = at_fault[0], f" and {len(at_fault) - 1} more" if len(at_fault) > 1 else ""
    return Gate(
        "place",
        FAIL,
        len(at_fault),
        0,
        covered,
        formula,
        f"{first['operator']} in {first['module'] or 'the loss'}{more}: wrong on right inputs.",
    )
