"""The explanation of a difference, as one job of a worker process: probe, cause, place and
invariance of one model on one device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from goemo_utils.forward.run import encode
from goemo_utils.forward.thresholds import effective
from goemo_utils.parity import known
from goemo_utils.parity.cause import ACCEPT, Rung, decisions, ladder, local_attribution
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim
from goemo_utils.parity.gates import written
from goemo_utils.parity.invariance import measure
from goemo_utils.parity.place import add_accumulated, locate
from goemo_utils.parity.probe import probe
from goemo_utils.parity.twins import States, Twins, chunks, largest, rms

CHECKS = ("probe", "cause", "place", "invariance")
# hidden states of all layers are held for this many texts; more says nothing new about a cause
STATE_TEXTS = 64
STATE_VALUES = (
    30_000_000  # and for no more values than this in one run, about ten runs being held at a time
)
# the sharpest test of all needs a handful of texts: operand rounding is a function of each operand
LOCAL_TEXTS = 4
PLACE_TEXTS, PLACE_TOKENS = 32, 6_000
INVARIANCE_TEXTS, INVARIANCE_TOKENS = 16, 3_000
# seconds of one reference forward below which rungs that were not named are run for the figure too
QUICK = 0.4


def explain(
    job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Run a parity job and return its parts: ``probe``, ``cause``, ``place``, ``invariance``,
    ``known_answer``, ``seconds``.

    The job holds what a forward job holds, with ``checks`` a choice of CHECKS and ``threshold``
    (None: the model's own, else 0.3), and ``known_answer`` what ``known.asked`` gives. Parts that
    were not asked for are None. At most 64 texts are held at a time; the envelope of a cause is
    taken over all texts.
    """
    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    torch.manual_seed(job.get("seed", 0))
    progress("parity: loading the model")
    with torch.no_grad():
        return Explanation(Twins.load(job), job, progress).run()


