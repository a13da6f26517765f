"""The explanation of a difference, as one job of a worker process: probe, cause, place, invariance
and reach of one model on one device.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from goemo_utils.forward.pack import write_pack
from goemo_utils.forward.run import encode
from goemo_utils.parity import (
    beside,
    course,
    exercise,
    known,
    names,
    share,
    used,
    weights,
)
from goemo_utils.parity.cause import local_attribution
from goemo_utils.parity.confirm import STATE_TEXTS
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.faulted import accumulate, completed
from goemo_utils.parity.invariance import Several, answered, level_three
from goemo_utils.parity.place import located, parted, repeated
from goemo_utils.parity.probe import probe
from goemo_utils.parity.row import Row
from goemo_utils.parity.share import Share, convolves
from goemo_utils.parity.twins import Twins
from goemo_utils.records.record import sha256_json
from goemo_utils.rehearsal.kept import KEPT

Waiting = Callable[[], Any]
"""Gives what was asked for, once it is there."""
CHECKS = ("probe", "cause", "place", "invariance", "exercise")
# hidden states are held for no more values than this in one run, about ten being held at a time
STATE_VALUES = 30_000_000
# Which part of the record each piece of the CPU's share counts for.
PIECES = {
    "foreseen": "cause",
    "placed": "place",
    "cause": "cause",
    "invariance": "invariance",
    "exercised": "exercise",
    "row": "exercise",
    "yardstick": "yardstick",
}
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
    64 texts are held at a time; the rung of a cause is run over all texts. With ``apart`` the CPU's
    share is computed by a process beside (``beside``). ``asked`` is called before the packs are
    read: once it returns they are there.
    """
    if job.get("threads"):
        torch.set_num_threads(job["threads"])

    torch.manual_seed(job.get("seed", 0))
    progress("parity: loading the model")
    with torch.no_grad(), beside.begun(_apart(job), partial(share.of, job), progress) as child:
        return Explanation(Twins.load(job), job, progress, asked, child).run()


def _apart(job: dict[str, Any]) -> bool:
    """Whether the CPU's share of a job is done in a process of its own."""
    return bool(job.get("apart")) and job["device"] in beside.ON_THESE_CORES


