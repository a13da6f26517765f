"""What the roles' traces say about the candidate, in units of what other right arithmetic does. No
torch, no files: numbers in, numbers out.

Noise, of every quantity: the largest distance from float64 that three CPU trainings in the run's
dtype reach, the reference and two that differ from it in the order of sums and the last bits alone
(goemo_utils.parity.emulate.DETAILS). Training amplifies rounding, so a curve's noise at a step is
the largest up to that step. With a cause the yardstick is the rung, the CPU training under that
arithmetic: noise is then how far rungs lie apart, at least what the reference lies from float64,
and for rounded operands STAY of the rung's own distance from float64 (more with fewer texts), as in
goemo_utils.parity.emulate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity.metrics import over_noise

FLOOR = 2.0**-25
"""Of the value itself, the least noise: half the spacing of float32, which storing a number costs.
"""

STAY, STAY_TEXTS = 0.05, 24
"""As goemo_utils.parity.emulate has them; that module needs torch."""

OWN = 0.05
"""Error of the CPU's own gradient, of its size, above which a parameter's gradient is not asked how
much of it is lost.
"""

Record = Mapping[str, Any]
"""The record of one training, as goemo_utils.training.parity.roles.follow gives it."""
CURVES = {"loss": "texts", "norms": "tensor_norms"}
"""What is followed step by step: the losses of a batch's texts, and the norms of all parameters'
gradients.
"""


def number(value: Any) -> float:
    """A number as a worker sends it, where NaN and infinities are words."""
    return float(value)


def rows(trace: Record, key: str) -> list[np.ndarray]:
    """One float64 array a step: what ``key`` of CURVES recorded, in units of the loss or of a
    gradient norm.
    """
    return [np.array([number(v) for v in row]) for row in trace[CURVES[key]]]


def size(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def errors(a: Record, b: Record, key: str) -> np.ndarray:
    """Root mean square, per step, of the difference of two trainings; NaN where one has none."""
    return np.array(
        [
            size(x - y) if len(x) == len(y) else math.nan
            for x, y in zip(rows(a, key), rows(b, key), strict=True)
        ]
    )


@dataclass(frozen=True)
class Measured:
    """One comparison: candidate against a yardstick, in units of the yardstick's noise.

    ``curves``: per quantity the candidate's error and the noise, a value a step. ``gradients`` and
    ``weights``: per parameter [rms, largest] of the error over the noise of the same. ``whole``:
    the same over all weights at once, root mean square; ``middle``: the median over parameters.

    AdamW turns a gradient that is nothing but rounding into a full step of either sign, so the
    weights of one parameter say little, and ``whole`` has a large noise; ``middle`` sees what
    shifts most parameters by a little.
    """

    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    gradients: dict[str, tuple[float, float]]
    weights: dict[str, tuple[float, float]]
    whole: float

    @property
    def middle(self) -> float:
        return float(np.median([root for root, _ in self.weights.values()]))

    def ratios(self, key: str) -> np.ndarray:
        """Error over noise, per step."""
        error, noise = self.curves[key]
        return np.array([over_noise(e, n) for e, n in zip(error, noise, strict=True)])

    def diverging(self, limit: float) -> int | None:
        """The first step, from 1, at which a curve leaves ``limit`` times its noise; None if none
        does.
        """
        for step, ratios in enumerate(zip(*(self.ratios(key) for key in CURVES), strict=True), 1):
            if not all(ratio <= limit for ratio in ratios):
                return step
        return None


def against_float64(gold: Record, right: Sequence[Record], candidate: Record) -> Measured:
    """The candidate against float64; ``right`` are the trainings whose distance from it is the
    noise, the reference first.
    """
    curves = {}
    for key in CURVES:
        floor = np.array([FLOOR * size(row) for row in rows(gold, key)])
        noise = np.maximum.accumulate(np.max([errors(r, gold, key) for r in right], axis=0))
        curves[key] = errors(candidate, gold, key), np.maximum(noise, floor)
    return Measured(
        curves, *_tensors(gold, [r["to"]["gold"] for r in right], candidate["to"]["gold"])
    )


def against_rung(
    gold: Record,
    reference: Record,
    rungs: Sequence[Record],
    candidate: Record,
    n_texts: int,
    rounds: bool,
) -> Measured:
    """The candidate against the CPU under one arithmetic; ``rungs`` are the trainings under it,
    which differ in the order of sums and the last bits.

    ``n_texts`` are those of one step, ``rounds`` whether the arithmetic rounds operands.
    """
    rung, *others = rungs
    stay = STAY * math.sqrt(max(1.0, STAY_TEXTS / n_texts)) if rounds else 0.0
    curves = {}

    for key in CURVES:
        noise = np.max(
            [
                errors(reference, gold, key),
                stay * errors(rung, gold, key),
                *(errors(o, rung, key) for o in others),
            ],
            axis=0,
        )
        curves[key] = errors(candidate, rung, key), np.maximum.accumulate(noise)

    noises = [
        reference["to"]["gold"],
        *(o["to"]["rung"] for o in others),
        _scaled(rung["to"]["gold"], stay),
    ]

    return Measured(curves, *_tensors(gold, noises, rung["to"]["candidate"]))


def _scaled(distances: Record, by: float) -> dict[str, dict[str, list[float]]]:
    return {
        part: {name: [by * number(v) for v in pair] for name, pair in found.items()}
        for part, found in distances.items()
    }


def _tensors(
    gold: Record, noises: Sequence[Record], candidate: Record
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[float, float]], float]:
    """(gradients, weights, whole) of Measured from distances; a parameter for which the candidate
    has nothing is infinitely far.
    """
    gradients = _ratios(gold, noises, candidate, "first")
    weights = _ratios(gold, noises, candidate, "final")

    error = _over_all_weights(candidate, gold["elements"])
    noise = max(_over_all_weights(distance, gold["elements"]) for distance in noises)
    return gradients, weights, over_noise(error, noise)


def _ratios(
    gold: Record, noises: Sequence[Record], candidate: Record, part: str
) -> dict[str, tuple[float, float]]:
    """Per parameter, error over noise: (root mean square, largest element)."""
    ratios = {}
    for name, (own, _) in gold["to"]["zero"][part].items():
        floor = FLOOR * number(own)
        rms, largest = candidate[part].get(name, (math.inf, math.inf))
        rms_noise = max(floor, *(number(noise[part][name][0]) for noise in noises))
        largest_noise = max(floor, *(number(noise[part][name][1]) for noise in noises))
        ratios[name] = (
            over_noise(number(rms), rms_noise),
            over_noise(number(largest), largest_noise),
        )

    return ratios


def _over_all_weights(distances: Record, elements: Mapping[str, int]) -> float:
    """Euclidean length of the distances of all final weights, from each parameter's rms."""
    squares = [count * number(distances["final"][name][0]) ** 2 for name, count in elements.items()]
    return math.sqrt(sum(squares))