class Explanation:
    """One analysis in progress; ``run`` gives all of it."""

    def __init__(
        self, twins: Twins, job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
    ) -> None:
        self.twins, self.progress = twins, progress
        self.texts: list[str] = list(job["texts"])
        self.max_length, self.size = int(job.get("max_length", 512)), int(job.get("batch_size", 16))
        self.threshold = effective(job.get("threshold"), twins.loaded.info)
        self.question = (
            job["known_answer"] if "known_answer" in job else known.asked(twins.loaded.info)
        )
        self.checks = job.get("checks") or CHECKS
        ids = encode(twins.loaded, self.texts[:STATE_TEXTS], self.max_length) if self.texts else []
        self.lengths = [len(i) for i in ids]
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def _first(self, count: int, tokens: float) -> list[str]:
        """The first texts, at most ``count`` of them and at most ``tokens`` tokens, but one at
        least.
        """
        total, n = 0, 0
        for length in self.lengths[:count]:
            total, n = total + length, n + 1
            if total > tokens:
                break
        return self.texts[: max(1, n - (total > tokens))]

    def _batches(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.twins.batches(texts, self.max_length, self.size)

    @property
    def _state_texts(self) -> list[str]:
        config = self.twins.loaded.model.config
        return self._first(
            STATE_TEXTS, STATE_VALUES / (config.hidden_size * (config.num_hidden_layers + 1))
        )

    @property
    def _typical(self) -> list[str]:
        """A few texts of middling length: neither empty ones nor those that fill the model."""
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        start = max(0, (len(order) - LOCAL_TEXTS) // 2)
        return [self.texts[i] for i in order[start : start + LOCAL_TEXTS]]

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = work()
        self.seconds[name] = round(time.perf_counter() - started, 3)
        return found

    def run(self) -> dict[str, Any]:
        twins = self.twins
        answer = self._timed("known answer", lambda: known.check(twins, self.question))
        self.progress("parity: probing the device")
        answers = self._timed(
            "probe",
            lambda: probe(
                twins.device.torch_device, getattr(torch, twins.dtype), _convolves(twins.reference)
            ),
        )
        if not {"cause", "place", "invariance"} & set(self.checks):
            return self._parts(answers, answer)
        self.progress("parity: one call after another, for the cause")
        claim, families = self._timed(
            "local", lambda: local_attribution(twins, self._batches(self._typical), answers)
        )
        cause, rung = (None, None)
        if "cause" in self.checks or "invariance" in self.checks:
            cause, rung = self._timed("cause", lambda: self._cause(claim, families))
        place = (
            self._timed("place", lambda: self._place(claim, cause))
            if "place" in self.checks
            else None
        )
        invariance = None
        if "invariance" in self.checks and rung is not None:
            self.progress("parity: other batches, orders and paddings")
            main = twins.main(rung.states)
            texts = self._first(INVARIANCE_TEXTS, INVARIANCE_TOKENS)
            invariance = self._timed(
                "invariance",
                lambda: measure(
                    twins,
                    texts,
                    self.max_length,
                    rung.noise[main],
                    rung.noise_max[main],
                    rung.claim,
                ),
            )
        return self._parts(answers, answer, cause, place, invariance)

    def _parts(
        self,
        answers: Any,
        answer: Any,
        cause: Any = None,
        place: Any = None,
        invariance: Any = None,
    ) -> dict[str, Any]:
        seconds = {**self.seconds, "all": round(time.perf_counter() - self.started, 3)}
        return {
            "probe": answers,
            "cause": cause,
            "place": place,
            "invariance": invariance,
            "known_answer": answer,
            "seconds": seconds,
        }

    def _cause(self, claim: Claim, families: dict[str, Any]) -> tuple[dict[str, Any], Rung]:
        """Confirm the local answer on every state of the model, and measure the accepted rung's
        envelope.
        """
        twins, texts = self.twins, self._state_texts
        batches = self._batches(texts)
        self.progress("parity: gold, reference and candidate")
        gold = twins.run(twins.gold, batches)
        started = time.perf_counter()
        reference = twins.run(twins.reference, batches)
        quick = time.perf_counter() - started < QUICK
        twins.attach(twins.candidate)
        candidate = twins.run(twins.candidate, batches)
        ratios = {n: _ratio(rms(candidate[n], gold[n]), rms(reference[n], gold[n])) for n in gold}
        self.progress(f"parity: the rung {claim.name}")
        plain = Rung(twins, batches, PLAIN, gold, reference)
        chosen = plain if claim == PLAIN else Rung(twins, batches, claim, gold, reference)
        left, at = chosen.judged(candidate)
        rungs: dict[str, States] = {
            (
                "reference (float32)" if twins.dtype == "float32" else f"reference ({twins.dtype})"
            ): reference
        }
        if claim != PLAIN:
            rungs[claim.name] = chosen.states
        if quick and twins.dtype == "float32":
            for other in (
                Claim(tanh_gelu=True),
                Claim("hf32"),
                Claim("fp16_matmul"),
                Claim("bf16_matmul"),
            ):
                rungs.setdefault(
                    other.name,
                    chosen.states if other == claim else twins.run(twins.reference, batches, other),
                )
        main = twins.main(gold)
        found = {
            "accepted": left <= ACCEPT, "causes": claim.causes, "claim": claim.name, "families": families, "residual": _number(left), "at": at,
            "n": sum(t.numel() for t in gold.values()), "n_texts": len(texts), "limit": ACCEPT,
            "self_noise": {n: _number(_ratio(v, plain.noise[n])) for n, v in chosen.noise.items()},
            "states": [{"state": n, "R": written(ratios[n]), "residual": written(_ratio(rms(candidate[n], chosen.states[n]), chosen.noise[n]))} for n in gold],
            "ladder": ladder(twins, batches, candidate, gold, rungs),
            "envelope": self._envelope(claim, chosen, reference, main, len(texts)) if main == "logits" else None,
        }  # fmt: skip
        if any(f["named"] == "unknown" for f in families.values()) and left > ACCEPT:
            found["not_checked"] = [
                {
                    "what": "the device's arithmetic",
                    "why": "it is none of those known here",
                    "how": "See explanation.probe in the record",
                }
            ]
        return found, chosen

    def _envelope(
        self, claim: Claim, chosen: Rung, reference: States, main: str, done: int
    ) -> dict[str, Any]:
        """B = 2 max|z_rung - z_gold| over all texts of the run, and how many decisions the rung
        itself changes.
        """
        reach = chosen.reach[main]
        task = self.twins.loaded.task
        flips = int(
            (
                decisions(chosen.states[main], task, self.threshold)
                != decisions(reference[main], task, self.threshold)
            ).sum()
        )
        if claim != PLAIN:  # the plain rung is the reference, whose pack already covers every text
            for part in chunks(self.texts[done:], STATE_TEXTS):
                more, changed = self._reach(part, claim)
                reach, flips, done = max(reach, more), flips + changed, done + len(part)
                self.progress(
                    f"parity: envelope of {claim.name}, {done} of {len(self.texts)} texts"
                )
        return {
            "rung": claim.name,
            "bound": 2.0 * reach,
            "flips": flips,
            "threshold": self.threshold,
            "n_texts": done,
        }

    def _reach(self, texts: Sequence[str], claim: Claim) -> tuple[float, int]:
        twins = self.twins
        batches = twins.batches(texts, self.max_length, self.size)
        gold, reference = (
            twins.run(m, batches, hidden=False)["logits"] for m in (twins.gold, twins.reference)
        )
        runs = [
            twins.run(twins.reference, batches, claim, detail, hidden=False)["logits"]
            for detail in DETAILS[:2]
        ]
        changed = decisions(runs[0], twins.loaded.task, self.threshold) != decisions(
            reference, twins.loaded.task, self.threshold
        )
        return max(largest(z, gold) for z in runs), int(changed.sum())

    def _place(self, claim: Claim, cause: dict[str, Any] | None) -> dict[str, Any]:
        self.progress("parity: one call after another, for the place")
        found = locate(self.twins, self._batches(self._first(PLACE_TEXTS, PLACE_TOKENS)), claim)
        if cause is not None:
            layers = {
                int(s["state"].split(".")[1]): s["R"]
                for s in cause["states"]
                if s["state"] != "logits"
            }
            add_accumulated(found["heat"], layers)
        return found


def _convolves(model: torch.nn.Module) -> bool:
    """Whether a model has a convolution, as a few encoders do: only then is the device asked how it
    rounds for one.
    """
    return any(isinstance(module, torch.nn.modules.conv._ConvNd) for module in model.modules())


def _ratio(size: float, noise: float) -> float:
    return size / noise if noise > 0 else (0.0 if size == 0 else float("inf"))


def _number(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
