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
from goemo_utils.parity import course, exercise, known, names, used, weights, yardstick
from goemo_utils.parity.cause import Rung, local_attribution
from goemo_utils.parity.confirm import STATE_TEXTS, Asked, Confirmation
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.invariance import level_three, measure
from goemo_utils.parity.place import add_accumulated, located
from goemo_utils.parity.probe import probe
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import Twins
from goemo_utils.records.record import sha256_json
from goemo_utils.rehearsal.kept import KEPT

CHECKS = ("probe", "cause", "place", "invariance", "exercise")
# hidden states are held for no more values than this in one run, about ten being held at a time
STATE_VALUES = 30_000_000
# the sharpest test of all needs a handful of texts: operand rounding is a function of each operand
LOCAL_TEXTS = 4
PLACE_TEXTS, PLACE_TOKENS = 32, 6_000
INVARIANCE_TEXTS, INVARIANCE_TOKENS = 16, 3_000
# identical forwards beside those of the exercise set, and seconds that they may take
REPEATS, REPEAT_SECONDS = 40, 4.0


def explain(
    job: dict[str, Any],
    progress: Callable[[str], None] = lambda line: None,
    asked: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a parity job and return its parts: ``probe``, ``cause``, ``place``, ``invariance``,
    ``exercise``, ``yardstick``, ``names``, ``known_answer``, ``packs`` (paths), ``seconds``.

    The job holds what a forward job holds, with ``checks`` a choice of CHECKS and ``threshold``
    (None: the model's own, else 0.3), ``known_answer`` what ``known.asked`` gives, ``packs`` the
    paths of the packs called gold and reference, and ``out`` where the accepted rung's pack and the
    answers of the path that users run are written. Parts that were not asked for are None. At most
    64 texts are held at a time; the rung of a cause is run over all texts. ``asked`` is called
    before the packs are read: once it returns they are there.
    """
    if job.get("threads"):
        torch.set_num_threads(job["threads"])

    torch.manual_seed(job.get("seed", 0))
    progress("parity: loading the model")
    with torch.no_grad():
        return Explanation(Twins.load(job), job, progress, asked).run()


class Explanation:
    """One analysis in progress; ``run`` gives all of it."""

    def __init__(
        self,
        twins: Twins,
        job: dict[str, Any],
        progress: Callable[[str], None] = lambda line: None,
        asked: Callable[[], None] = lambda: None,
    ) -> None:
        plain_arithmetic()
        if "tf32" in job:
            tensor_float_32(bool(job["tf32"]))

        self.twins, self.job, self.progress, self.asked = twins, job, progress, asked
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
        self.course: course.Course | None = None
        self.measured: course.Measured | None = None
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
        # Some configurations name their sizes otherwise (Perceiver), or not at all: BERT's, then.
        sizes = {"hidden_size": 768, "num_hidden_layers": 12}
        width, layers = (int(getattr(config, name, None) or sizes[name]) for name in sizes)
        return self._first(STATE_TEXTS, STATE_VALUES / (width * (layers + 1)))

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
        with KEPT.keeping(twins.weights()):
            self._judged(parts, claim, families)
        return self._timed_parts(parts)

    def _judged(self, parts: dict[str, Any], claim: Claim, families: dict[str, Any]) -> None:
        """The parts that ask how the device stands to a claim."""
        twins, asked, answers = self.twins, set(self.checks), parts["probe"]
        made = exercise.make(twins, self.max_length) if "exercise" in asked else None
        if "place" in asked:
            parts["place"] = self._timed(
                "place",
                "one call after another, for the place",
                lambda: self._place(claim, made, answers),
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
        if made is not None and rung is not None:
            parts["exercise"] = self._timed(
                "exercise",
                "lengths, batch sizes and tokens that the texts do not have",
                lambda: self._exercise(made, rung),
            )
            main = twins.main(rung.states)
            self._timed("used", "the path that users run", lambda: self._used(main))
        if rung is not None:
            self._wait()
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

    def _wait(self) -> None:
        """Until somebody has asked for this job; that time is not the analysis'."""
        began = time.perf_counter()
        self.asked()
        self.started += time.perf_counter() - began

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
        run = course.Course(twins, made, rung.claim, rung.ulp)
        started = time.perf_counter()
        measured = run.run(self._repeats(made))
        self.seconds["exercise on the device"] = round(time.perf_counter() - started, 3)
        limit = twins.loaded.max_length
        self.course, self.measured = run, measured

        return {
            "rows": measured.every,
            "failed": [row for row in measured.every if not row["ok"]],
            "limit": course.LIMIT,
            "limit_max": course.LIMIT_MAX,
            "reach": course.reach(made, measured, self.lengths, limit),
            "fault_hits": self._hits(),
        }

    def _hits(self) -> dict[str, int] | None:
        """How often each rehearsed fault fired in this process; None where none was asked for."""
        if not self.twins.device.fault:
            return None
        from goemo_utils import rehearsal

        return rehearsal.fault_hits()

    def _repeats(self, made: exercise.Exercise) -> int:
        """How many identical forwards fit into the time that they may take, at most REPEATS."""
        batch = made.tensors(self.twins, made.middling)
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
        with twins.as_role("gold"):
            errors = yardstick.gold_errors()
        with twins.as_role("reference"):
            probed = yardstick.by_probe(twins.dtype, _convolves(twins.reference), self._fused)
        wrong = [
            f"{name} errs {e:.2g}" for name, e in errors.items() if not e <= yardstick.GOLD_ERROR
        ]
        batches = self._batches(self._state_texts)

        return {
            "gold": [f"the CPU's float64 {text}" for text in wrong],
            "weights": yardstick.not_finite(twins.reference),
            "probe": probed,
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
        """The local answer on every state of the model; the rung's answers are written as a pack
        where they are not the reference's.
        """
        asked = Asked(self.texts, self.max_length, self.size, self.threshold)
        confirmation = Confirmation(self.twins, asked, self.progress)
        cause, rung = confirmation.run(self._state_texts, claim, families, ulp)
        if confirmation.answers:
            self._write("rung", confirmation.answers, len(self.texts))
        return cause, rung

    def _place(
        self, claim: Claim, made: exercise.Exercise | None, answers: dict[str, Any]
    ) -> dict[str, Any]:
        """Faults by address: of products as the probe read them, of the weights that arrived, and
        of every call on the user's texts and on the exercise set.
        """
        twins = self.twins
        twins.attach(twins.candidate)
        twins.run(twins.candidate, self._batches(self._typical), hidden=False)
        arrived = self._timed("weights", "reading weights back", lambda: weights.read_back(twins))
        batches = self._batches(self._first(PLACE_TEXTS, PLACE_TOKENS))
        batches += list(made.replayed(twins)) if made is not None else []
        table, self.rows = located(twins, batches, claim)
        table["faults"] = [*_narrowed(answers), *arrived["faults"], *table["faults"]]
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


def _narrowed(answers: dict[str, Any]) -> list[dict[str, Any]]:
    """The fault of products that do not keep operands of half precision; none in float32, where a
    rounding is a claim.
    """
    sides = answers.get("half_operands", {})
    rounded = sorted({str(told) for told in sides.values() if told is not None})
    if not rounded:
        return []
    told = f"operands of {answers['dtype']} are rounded as {' and '.join(rounded)}"
    return [weights.fault("all products", told, "kernel", "matmul")]


def _only(hot: Sequence[tuple[int, int]], run: set[tuple[int, int]]) -> str | None:
    """Where alone a call is at fault, if batches or lengths tell: beyond a length, from a number of
    texts on, or in some numbers alone; None where it is at fault everywhere.
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
    for axis, unit in ((1, "tokens"), (0, "texts")):
        numbers = sorted({shape[axis] for shape in hot})
        if not {shape[axis] for shape in cold} & set(numbers):
            return f"only in batches of {', '.join(map(str, numbers))} {unit}"
    return f"only in {len(hot)} of {len(run)} shapes of batches"


def _convolves(model: torch.nn.Module) -> bool:
    """Whether a model has a convolution, as a few encoders do: only then is the device asked how it
    rounds for one.
    """
    return any(isinstance(module, torch.nn.modules.conv._ConvNd) for module in model.modules())
