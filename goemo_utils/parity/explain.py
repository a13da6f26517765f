"""The explanation of a difference, as one job of a worker process: probe, cause, place, invariance
and reach of one model on one device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from goemo_utils.forward.pack import read_pack, write_pack
from goemo_utils.forward.run import arithmetic, encode, plain_arithmetic, tensor_float_32
from goemo_utils.forward.thresholds import effective
from goemo_utils.parity import exercise, known, metrics, names, used, weights, yardstick
from goemo_utils.parity.cause import ACCEPT, Rung, decisions, ladder, local_attribution
from goemo_utils.parity.emulate import DEFAULT, DETAILS, PLAIN, Claim, Detail
from goemo_utils.parity.gates import written
from goemo_utils.parity.invariance import level_three, measure
from goemo_utils.parity.place import add_accumulated, located
from goemo_utils.parity.probe import probe
from goemo_utils.parity.replay import Row
from goemo_utils.parity.twins import States, Twins, chunks, largest, rms
from goemo_utils.records.finite import finite_or_none
from goemo_utils.records.record import sha256_json

CHECKS = ("probe", "cause", "place", "invariance", "exercise")
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
# identical forwards beside those of the exercise set, and seconds that they may take
REPEATS, REPEAT_SECONDS = 40, 4.0


def explain(
    job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Run a parity job and return its parts: ``probe``, ``cause``, ``place``, ``invariance``,
    ``exercise``, ``yardstick``, ``names``, ``known_answer``, ``packs`` (paths), ``seconds``.

    The job holds what a forward job holds, with ``checks`` a choice of CHECKS and ``threshold``
    (None: the model's own, else 0.3), ``known_answer`` what ``known.asked`` gives, ``packs`` the
    paths of the packs called gold and reference, and ``out`` where the accepted rung's pack and the
    answers of the path that users run are written. Parts that were not asked for are None. At most
    64 texts are held at a time; the rung of a cause is run over all texts.
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
        plain_arithmetic()
        if "tf32" in job:
            tensor_float_32(bool(job["tf32"]))

        self.twins, self.job, self.progress = twins, job, progress
        self.texts: list[str] = list(job["texts"])
        self.max_length, self.size = int(job.get("max_length", 512)), int(job.get("batch_size", 16))
        self.threshold = effective(job.get("threshold"), twins.loaded.info)
        self.question = (
            job["known_answer"] if "known_answer" in job else known.asked(twins.loaded.info)
        )
        self.checks = job.get("checks") or CHECKS
        ids = encode(twins.loaded, self.texts[:STATE_TEXTS], self.max_length) if self.texts else []
        self.lengths = [len(i) for i in ids]
        self.rows: list[Row] = []
        self.packs: dict[str, str] = {}
        self.course: exercise.Course | None = None
        self.measured: exercise.Measured | None = None
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
        config: Any = self.twins.loaded.model.config
        values_a_token = config.hidden_size * (config.num_hidden_layers + 1)
        return self._first(STATE_TEXTS, STATE_VALUES / values_a_token)

    @property
    def _typical(self) -> list[str]:
        """A few texts of middling length: neither empty ones nor those that fill the model."""
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        start = max(0, (len(order) - LOCAL_TEXTS) // 2)
        return [self.texts[i] for i in order[start : start + LOCAL_TEXTS]]

    def _timed(self, name: str, say: str, work: Callable[[], Any]) -> Any:
        if say:
            self.progress(f"parity: {say}")
        started = time.perf_counter()
        result = work()
        self.seconds[name] = round(time.perf_counter() - started, 3)
        return result

    def run(self) -> dict[str, Any]:
        """All parts, in the order in which one needs what another found."""
        twins, asked = self.twins, set(self.checks)
        parts: dict[str, Any] = dict.fromkeys((*CHECKS, "yardstick", "names"))
        parts["known_answer"] = self._timed(
            "known answer", "", lambda: known.check(twins, self.question)
        )
        answers = self._timed("probe", "probing the device", self._probe)
        parts["probe"] = answers
        if not {"cause", "place", "invariance", "exercise"} & asked:
            return self._timed_parts(parts)

        batches = self._batches(self._typical)
        claim, families = self._timed(
            "local",
            "one call after another, for the cause",
            lambda: local_attribution(twins, batches, answers),
        )
        course = exercise.make(twins, self.max_length) if "exercise" in asked else None
        if "place" in asked:
            parts["place"] = self._timed(
                "place", "one call after another, for the place", lambda: self._place(claim, course)
            )
        ulp = float((parts["place"] or {}).get("vector_ulp", 0.0))
        rung = None
        if {"cause", "invariance"} & asked:
            parts["cause"], rung = self._timed(
                "cause", "", lambda: self._cause(claim, families, ulp)
            )
            self._accumulated(parts)
        if "invariance" in asked and rung is not None:
            parts["invariance"] = self._timed(
                "invariance", "other batches, orders and paddings", lambda: self._invariance(rung)
            )
        if course is not None and rung is not None:
            parts["exercise"] = self._timed(
                "exercise",
                "lengths, batch sizes and tokens that the texts do not have",
                lambda: self._exercise(course, rung),
            )
            main = twins.main(rung.states)
            self._timed("used", "the path that users run", lambda: self._used(main))
        if rung is not None:
            parts["yardstick"] = self._timed(
                "yardstick", "gold and reference", lambda: self._reference(rung)
            )
        if self.course is not None and self.measured is not None:
            bad = parts["yardstick"]["weights"]
            seen = self.course, self.measured, parts["place"], bad
            parts["names"] = self._timed("names", "", lambda: names.of(*seen))
        if parts["invariance"] is not None:  # last: it changes the kernels of this whole process
            parts["invariance"]["level_3"] = self._timed(
                "level 3",
                "",
                lambda: level_three(
                    twins, self._first(INVARIANCE_TEXTS, INVARIANCE_TOKENS), self.max_length
                ),
            )
        return self._timed_parts(parts)

    def _timed_parts(self, parts: dict[str, Any]) -> dict[str, Any]:
        seconds = {**self.seconds, "all": round(time.perf_counter() - self.started, 3)}
        return {**parts, "packs": self.packs, "seconds": seconds}

    def _probe(self) -> dict[str, Any]:
        twins = self.twins
        place, dtype = twins.device.torch_device, getattr(torch, twins.dtype)
        return probe(place, dtype, _convolves(twins.reference), self._fused)

    @property
    def _fused(self) -> bool:
        return str(self.job.get("attn_implementation", "eager")) != "eager"

    def _invariance(self, rung: Rung) -> dict[str, Any]:
        main = self.twins.main(rung.states)
        texts = self._first(INVARIANCE_TEXTS, INVARIANCE_TOKENS)
        noise = rung.noise[main], rung.noise_max[main]
        return measure(self.twins, texts, self.max_length, *noise, rung.claim)

    def _exercise(self, made: exercise.Exercise, rung: Rung) -> dict[str, Any]:
        """What the exercise set showed, and what was still not reached."""
        twins = self.twins
        course = exercise.Course(twins, made, rung.claim, rung.ulp)
        started = time.perf_counter()
        measured = course.run(self._repeats(made))
        self.seconds["exercise on the device"] = round(time.perf_counter() - started, 3)
        limit = twins.loaded.max_length
        self.course, self.measured = course, measured

        return {
            "rows": measured.rows,
            "failed": [row for row in measured.rows if not row["ok"]],
            "limit": exercise.LIMIT,
            "limit_max": exercise.LIMIT_MAX,
            "reach": exercise.reach(made, measured, self.lengths, limit),
        }

    def _repeats(self, made: exercise.Exercise) -> int:
        """How many identical forwards fit into the time that they may take, at most REPEATS."""
        batch = made.tensors(self.twins, next(b for b in made.batches if len(b.rows) == 8))
        started = time.perf_counter()
        self.twins.run(self.twins.candidate, batch)
        return max(4, min(REPEATS, int(REPEAT_SECONDS / (time.perf_counter() - started))))

    def _used(self, main: str) -> None:
        """The answers of the path that users run, written beside the packs."""
        if self.twins.loaded.tokenizer is None:
            return
        asked = self.texts[: used.TEXTS]
        for way, output in used.answers(self.twins, self.job, asked).items():
            self._write(way, {main: output}, len(asked))

    def _write(self, name: str, tensors: dict[str, Any], n_texts: int) -> None:
        """A pack beside those that are compared, where the job says where that is."""
        if not self.job.get("out"):
            return

        twins = self.twins
        asked = self.texts[:n_texts]
        facts = {
            "role": name,
            "model": twins.loaded.info,
            "task": twins.loaded.task,
            "texts_digest": sha256_json(asked),
            "input_ids_digest": None,
            "n_texts": n_texts,
            "dtype": twins.dtype,
            "device": twins.device.describe(),
            "simulated": twins.device.simulated,
        }
        path = Path(self.job["out"]).with_name(f"{Path(self.job['out']).name}-{name}")
        self.packs[name] = str(write_pack(path, tensors, facts))

    def _reference(self, rung: Rung) -> dict[str, Any]:
        """What speaks against gold and the reference, one phrase each; empty lists where nothing
        does.
        """
        twins = self.twins
        packs = {
            role: read_pack(path).tensors for role, path in (self.job.get("packs") or {}).items()
        }
        errors = yardstick.gold_errors()
        wrong = [
            f"{name} errs {e:.2g}" for name, e in errors.items() if not e <= yardstick.GOLD_ERROR
        ]
        batches = self._batches(self._state_texts)

        return {
            "gold": [f"the CPU's float64 {text}" for text in wrong],
            "weights": yardstick.not_finite(twins.reference),
            "probe": yardstick.by_probe(twins.dtype, _convolves(twins.reference), self._fused),
            "calls": yardstick.by_calls(self.rows),
            "packs": yardstick.by_packs(
                twins, batches, rung.gold, rung.reference, packs, rung.noise
            ),
            "settings": arithmetic(),
            "n": len(self.rows),
        }

    def _cause(
        self, claim: Claim, families: dict[str, Any], ulp: float
    ) -> tuple[dict[str, Any], Rung]:
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

        self.progress(f"parity: the rung {claim.name}")
        plain = Rung(twins, batches, PLAIN, gold, reference, ulp)
        chosen = plain if claim == PLAIN else Rung(twins, batches, claim, gold, reference, ulp)
        left = chosen.judged(candidate)
        rungs = self._rungs(chosen, batches, quick)
        main = twins.main(gold)
        noise = {name: metrics.over_noise(v, plain.noise[name]) for name, v in chosen.noise.items()}
        rows = [_state_row(name, candidate, chosen) for name in gold]
        cause = {
            "accepted": left.value <= ACCEPT,
            "causes": [*claim.causes, *(["vector_noise"] if ulp else [])],
            "claim": claim.name,
            "families": families,
            "residual": finite_or_none(left.value),
            "at": left.at,
            "n": sum(t.numel() for t in gold.values()),
            "n_texts": len(texts),
            "limit": ACCEPT,
            "self_noise": {name: finite_or_none(v) for name, v in noise.items()},
            "noise": {name: finite_or_none(v) for name, v in chosen.noise.items()},
            "noise_max": {name: finite_or_none(v) for name, v in chosen.noise_max.items()},
            "own": {name: finite_or_none(rms(reference[name], gold[name])) for name in gold},
            "vector_ulp": ulp / 2.0,
            "states": rows,
            "ladder": ladder(twins, batches, candidate, gold, rungs),
            "envelope": None,
        }
        if main == "logits":
            cause["envelope"] = self._envelope(chosen, len(texts))
        elif claim.rounds or claim.tanh_gelu:
            self._write_rung(chosen, [chosen.states[main]], [chosen.others[0][main]])
        unknown = any(family["named"] == "unknown" for family in families.values())
        if unknown and not left.value <= ACCEPT:
            cause["not_checked"] = [
                {
                    "what": "the device's arithmetic",
                    "why": "it is none of those known here",
                    "how": "See explanation.probe in the record",
                }
            ]
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
        decisions it changes; its answers are written as a pack.
        """
        claim, task = chosen.claim, self.twins.loaded.task
        reach = chosen.reach["logits"]
        flips = _changed(chosen.states["logits"], chosen.reference["logits"], task, self.threshold)
        answers, others = [chosen.states["logits"]], [chosen.others[0]["logits"]]

        if claim != PLAIN:  # the plain rung is the reference, whose pack already covers every text
            for part in chunks(self.texts[done:], STATE_TEXTS):
                more = self._reach(part, claim)
                answers.append(more["rung"])
                others.append(more["other"])
                reach = max(reach, *(largest(more[n], more["gold"]) for n in ("rung", "other")))
                flips += _changed(more["rung"], more["reference"], task, self.threshold)
                done += len(part)
                self.progress(
                    f"parity: envelope of {claim.name}, {done} of {len(self.texts)} texts"
                )
            self._write_rung(chosen, answers, others)

        return {
            "rung": claim.name,
            "bound": 2.0 * reach,
            "flips": flips,
            "threshold": self.threshold,
            "n_texts": done,
        }

    def _write_rung(self, chosen: Rung, answers: list[Any], others: list[Any]) -> None:
        """The accepted arithmetic's own answers to every text, so that the packs are judged by it
        and not by what it did to other texts.
        """
        main = self.twins.main(chosen.states)
        tensors = {main: torch.cat(answers), "perturbed": torch.cat(others)}
        tensors |= {name: state for name, state in chosen.states.items() if name != main}
        wide = {name: tensor.float() for name, tensor in tensors.items()}
        self._write("rung", wide, len(self.texts))

    def _reach(self, texts: Sequence[str], claim: Claim) -> dict[str, Any]:
        """Logits of gold, reference, the rung and one perturbation of it."""
        twins = self.twins
        batches = twins.batches(texts, self.max_length, self.size)

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

    def _place(self, claim: Claim, course: exercise.Exercise | None) -> dict[str, Any]:
        """Faults by address: of the weights that arrived, and of every call on the user's texts and
        on the exercise set.
        """
        twins = self.twins
        twins.attach(twins.candidate)
        twins.run(twins.candidate, self._batches(self._typical), hidden=False)
        arrived = self._timed("weights", "reading weights back", lambda: weights.read_back(twins))
        batches = self._batches(self._first(PLACE_TEXTS, PLACE_TOKENS))
        batches += list(course.replayed(twins)) if course is not None else []
        table, self.rows = located(twins, batches, claim)
        table["faults"] = [*arrived["faults"], *table["faults"]]
        table["weights"] = {k: v for k, v in arrived.items() if k != "faults"}
        shapes = {(row.shape.texts, row.shape.tokens) for row in self.rows}

        for fault in table["faults"]:
            fault["only"] = _only(fault.pop("shapes", []), shapes)

        return table

    def _accumulated(self, parts: dict[str, Any]) -> None:
        """The error at each layer's output, beneath the map of calls."""
        if parts["cause"] is None or parts["place"] is None:
            return
        layers = {
            int(row["state"].split(".")[1]): row["R"]
            for row in parts["cause"]["states"]
            if row["state"] != "logits"
        }
        add_accumulated(parts["place"]["heat"], layers)


