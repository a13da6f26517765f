"""The local answer confirmed at model level: the rung of a claim on every state of the model, and
over all texts of the run how far it reaches from gold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from goemo_utils.parity import metrics
from goemo_utils.parity.cause import ACCEPT, Rung, decisions, ladder
from goemo_utils.parity.emulate import DEFAULT, DETAILS, PLAIN, Claim, Detail
from goemo_utils.parity.gates import written
from goemo_utils.parity.twins import States, Twins, chunks, largest, rms
from goemo_utils.records.finite import finite_or_none

STATE_TEXTS = 64
"""Hidden states of all layers are held for this many texts; more says nothing new about a cause."""
QUICK = 0.4
"""Seconds of one reference forward below which rungs that were not named are run for the figure
too."""


@dataclass(frozen=True)
class Asked:
    """What the run asks of a model: its texts, how they are batched, and the threshold of its
    decisions: a probability, or one a label.
    """

    texts: list[str]
    max_length: int
    size: int
    threshold: float | Sequence[float]


class Confirmation:
    """One claim beside the device, state by state.

    ``answers`` are the rung's own to every text, so that the packs are judged by it and not by what
    it did to other texts; empty where they are the reference's.
    """

    def __init__(self, twins: Twins, asked: Asked, progress: Callable[[str], None]) -> None:
        self.twins, self.asked, self.progress = twins, asked, progress
        self.answers: dict[str, torch.Tensor] = {}
        self.yardsticks: tuple[States, States, bool] | None = None

    def foresee(self, texts: list[str]) -> tuple[States, States, bool]:
        """Gold and reference on ``texts``, which need no claim, and whether a forward is quick."""
        twins = self.twins
        batches = twins.batches(texts, self.asked.max_length, self.asked.size)
        self.progress("parity: gold and reference")
        gold = twins.run(twins.gold, batches)
        started = time.perf_counter()
        reference = twins.run(twins.reference, batches)
        self.yardsticks = gold, reference, time.perf_counter() - started < QUICK
        return self.yardsticks

    def run(
        self,
        texts: list[str],
        candidate: States,
        claim: Claim,
        families: Mapping[str, Any],
        ulp: float,
    ) -> tuple[dict[str, Any], Rung]:
        """Compare the device's states ``candidate`` with the rung of ``claim`` on ``texts``, and
        measure the rung's envelope over all; ``ulp`` is the noise of vector kernels in units of
        2^-24.
        """
        twins = self.twins
        batches = twins.batches(texts, self.asked.max_length, self.asked.size)
        gold, reference, quick = self.yardsticks or self.foresee(texts)

        self.progress(f"parity: the rung {claim.name}")
        chosen = Rung(twins, batches, claim, gold, reference, ulp)
        left = chosen.judged(candidate)
        rungs = self._rungs(chosen, batches, quick)
        rows = [_state_row(name, candidate, chosen) for name in gold]
        cause: dict[str, Any] = {
            "accepted": left.value <= ACCEPT,
            "causes": [*claim.causes, *(["vector_noise"] if ulp else [])],
            "claim": claim.name,
            "families": families,
            "residual": finite_or_none(left.value),
            "at": left.at,
            "n": sum(t.numel() for t in gold.values()),
            "n_texts": len(texts),
            "limit": ACCEPT,
            "noise": {name: finite_or_none(v) for name, v in chosen.noise.items()},
            "noise_max": {name: finite_or_none(v) for name, v in chosen.noise_max.items()},
            "own": {name: finite_or_none(rms(reference[name], gold[name])) for name in gold},
            "vector_ulp": ulp / 2.0,
            "states": rows,
            "ladder": ladder(twins, batches, candidate, gold, rungs),
            "envelope": None,
        }

        main = twins.main(gold)
        if main == "logits":
            cause["envelope"] = self._envelope(chosen, len(texts))
        elif claim.rounds or claim.tanh_gelu:
            self._keep(chosen, [chosen.states[main]], [chosen.others[0][main]])

        unknown = any(family["named"] == "unknown" for family in families.values())
        if unknown and not left.value <= ACCEPT:
            cause["not_checked"] = [UNKNOWN]

        return cause, chosen

    def _rungs(
        self, chosen: Rung, batches: Sequence[dict[str, Any]], quick: bool
    ) -> dict[str, States]:
        """The rungs of the figure: the reference, the chosen one, and where the model is small the
        best known others.
        """
        twins, claim = self.twins, chosen.claim
        rungs: dict[str, States] = {f"reference ({twins.dtype})": chosen.reference}
        if claim != PLAIN:
            rungs[claim.name] = chosen.states

        others = (Claim(tanh_gelu=True), Claim("hf32"), Claim("fp16_matmul"), Claim("bf16_matmul"))
        for other in others if quick and twins.dtype == "float32" else ():
            if other.name not in rungs:
                rungs[other.name] = twins.run(twins.reference, batches, other)

        return rungs

    def _envelope(self, chosen: Rung, done: int) -> dict[str, Any]:
        """How far the rung itself reaches from gold over all texts of the run, and how many
        decisions it changes.
        """
        asked, claim, task = self.asked, chosen.claim, self.twins.loaded.task
        reach = chosen.reach["logits"]
        flips = _changed(chosen.states["logits"], chosen.reference["logits"], task, asked.threshold)
        answers, others = [chosen.states["logits"]], [chosen.others[0]["logits"]]

        if claim != PLAIN:  # the plain rung is the reference, whose pack already covers every text
            for part in chunks(asked.texts[done:], STATE_TEXTS):
                more = self._reach(part, claim)
                answers.append(more["rung"])
                others.append(more["other"])
                reach = max(reach, *(largest(more[n], more["gold"]) for n in ("rung", "other")))
                flips += _changed(more["rung"], more["reference"], task, asked.threshold)
                done += len(part)
                self.progress(
                    f"parity: envelope of {claim.name}, {done} of {len(asked.texts)} texts"
                )
            self._keep(chosen, answers, others)

        return {
            "rung": claim.name,
            "bound": 2.0 * reach,
            "flips": flips,
            "threshold": asked.threshold,
            "n_texts": done,
        }

    def _keep(self, chosen: Rung, answers: list[Any], others: list[Any]) -> None:
        main = self.twins.main(chosen.states)
        tensors = {main: torch.cat(answers), "perturbed": torch.cat(others)}
        tensors |= {name: state for name, state in chosen.states.items() if name != main}
        self.answers = {name: tensor.float() for name, tensor in tensors.items()}

    def _reach(self, texts: Sequence[str], claim: Claim) -> dict[str, Any]:
        """Logits of gold, reference, the rung and one perturbation of it."""
        twins = self.twins
        batches = twins.batches(texts, self.asked.max_length, self.asked.size)

        def run(
            model: torch.nn.Module, claim: Claim = PLAIN, detail: Detail = DEFAULT
        ) -> torch.Tensor:
            return twins.run(model, batches, claim, detail, hidden=False)["logits"]

        return {
            "gold": run(twins.gold),
            "reference": run(twins.reference),
            "rung": run(twins.reference, claim),
            "other": run(twins.reference, claim, DETAILS[1]),
        }


UNKNOWN = {
    "what": "the device's arithmetic",
    "why": "it is none of those known here",
    "how": "See explanation.probe in the record",
}


def _state_row(name: str, candidate: States, rung: Rung) -> dict[str, Any]:
    """R and residual of one state."""
    gold, reference = rung.gold[name], rung.reference[name]
    ratio = metrics.over_noise(rms(candidate[name], gold), rms(reference, gold))
    left = metrics.over_noise(rms(candidate[name], rung.states[name]), rung.noise[name])
    return {"state": name, "R": written(ratio), "residual": written(left)}


def _changed(a: Any, b: Any, task: str, threshold: Any) -> int:
    return int((decisions(a, task, threshold) != decisions(b, task, threshold)).sum())
