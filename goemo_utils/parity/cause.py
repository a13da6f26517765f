"""Why the device differs: local attribution call by call, then confirmation at model level by the
residual rule.

Local: each product and each GELU of a reference forward is repeated on the device with the
reference's inputs; per family of operators the claim with the lowest median ratio is the cause.
Families are independent, so causes combine without rungs of their own. Model level: the rung of
that claim is run on the CPU; it is accepted only if in every state the candidate lies within three
times the rung's own noise of it. Rules and limits: the project's parity calibration.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from goemo_utils.parity import metrics
from goemo_utils.parity.calls import family
from goemo_utils.parity.decisions import decide
from goemo_utils.parity.emulate import FLOAT32, PLAIN, Claim, Detail, details, grid_bits, stay
from goemo_utils.parity.replay import replay
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import States, Twins, rms, sizes
from goemo_utils.rehearsal.numerics import ROUNDING

ACCEPT = 3.0
"""Residual in units of the rung's noise. Fixed before it was measured: clean runs stay below 2.8.
"""

RECOGNISED = 10.0
"""A family whose lowest median ratio is above this computes in no arithmetic known here."""

FEWEST_BITS = 7
"""Explicit mantissa bits of bfloat16."""

NOISY, CLEAR = 80.0, 4.0
"""Ratio of a GELU with 32 ulp of noise: uniform noise of u ulp has a root mean square of
u / sqrt(3) units of 2^-23, and the unit is eps/4; and how much worse its other form must be."""

MORE = 24
"""Runs by which the noise of a rung is measured better before a candidate is refused."""

OPEN = 2.0
"""A claim whose median ratio is within this of the lowest is left open by the calls. Measured for a
wrong claim: 1.0 to 1.14 of the right one's where the operands hold hardly a tie, 8.5 and more where
they do."""

CALLS = 20
"""Products that are attributed one by one; the median of so many is not moved by a few faults."""

FAMILIES = ("matmul", "bmm", "attention", "gelu", "convolution")
PRODUCTS = ("matmul", "bmm", "attention", "convolution")
PROBED = {
    "matmul": ("left", "right"),
    "bmm": ("bmm_left", "bmm_right"),
    "attention": ("attention", "attention"),
    "convolution": ("convolution", "convolution"),
}
"""Where the probe's answers about each family stand."""


def claims_to_test(answers: Mapping[str, Any]) -> list[Claim]:
    """Plain float32, every known operand rounding, the probe's own finding, and tanh GELU. Half
    precision: GELU alone.
    """
    claims = [PLAIN]
    if answers.get("dtype") == "float32":
        names = list(ROUNDING)
        for kind in PRODUCTS:
            seen = _seen(answers, kind)
            if seen is not None and seen not in names and _is_fine(seen):
                names.append(seen)
        claims += [Claim(matmul=name) for name in names]
    return [*claims, Claim(tanh_gelu=True)]


def _is_fine(grid: str) -> bool:
    """Whether a grid that the probe read may be an arithmetic at all: no documented one rounds the
    operands of float32 products to fewer bits than bfloat16 has.
    """
    bits = grid_bits(grid)
    return bits is not None and bits >= FEWEST_BITS


def _seen(answers: Mapping[str, Any], kind: str) -> str | None:
    """The rounding that the probe read for a family, where both operands agree; None else."""
    left, right = (answers.get(side) for side in PROBED[kind])
    return left if left == right else None