def _state_row(name: str, candidate: States, rung: Rung) -> dict[str, Any]:
    """R and residual of one state."""
    gold, reference = rung.gold[name], rung.reference[name]
    ratio = metrics.over_noise(rms(candidate[name], gold), rms(reference, gold))
    left = metrics.over_noise(rms(candidate[name], rung.states[name]), rung.noise[name])
    return {"state": name, "R": written(ratio), "residual": written(left)}


def _changed(a: Any, b: Any, task: str, threshold: Any) -> int:
    return int((decisions(a, task, threshold) != decisions(b, task, threshold)).sum())


def _only(hot: Sequence[tuple[int, int]], run: set[tuple[int, int]]) -> str | None:
    """Where alone a call is at fault, if batches or lengths tell: beyond a length, from a number of
    texts on, or both; None where it is at fault everywhere or no line divides them.
    """
    cold = run - set(hot)
    if not hot or not cold:
        return None
    for axis, words in ((1, "batches of {} tokens and more"), (0, "batches of {} texts and more")):
        least, most = min(shape[axis] for shape in hot), max(shape[axis] for shape in hot)
        if all(shape[axis] < least for shape in cold):
            return "only in " + words.format(least)
        if all(shape[axis] > most for shape in cold):
            return "only in " + words.replace("and more", "and fewer").format(most)
    return f"only in {len(hot)} of {len(run)} shapes of batches"


def _convolves(model: torch.nn.Module) -> bool:
    """Whether a model has a convolution, as a few encoders do: only then is the device asked how it
    rounds for one.
    """
    return any(isinstance(module, torch.nn.modules.conv._ConvNd) for module in model.modules())
