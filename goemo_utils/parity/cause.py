"""Why the device differs: local attribution call by call, then confirmation at model level by the
residual rule.

Local: each product and each GELU of a reference forward is repeated on the device with the
reference's inputs; per family of operators the claim with the lowest median ratio is the cause.
Families are independent, so causes combine without rungs of their own. Model level: the rung of
that claim is run on the CPU; it is accepted only if in every state the candidate lies within three
times the rung's own noise of it. Rules and limits: the project's parity calibration.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from goemo_utils.parity.emulate import FLOAT32, PLAIN, Claim, Detail, details, stay
from goemo_utils.parity.replay import family, replay
from goemo_utils.parity.twins import States, Twins, largest, rms
from goemo_utils.rehearsal.numerics import ROUNDING

ACCEPT = 3.0
"""Residual in units of the rung's noise. Fixed before it was measured: clean runs stay below 2.8.
"""

RECOGNISED = 10.0
"""A family whose lowest median ratio is above this computes in no arithmetic known here."""

MORE = 24
"""Runs by which the noise of a rung is measured better before a candidate is refused."""

OPEN = 2.0
"""A claim whose median ratio is within this of the lowest is left open by the calls. Measured for a
wrong claim: 1.0 to 1.14 of the right one's where the operands hold hardly a tie, 8.5 and more where
they do."""

CALLS = 20
"""Products that are attributed one by one; the median of so many is not moved by a few faults."""


def claims_to_test(answers: Mapping[str, Any]) -> list[Claim]:
    """Plain float32, every known operand rounding, the probe's own finding, and tanh GELU. Half
    precision: GELU alone.
    """
    claims = [PLAIN]
    if answers.get("dtype") == "float32":
        names = list(ROUNDING)
        seen = answers.get("left")
        if seen == answers.get("right") and seen not in (None, "unknown") and seen not in names:
            names.append(seen)
        claims += [Claim(matmul=name) for name in names]
    return [*claims, Claim(tanh_gelu=True)]


class Sample:
    """Chooses which calls to attribute by: every GELU and convolution, and of the products of a
    deep model every k-th, k odd, about twenty.
    """

    def __init__(self, layers: int) -> None:
        self.stride, self.seen = max(1, 8 * layers // CALLS) | 1, 0

    def __call__(self, operator: str) -> bool:
        kind = family(operator)
        if kind == "matmul":
            self.seen += 1
            return (self.seen - 1) % self.stride == 0
        return kind is not None


def local_attribution(
    twins: Twins, batches: Sequence[dict[str, Tensor]], answers: Mapping[str, Any]
) -> tuple[Claim, dict[str, Any]]:
    """The claim that fits the device's own calls, and per family what was named with every claim's
    median ratio.

    A family is ``unknown`` if no claim fits it. The lower median is taken, so that one faulty call
    of two decides nothing.
    """
    claims = claims_to_test(answers)
    rows, _ = replay(
        twins, batches, claims, Sample(getattr(twins.loaded.model.config, "num_hidden_layers", 1))
    )
    found: dict[str, Any] = {}
    for kind in ("matmul", "gelu", "convolution"):
        mine = [r for r in rows if family(r.operator) == kind]
        if not mine:
            continue
        tested = [c for c in claims if c == PLAIN or (c.tanh_gelu if kind == "gelu" else c.matmul)]
        medians = {
            c: statistics.median_low(
                r.rms if r.rms == r.rms else float("inf") for r in mine if r.claim == c
            )
            for c in tested
        }
        best = PLAIN if medians[PLAIN] <= 1.0 else min(tested, key=medians.__getitem__)
        best = _by_probe(best, kind, medians, answers)
        known = medians.get(best, medians[PLAIN]) <= RECOGNISED
        found[kind] = {
            "named": best.name if known else "unknown", "calls": sum(r.claim == PLAIN for r in mine),
            "ratios": {c.name: _finite(m) for c, m in medians.items()},
        }  # fmt: skip
        found[kind]["claim"] = best if known else PLAIN
    parts = {kind: entry["claim"] for kind, entry in found.items()}
    matmul = parts.get("matmul", PLAIN).matmul
    convolution = (
        parts["convolution"].matmul or FLOAT32 if "convolution" in parts else matmul or FLOAT32
    )
    claim = Claim(
        matmul,
        parts.get("gelu", PLAIN).tanh_gelu,
        None if convolution == (matmul or FLOAT32) else convolution,
    )
    for entry in found.values():
        del entry["claim"]
    return claim, found


def _by_probe(
    claim: Claim, kind: str, medians: Mapping[Claim, float], answers: Mapping[str, Any]
) -> Claim:
    """Where the model's values leave more than one claim open, the probe's answer stands.

    Its operands hold what theirs may lack: exact ties, which tell the ways of HF32 apart (a few
    short texts may have none), and values outside float16's range, which tell TF32 from float16. In
    half precision both forms of GELU can lie within rounding; there the calls must only not speak
    against it.
    """
    sides = ("left", "right") if kind == "matmul" else ("convolution", "convolution")
    seen = Claim(matmul=answers.get(sides[0]))
    if kind != "gelu":
        agreed = seen.matmul is not None and seen.matmul == answers.get(sides[1])
        return (
            seen if agreed and medians.get(seen, float("inf")) <= OPEN * medians[claim] else claim
        )
    tanh = Claim(tanh_gelu=True)
    seen = kind == "gelu" and answers.get("dtype") != "float32" and answers.get("gelu") == "tanh"
    return tanh if seen and medians[tanh] < medians[PLAIN] else claim


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None


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


class Rung:
    """One arithmetic run on the CPU over the same batches: its states, and per state its own noise."""

    def __init__(
        self,
        twins: Twins,
        batches: Sequence[dict[str, Tensor]],
        claim: Claim,
        gold: States,
        reference: States,
    ) -> None:
        self.claim = claim
        n_texts = different(batches)
        self.stay = stay(n_texts)
        self.states = twins.run(twins.reference, batches, claim) if claim != PLAIN else reference
        self.perturb = lambda detail: twins.run(twins.reference, batches, claim, detail)
        self.others = [self.perturb(detail) for detail in details(n_texts)]
        self.gold, self.reference = gold, reference
        self._measure()

    def _measure(self) -> None:
        gold, reference, others = self.gold, self.reference, self.others
        self.noise = {n: self._noise(n, others, gold, reference, rms) for n in gold}
        self.noise_max = {n: self._noise(n, others, gold, reference, largest) for n in gold}
        self.reach = {
            n: max(largest(run[n], gold[n]) for run in (self.states, *others)) for n in gold
        }

    def _noise(
        self, name: str, others: Sequence[States], gold: States, reference: States, size: Any
    ) -> float:
        rounds = self.claim.matmul or self.claim.convolves
        stay = (
            self.stay * max(size(run[name], gold[name]) for run in (self.states, *others))
            if rounds
            else 0.0
        )
        return max(
            *(size(self.states[name], o[name]) for o in others),
            size(reference[name], gold[name]),
            stay,
        )

    def judged(self, candidate: States) -> tuple[float, str]:
        """The residual; before it is refused, the rung is perturbed up to MORE times again, because
        its noise may be heavy-tailed.

        In a random model of large weights and eight short texts half of the clean runs lay up to
        8.2 times the noise of three runs away: in those three no operand that decides much crossed
        a rounding boundary. A claim that rounds nothing has no such boundary.
        """
        found = self.residual(candidate)
        for i in range(MORE if self.claim.matmul or self.claim.convolves else 0):
            if found[0] <= ACCEPT or not all(
                bool(candidate[n].isfinite().all()) for n in self.states
            ):
                break
            self.others.append(self.perturb(Detail(24 + 8 * (i % 4), 4.0, 1000 + i)))
            self._measure()
            found = self.residual(candidate)
        return found

    def residual(self, candidate: States) -> tuple[float, str]:
        """(largest rms(candidate - rung) / noise over all states, the state); infinite where a
        value is not finite.
        """
        worst = {n: _over(rms(candidate[n], self.states[n]), self.noise[n]) for n in self.states}
        at = max(worst, key=worst.__getitem__)
        return worst[at], at


def _over(size: float, noise: float) -> float:
    if size != size:
        return float("inf")
    return size / noise if noise > 0 else (0.0 if size == 0 else float("inf"))


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
            }  # fmt: skip
        )
    return [
        {k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in rows
    ]


def decisions(z: Tensor, task: str, threshold: float | Sequence[float]) -> Tensor:
    """Decisions of logits as booleans, in float64."""
    z = z.double()
    if task == "multi_label":
        return z > torch.logit(torch.as_tensor(threshold, dtype=torch.float64))
    return torch.nn.functional.one_hot(z.argmax(1), z.shape[1]).bool()