def updates(reference: Record, candidate: Record) -> dict[str, dict[str, float]]:
    """Per checked step (``first``, ``last``) and parameter: the optimizer's relative error over the
    reference's, each on its own gradients and moments.
    """

    def relative(found: Sequence[Any]) -> float:
        return over_noise(number(found[0]), number(found[1]))

    ratios: dict[str, dict[str, float]] = {}
    for step, found in candidate["updates"].items():
        of_reference = reference["updates"][step]
        ratios[step] = {
            name: over_noise(
                relative(own), max(relative(of_reference.get(name, (0.0, 0.0))), FLOOR)
            )
            for name, own in found.items()
        }
    return ratios


def lost(gold: Record, reference: Record, candidate: Record) -> dict[str, float]:
    """Per parameter, the share of its first gradient that the candidate has wrong: rms(error) /
    rms(gradient). Parameters whose gradient the CPU itself has wrong by more than OWN are left out:
    it is nothing but rounding, as that of a key's bias, which softmax makes 0.
    """
    found = {}
    for name, (own, _) in gold["to"]["zero"]["first"].items():
        size_of_it = number(own)
        error_of_cpu = number(reference["to"]["gold"]["first"][name][0])
        error = number(candidate["to"]["gold"]["first"].get(name, (math.inf,))[0])
        if size_of_it > 0 and over_noise(error_of_cpu, size_of_it) <= OWN:
            found[name] = over_noise(error, size_of_it)
    return found


def worst(ratios: Mapping[str, Any], limits: Sequence[float]) -> tuple[str, Any]:
    """(name, ratio) of the parameter that comes nearest to its limits, or exceeds them most; NaN is
    worst of all.
    """

    def share(name: str) -> float:
        values = ratios[name] if isinstance(ratios[name], tuple) else (ratios[name],)
        return max(
            math.inf if math.isnan(v) else v / limit
            for v, limit in zip(values, limits, strict=False)
        )

    name = max(ratios, key=share)
    return name, ratios[name]


def same(reference: Record, candidate: Record) -> bool:
    """Whether two trainings are equal to the bit: losses, gradient norms, first gradients and final
    weights.
    """
    return all(
        reference[key] == candidate[key]
        for key in ("texts", "norms", "tensor_norms", "first_sha256", "final_sha256")
    )


def not_finite(traces: Mapping[str, Record]) -> dict[str, int]:
    """Per role, how many recorded numbers are NaN or infinite."""
    found = {}
    for role, trace in traces.items():
        distances = trace["to"]["zero" if role == "gold" else "gold"]
        values = [v for key in ("texts", "tensor_norms") for row in trace[key] for v in row]
        values += trace["norms"]
        values += [
            v for part in ("first", "final") for pair in distances[part].values() for v in pair
        ]
        found[role] = sum(not math.isfinite(number(v)) for v in values)
    return found