class Sample:
    """Chooses which calls to attribute by: every GELU and convolution, and of the products of a
    deep model every k-th of a family, k odd, about twenty of linear layers.
    """

    def __init__(self, layers: int) -> None:
        self.strides = {
            "matmul": max(1, 8 * layers // CALLS) | 1,
            "bmm": max(1, layers // 4) | 1,
            "attention": max(1, layers // 4) | 1,
        }
        self.seen: Counter[str] = Counter()

    def __call__(self, operator: str) -> bool:
        kind = family(operator)
        if kind not in self.strides:
            return kind is not None
        self.seen[kind] += 1
        return (self.seen[kind] - 1) % self.strides[kind] == 0


def local_attribution(
    twins: Twins, batches: Sequence[dict[str, Tensor]], answers: Mapping[str, Any]
) -> tuple[Claim, dict[str, Any]]:
    """The claim that fits the device's own calls, and per family what was named with every claim's
    median ratio.

    A family is ``unknown`` if no claim fits it. The lower median is taken, so that one faulty call
    of two decides nothing.
    """
    claims = claims_to_test(answers)
    layers = int(getattr(twins.loaded.model.config, "num_hidden_layers", 1))
    rows, _ = replay(twins, batches, claims, Sample(layers))

    parts: dict[str, Claim] = {}
    table: dict[str, Any] = {}
    for kind in FAMILIES:
        mine = [row for row in rows if row.kind == kind]
        if not mine:
            continue
        medians = _medians(mine, kind, claims)
        best = _chosen(kind, medians, answers, parts.get("matmul", PLAIN))
        known = medians.get(best, medians[PLAIN]) <= _recognised(kind, medians)
        parts[kind] = best if known else PLAIN
        table[kind] = {
            "named": best.name if known else "unknown",
            "calls": sum(row.claim == PLAIN for row in mine),
            "ratios": {claim.name: _finite(ratio) for claim, ratio in medians.items()},
        }
    return _combined(parts), table


def _recognised(kind: str, medians: Mapping[Claim, float]) -> float:
    """Up to which ratio a family's best claim is known. A GELU may be as noisy as CANN's standard
    allows a vector kernel, where one of its forms is by far the better.
    """
    ratios = sorted(medians.values())
    told_apart = len(ratios) > 1 and ratios[0] * CLEAR <= ratios[-1]
    return NOISY if kind == "gelu" and told_apart else RECOGNISED


def _medians(rows: Sequence[Row], kind: str, claims: Sequence[Claim]) -> dict[Claim, float]:
    """The lower median of a family's ratios under every claim about it; infinite for NaN."""
    about = [c for c in claims if c == PLAIN or (c.tanh_gelu if kind == "gelu" else c.matmul)]
    ratios = {
        c: [math.inf if math.isnan(r.rms) else r.rms for r in rows if r.claim == c] for c in about
    }
    return {claim: statistics.median_low(values) for claim, values in ratios.items()}


def _chosen(
    kind: str, medians: Mapping[Claim, float], answers: Mapping[str, Any], layers: Claim
) -> Claim:
    """The claim of one family. What is as exact as plain float32 claims nothing else: inside a
    fused attention a chain of roundings leaves wrong claims room. Where the calls leave more than
    one open and the probe says nothing, a family computes as the linear ``layers`` do.
    """
    enough = RECOGNISED if kind == "attention" else 1.0
    if medians[PLAIN] <= enough:
        return _by_probe(PLAIN, kind, medians, answers)

    best = _by_probe(min(medians, key=medians.__getitem__), kind, medians, answers)
    probed = kind != "gelu" and _seen(answers, kind) is not None
    probed_exact = kind == "attention" and answers.get(kind, "not asked") is None
    if probed_exact and medians[best] > ACCEPT:
        return PLAIN  # a fused attention that is wrong is no other arithmetic

    room = RECOGNISED if kind == "attention" else OPEN * medians[best]
    if kind == "attention" and probed:
        seen = Claim(matmul=_seen(answers, kind))
        return seen if medians.get(seen, math.inf) <= RECOGNISED else best

    follows = layers.matmul and not probed and medians.get(layers, math.inf) <= room

    return layers if follows else best


def _combined(parts: Mapping[str, Claim]) -> Claim:
    """One claim of all families; a family that computes as the one it follows is left to follow."""
    matmul = parts.get("matmul", PLAIN).matmul
    tanh = parts.get("gelu", PLAIN).tanh_gelu
    own = {kind: parts[kind].matmul or FLOAT32 for kind in parts if kind in PRODUCTS}
    claim = Claim(matmul, tanh, own.get("convolution"), own.get("bmm"), own.get("attention"))
    if claim.attends == claim.multiplies and "bmm" in own:
        claim = replace(claim, attention=None)
    if claim.multiplies == claim.matmul:
        claim = replace(claim, batched=None)
    if "bmm" not in own and claim.attends == claim.matmul:
        claim = replace(claim, attention=None)
    if claim.convolves == claim.matmul:
        claim = replace(claim, convolution=None)

    return claim


def _by_probe(
    claim: Claim, kind: str, medians: Mapping[Claim, float], answers: Mapping[str, Any]
) -> Claim:
    """Where the model's values leave more than one claim open, the probe's answer stands.

    Its operands hold what theirs may lack: exact ties, which tell the ways of HF32 apart (a few
    short texts may have none), and values outside float16's range, which tell TF32 from float16. In
    half precision both forms of GELU can lie within rounding; there the calls must only not speak
    against it.
    """
    if kind != "gelu":
        seen = Claim(matmul=_seen(answers, kind))
        open_still = seen in medians and medians[seen] <= OPEN * medians[claim]
        return seen if seen.matmul is not None and open_still else claim

    tanh = Claim(tanh_gelu=True)
    seen_tanh = answers.get("dtype") != "float32" and answers.get("gelu") == "tanh"

    return tanh if seen_tanh and medians[tanh] < medians[PLAIN] else claim


def _finite(value: float) -> float | None:
    return value if value < math.inf else None


def different(batches: Sequence[Mapping[str, Tensor]]) -> int:
    """How many texts differ in their tokens: the same text eight times crosses a rounding boundary
    as often as once.
    """
    return len(
        {
            tuple(ids[real].tolist())
            for b in batches
            for ids, real in zip(b["input_ids"], b["attention_mask"].bool(), strict=True)
        }
    )


@dataclass(frozen=True)
class Sizes:
    """A state of one run: its distance from the rung's first run and from gold, root mean square
    and largest element of each.
    """

    apart_rms: float
    apart_max: float
    own_rms: float
    own_max: float

    @classmethod
    def of(cls, state: Tensor, first: Tensor, gold: Tensor) -> "Sizes":
        return cls(*sizes(state.double() - first.double()), *sizes(state.double() - gold.double()))


class Rung:
    """One arithmetic run on the CPU over the same batches: its states, and per state its own noise.

    ``ulp`` is the noise of the device's vector kernels in units of 2^-24, as its calls showed it,
    where that is more than the 4 that clean kernels have.
    """

    def __init__(
        self,
        twins: Twins,
        batches: Sequence[dict[str, Tensor]],
        claim: Claim,
        gold: States,
        reference: States,
        ulp: float = 0.0,
    ) -> None:
        self.claim, self.ulp = claim, ulp
        n_texts = different(batches)
        self.stay = stay(n_texts)
        self.states = twins.run(twins.reference, batches, claim) if claim != PLAIN else reference

        self.perturb: Callable[[Detail], States] = partial(
            twins.run, twins.reference, batches, claim
        )
        self.details = [self._noisy(detail) for detail in details(n_texts)]
        self.gold, self.reference, self.main = gold, reference, twins.main(gold)
        self.others: list[States] = []
        self.error = {name: Sizes.of(reference[name], gold[name], gold[name]) for name in gold}
        self.runs = [self._compared(self.states)]
        for detail in self.details:
            self._perturbed(detail)
        self._measure()

    def _noisy(self, detail: Detail) -> Detail:
        return replace(detail, ulp=max(detail.ulp, self.ulp)) if detail.ulp else detail

    def _perturbed(self, detail: Detail) -> None:
        """One more run: of its states what is judged first is kept, of the others their sizes."""
        run = self.perturb(detail)
        self.others.append({self.main: run[self.main]})
        self.runs.append(self._compared(run))

    def _compared(self, run: States) -> dict[str, Sizes]:
        """How far a run is from the first one and from gold, state by state."""
        return {name: Sizes.of(run[name], self.states[name], self.gold[name]) for name in self.gold}

    def _measure(self) -> None:
        self.noise = {name: self._noise(name, "rms") for name in self.gold}
        self.noise_max = {name: self._noise(name, "max") for name in self.gold}
        self.reach = {name: max(run[name].own_max for run in self.runs) for name in self.gold}

    def _noise(self, name: str, size: str) -> float:
        """The largest of: its runs' distances, the reference's error, a share of its own error."""
        runs = [run[name] for run in self.runs]
        apart = [getattr(run, f"apart_{size}") for run in runs[1:]]
        own = max(getattr(run, f"own_{size}") for run in runs) if self.claim.rounds else 0.0
        return float(max(*apart, getattr(self.error[name], f"own_{size}"), self.stay * own))

    def judged(self, candidate: States) -> "Residual":
        """The residual; before it is refused, the rung is perturbed up to MORE times again, because
        its noise may be heavy-tailed.

        In a random model of large weights and eight short texts half of the clean runs lay up to
        8.2 times the noise of three runs away: in those three no operand that decides much crossed
        a rounding boundary. A claim that rounds nothing has no such boundary.
        """
        left = self.residual(candidate)
        finite = all(bool(candidate[name].isfinite().all()) for name in self.states)
        for i in range(MORE if self.claim.rounds and finite else 0):
            if left.value <= ACCEPT:
                break
            detail = self._noisy(Detail(24 + 8 * (i % 4), 4.0, 1000 + i))
            self._perturbed(detail)
            self._measure()
            left = self.residual(candidate)

        return left

    def residual(self, candidate: States) -> "Residual":
        """The largest rms(candidate - rung) / noise over all states, and the state; infinite where
        a value is not finite.
        """
        sizes = {name: rms(candidate[name], self.states[name]) for name in self.states}
        over = {name: metrics.over_noise(sizes[name], self.noise[name]) for name in sizes}
        over = {name: math.inf if math.isnan(value) else value for name, value in over.items()}
        at = max(over, key=over.__getitem__)
        return Residual(over[at], at)


@dataclass(frozen=True)
class Residual:
    """What a rung leaves over, in units of its noise, and the state in which it leaves most."""

    value: float
    at: str


def share(candidate: Tensor, rung: Tensor, gold: Tensor) -> float | None:
    """Part of the squared error to gold that a rung explains: 1 - |c - rung|^2 / |c - g|^2."""
    whole = rms(candidate, gold)
    return 1.0 - (rms(candidate, rung) / whole) ** 2 if whole > 0 else None


def ladder(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    candidate: States,
    gold: States,
    rungs: Mapping[str, States],
) -> list[dict[str, Any]]:
    """How far the candidate is from gold and from each rung, on the logits (or the last hidden
    state).
    """
    main = twins.main(gold)
    rows = [
        {
            "rung": "gold (float64)",
            "rmse": rms(candidate[main], gold[main]),
            "share": None,
            "share_first_layer": None,
        }
    ]
    first = "hidden.1" if "hidden.1" in gold else main

    for name, states in rungs.items():
        rows.append(
            {
                "rung": name,
                "rmse": rms(candidate[main], states[main]),
                "share": share(candidate[main], states[main], gold[main]),
                "share_first_layer": share(candidate[first], states[first], gold[first]),
            }
        )

    return [
        {k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in rows
    ]


def decisions(z: Tensor, task: str, threshold: float | Sequence[float]) -> Tensor:
    """Decisions of logits as booleans, as ``decide`` makes them."""
    return torch.from_numpy(decide(z.double().numpy(), task, np.asarray(threshold)))