class Explanation:
    """One analysis in progress; ``run`` gives all of it."""

    def __init__(
        self,
        twins: Twins,
        job: dict[str, Any],
        progress: Callable[[str], None] = lambda line: None,
        asked: Callable[[], None] = lambda: None,
        cpu: beside.Doer | None = None,
    ) -> None:
        share.compute_plainly(job)
        self.twins, self.job, self.progress, self.asked = twins, job, progress, asked
        question = share.asked_of(job, twins)
        self.texts, self.max_length, self.size = question.texts, question.max_length, question.size
        self.cpu = cpu or beside.Here(Share(twins, question, share.fused(job), progress))
        self.question = (
            job["known_answer"] if "known_answer" in job else known.asked(twins.loaded.info)
        )
        self.checks = job.get("checks") or CHECKS
        ids = encode(twins.loaded, self.texts[:STATE_TEXTS], self.max_length) if self.texts else []
        self.lengths = [len(i) for i in ids]
        self.packs: dict[str, str] = {}
        self.main = ""
        self.hits: dict[str, int] | None = None
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
        self._took(name, time.perf_counter() - started)
        return result

    def _took(self, name: str, seconds: float) -> None:
        self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)

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

        if self.cpu.apart and {"cause", "invariance"} & asked:
            self.cpu.ask("foreseen", self._state_texts)
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
        """The parts that ask how the device stands to a claim. What the CPU says is asked for as
        soon as it can be, and waited for at the end.
        """
        wanted = set(self.checks)
        made = exercise.make(self.twins, self.max_length) if "exercise" in wanted else None
        rung = bool({"cause", "invariance"} & wanted)
        place: Waiting | None = None
        if "place" in wanted:
            say = "one call after another, for the place"
            place = self._timed("place", say, lambda: self._place(claim, made))
        if not rung:
            parts["place"] = self._located(place, parts["probe"])
            return

        if made is not None and self.cpu.apart:
            self.cpu.ask("exercised", made, claim)  # while the device is asked for its states
        cause = self._timed("cause", "", lambda: self._cause(claim, families))
        invariance = None
        if "invariance" in wanted:
            say = "other batches, orders and paddings"
            invariance = self._timed("invariance", say, self._invariance)
        exercised = None
        if made is not None:
            say = "lengths, batch sizes and tokens that the texts do not have"
            run = course.Course(self.twins, made, claim, self.cpu.ask)
            exercised = run, self._timed("exercise", say, lambda: self._exercise(run))
            self._timed("used", "the path that users run", self._used)

        self._wait()
        yardstick = self._timed("yardstick", "gold and reference", self._yardstick)
        parts["place"] = self._located(place, parts["probe"])
        self._collect(parts, cause, invariance, yardstick, exercised)

    def _collect(
        self,
        parts: dict[str, Any],
        cause: Waiting,
        invariance: Waiting | None,
        yardstick: Waiting,
        exercised: tuple[course.Course, course.Measured] | None,
    ) -> None:
        """The parts that were asked for, and the names that they give."""
        parts["cause"], answers = self._timed("cause", "", cause)
        if answers:
            self._write("rung", answers, len(self.texts))
        accumulate(parts["cause"], parts["place"])
        if invariance is not None:
            parts["invariance"] = self._timed("invariance", "", invariance)
        if exercised is not None:
            run, measured = exercised
            self._timed("exercise", "", lambda: run.judge(measured))
            parts["exercise"] = self._exercised(run, measured)
        parts["yardstick"] = self._timed("yardstick", "", yardstick)
        if exercised is not None:
            seen = *exercised, parts["place"], parts["yardstick"]["weights"]
            parts["names"] = self._timed("names", "", lambda: names.of(*seen))
        if invariance is not None:  # last: it changes the kernels of this whole process
            texts = self._first(INVARIANCE_TEXTS, INVARIANCE_TOKENS)
            parts["invariance"]["level_3"] = self._timed(
                "level 3", "", lambda: level_three(self.twins, texts, self.max_length)
            )

    def _wait(self) -> None:
        """Until somebody has asked for this job; that time is not the analysis'."""
        began = time.perf_counter()
        self.asked()
        self.started += time.perf_counter() - began

    def _timed_parts(self, parts: dict[str, Any]) -> dict[str, Any]:
        for piece, name in PIECES.items():
            if piece in self.cpu.seconds:
                self._took(name, self.cpu.seconds[piece])
        self._took("all", time.perf_counter() - self.started)
        return {**parts, "packs": self.packs, "seconds": self.seconds}

    def _probe(self) -> dict[str, Any]:
        twins = self.twins
        place, dtype = twins.device.torch_device, getattr(torch, twins.dtype)
        return probe(place, dtype, convolves(twins.reference), share.fused(self.job))

    def _cause(self, claim: Claim, families: dict[str, Any]) -> Waiting:
        """The device's states of a few texts, beside which the CPU shall confirm the local answer
        on every state of the model.
        """
        twins, texts = self.twins, self._state_texts
        twins.attach(twins.candidate)
        states = twins.run(twins.candidate, self._batches(texts))
        self.main = twins.main(states)
        return self.cpu.ask("cause", texts, states, claim, families)

    def _invariance(self) -> Waiting:
        """The device's answers in other batches, which the CPU shall judge."""
        twins, texts = self.twins, self._first(INVARIANCE_TEXTS, INVARIANCE_TOKENS)
        twins.attach(twins.candidate)
        device = answered(twins, twins.candidate, Several.of(twins, texts, self.max_length))
        return self.cpu.ask("invariance", texts, device)

    def _yardstick(self) -> Waiting:
        """What speaks against gold and the reference."""
        packs = self.job.get("packs") or {}
        return self.cpu.ask("yardstick", self._state_texts, packs)

    def _exercise(self, run: course.Course) -> course.Measured:
        """The exercise set on the device."""
        started = time.perf_counter()
        measured = run.run(self._repeats(run.exercise))
        self._took("exercise on the device", time.perf_counter() - started)
        self.hits = self._hits()
        return measured

    def _exercised(self, run: course.Course, measured: course.Measured) -> dict[str, Any]:
        """What the exercise set showed, and what was still not reached."""
        return {
            "rows": measured.every,
            "failed": [row for row in measured.every if not row["ok"]],
            "limit": course.LIMIT,
            "limit_max": course.LIMIT_MAX,
            "reach": course.reach(
                run.exercise, measured, self.lengths, self.twins.loaded.max_length
            ),
            "fault_hits": self.hits,
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

    def _used(self) -> None:
        """The answers of the path that users run, written beside the packs."""
        if self.twins.loaded.tokenizer is None:
            return
        asked = self.texts[: used.TEXTS]
        for way, output in used.answers(self.twins, self.job, asked).items():
            self._write(way, {self.main: output}, len(asked))

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

    def _place(self, claim: Claim, made: exercise.Exercise | None) -> Waiting:
        """What of the weights arrived, and every call on the user's texts and on the exercise set,
        a part of them in a process beside this one, where that has such a device too. Gives what
        waits for the rows of calls and the table of those at fault.
        """
        twins = self.twins
        twins.attach(twins.candidate)
        twins.run(twins.candidate, self._batches(self._typical), hidden=False)
        arrived = self._timed("weights", "reading weights back", lambda: weights.read_back(twins))
        batches = self._batches(self._first(PLACE_TEXTS, PLACE_TOKENS))
        batches += list(made.replayed(twins)) if made is not None else []

        both = self.cpu.apart and share.has_device(self.job)
        mine, theirs = parted(batches) if both else (batches, [])
        others = self.cpu.ask("placed", theirs, claim) if theirs else lambda: ([], {})
        rows, skipped = repeated(twins, mine, claim)
        self.cpu.ask("judged", rows)

        def wait() -> tuple[dict[str, Any], list[Row], dict[str, Any]]:
            more, more_skipped = others()
            every = [*rows, *more]
            table = located(twins, batches, claim, every, skipped + Counter(more_skipped))
            return table, every, arrived

        return wait

    def _located(self, place: Waiting | None, answers: dict[str, Any]) -> dict[str, Any] | None:
        """Faults by address, once all calls are judged; None where nobody asked."""
        if place is None:
            return None
        table, rows, arrived = self._timed("place", "", place)
        return completed(table, rows, arrived, answers)
