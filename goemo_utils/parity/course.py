"""The exercise set on all sides: the CPU once a text, the device in every batch, twice; and what
was still not reached, in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from goemo_utils.parity import metrics
from goemo_utils.parity.cause import Rung
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Detail, stay
from goemo_utils.parity.exercise import PADDED, Batch, Exercise
from goemo_utils.parity.gates import written
from goemo_utils.parity.isolation import isolated
from goemo_utils.parity.twins import States, Twins, largest, parts, rms, sizes

LIMIT, LIMIT_MAX = 4.0, 8.0
"""Residual of one batch, in units of the rung's noise: root mean square and largest element. One
batch holds fewer values than the run's texts, so more than 3."""


@dataclass
class Measured:
    """What the exercise set showed: a row a batch, and how often identical forwards agreed."""

    rows: list[dict[str, Any]]
    forwards: int = 0
    repeats: int = 0
    differing: int = 0
    isolation: list[dict[str, Any]] = field(default_factory=list)
    """Rows about what must not matter; empty where identical forwards differ."""

    @property
    def every(self) -> list[dict[str, Any]]:
        """All rows."""
        return [*self.rows, *self.isolation]


class Texts:
    """What the CPU says of each text of the set, and how a batch of the device's stands to it."""

    def __init__(self, twins: Twins, exercise: Exercise, claim: Claim, ulp: float) -> None:
        self.twins, self.exercise, self.claim, self.ulp = twins, exercise, claim, ulp
        self.rung: dict[int, States] = {}
        self.unit: dict[int, dict[str, float]] = {}
        self.unit_max: dict[int, dict[str, float]] = {}
        self._on_the_cpu()

    def _on_the_cpu(self) -> None:
        """Gold, rung and its noise of every distinct text, in batches of equal length."""
        twins, stays = self.twins, stay(len(self.exercise.texts))
        detail = Detail(DETAILS[2].block, max(DETAILS[2].ulp, self.ulp))
        for rows in _groups(self.exercise):
            batch = twins.padded([list(self.exercise.texts[i].ids) for i in rows])
            gold = self._by_row(twins.run(twins.gold, batch), rows)
            plain = self._by_row(twins.run(twins.reference, batch), rows)
            rung, other = plain, plain
            if self.claim != PLAIN:
                rung = self._by_row(twins.run(twins.reference, batch, self.claim), rows)
            if twins.dtype == "float32":
                again = twins.run(twins.reference, batch, self.claim, detail)
                other = self._by_row(again, rows)
            for i in rows:
                self.rung[i] = rung[i]
                self.unit[i], self.unit_max[i] = {}, {}
                for name, right in gold[i].items():
                    apart = _distance(other[i][name], rung[i][name])
                    error = _distance(plain[i][name], right)
                    own = _distance(rung[i][name], right) if self.claim.rounds else (0.0, 0.0)
                    self.unit[i][name] = max(apart[0], error[0], stays * own[0])
                    self.unit_max[i][name] = max(apart[1], error[1], stays * own[1])

        self.typical = _pooled(self.unit)
        self.typical_max = {name: max(of) for name, of in _by_state(self.unit_max).items()}

    def _by_row(self, states: States, rows: Sequence[int]) -> dict[int, States]:
        """States of a batch, text by text: logits by row, hidden states by each text's tokens."""
        tokens = [len(self.exercise.texts[i].ids) for i in rows]
        found: dict[int, States] = {}
        cut = _cut(states, tokens)
        for place, i in enumerate(rows):
            found.setdefault(i, {name: rows[place] for name, rows in cut.items()})
        return found

    def row(self, batch: Batch, states: States) -> dict[str, Any]:
        """One batch on the device as it is recorded: beside each of its texts, and where that is
        wrong beside the CPU's own answers for that very batch.
        """
        row = self.judged(batch, states)
        if not row["ok"]:
            row = self._against_the_same_batch(batch, states, row)
        return {k: written(v) for k, v in row.items()}

    def judged(self, batch: Batch, states: States) -> dict[str, Any]:
        """One batch on the device beside what the CPU says of each of its texts."""
        tokens = [len(self.exercise.texts[i].ids) for i in batch.rows]
        over: dict[str, float] = {}
        over_max: dict[str, float] = {}

        for name in self.typical:
            if not _whole(name, states[name], tokens):
                continue
            lengths = torch.tensor([1] * len(tokens) if name == "logits" else tokens)
            wanted = torch.cat([self.rung[i][name] for i in batch.rows])
            unit = [max(self.unit[i][name], self.typical[name]) for i in batch.rows]
            apart = states[name].double() - wanted.double()  # [rows, width]
            squares = torch.zeros(len(tokens), dtype=torch.float64)
            texts = torch.arange(len(tokens)).repeat_interleave(lengths)
            squares.index_add_(0, texts, apart.square().mean(1))
            errors = (squares / lengths).sqrt().tolist()  # a text each
            over[name] = _root_mean(
                [metrics.over_noise(*p) for p in zip(errors, unit, strict=True)]
            )
            over_max[name] = metrics.over_noise(float(apart.abs().max()), self.typical_max[name])

        return self._row(batch, over, over_max)

    def _against_the_same_batch(
        self, batch: Batch, states: States, row: dict[str, Any]
    ) -> dict[str, Any]:
        """The model itself may depend on its batch, as one without a padding mask does: then the
        CPU's answers for that very batch are the measure.
        """
        twins, tensors = self.twins, self.exercise.tensors(self.twins, batch)
        gold = twins.run(twins.gold, tensors)
        rung = Rung(twins, tensors, self.claim, gold, twins.run(twins.reference, tensors), self.ulp)
        over = {n: metrics.over_noise(rms(states[n], rung.states[n]), rung.noise[n]) for n in gold}
        over_max = {
            n: metrics.over_noise(largest(states[n], rung.states[n]), rung.noise_max[n])
            for n in gold
        }
        again = self._row(batch, over, over_max)

        return again if again["ok"] else row

    def _row(
        self, batch: Batch, over: Mapping[str, float], over_max: Mapping[str, float]
    ) -> dict[str, Any]:
        at = max(over, key=lambda n: math.inf if math.isnan(over[n]) else over[n])
        order = sorted((n for n in over if n != "logits"), key=lambda n: int(n.split(".")[1]))
        bad = [
            n
            for n in (*order, *(["logits"] if "logits" in over else []))
            if not (metrics.within(over[n], LIMIT) and metrics.within(over_max[n], LIMIT_MAX))
        ]

        return {
            "kind": batch.kind,
            "texts": len(batch.rows),
            "tokens": batch.tokens,
            "residual": over[at],
            "largest": _top(list(over_max.values())),
            "at": at,
            "first_wrong": bad[0] if bad else None,
            "ok": not bad,
        }


Ask = Callable[..., Callable[[], Any]]
"""Asks for a piece of the CPU's share by its name and arguments, and gives what waits for it."""


class Course:
    """Runs the set on the device, every batch twice; ``ask`` has the rows of its batches made."""

    def __init__(self, twins: Twins, exercise: Exercise, claim: Claim, ask: Ask) -> None:
        self.twins, self.exercise, self.ask = twins, exercise, ask
        self._typical = ask("exercised", exercise, claim)
        self._rows: list[Callable[[], Any]] = []

    @property
    def typical(self) -> dict[str, float]:
        """The usual noise of each state."""
        typical: dict[str, float] = self._typical()
        return typical

    def judged(self, batch: Batch, states: States) -> dict[str, Any]:
        """One batch on the device beside what the CPU says of each of its texts."""
        row: dict[str, Any] = self.ask("looked", batch, states)()
        return row

    def run(self, repeats: int) -> Measured:
        """Every batch on the device twice, and ``repeats`` times more one of middling size. The
        rows of the batches come with ``judge``.
        """
        twins = self.twins
        twins.attach(twins.candidate)
        told = Measured([])
        padded: dict[Batch, States] = {}

        for batch in self.exercise.batches:
            tensors = self.exercise.tensors(twins, batch)
            states, again = (twins.run(twins.candidate, tensors) for _ in range(2))
            told.forwards += 2
            told.repeats += 1
            told.differing += not same_bits(states, again)
            self._rows.append(self.ask("row", batch, states))
            if batch.kind == PADDED:
                padded[batch] = states

        self._repeat(told, repeats)
        if not told.differing:
            told.isolation = isolated(twins, self.exercise, lambda: self.typical, padded)

        return told

    def judge(self, told: Measured) -> None:
        """The rows of all batches, once the CPU has made them."""
        told.rows = [row() for row in self._rows]

    def _repeat(self, told: Measured, repeats: int) -> None:
        batch = self.exercise.middling
        tensors = self.exercise.tensors(self.twins, batch)
        first = self.twins.run(self.twins.candidate, tensors)
        for _ in range(repeats):
            again = self.twins.run(self.twins.candidate, tensors)
            told.repeats += 1
            told.differing += not same_bits(first, again)
        told.forwards += repeats + 1


def _distance(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Root mean square and largest magnitude of a difference, in float64."""
    return sizes(a.double() - b.double())


def _cut(states: States, sizes: Sequence[int]) -> dict[str, list[Tensor]]:
    """States text by text; one that a model pools on the way has no rows of a text and is left."""
    return {
        name: parts(state, 1 if name == "logits" else list(sizes))
        for name, state in states.items()
        if _whole(name, state, sizes)
    }


def _whole(name: str, state: Tensor, sizes: Sequence[int]) -> bool:
    """Whether a state has the rows of its texts: one a text of the logits, else one a token."""
    return name == "logits" or len(state) == sum(sizes)


def _groups(exercise: Exercise) -> list[list[int]]:
    """Positions of texts of one length, in groups of at most 16."""
    by_length: dict[int, list[int]] = {}
    for i, text in enumerate(exercise.texts):
        by_length.setdefault(len(text.ids), []).append(i)
    return [
        group[start : start + 16]
        for group in by_length.values()
        for start in range(0, len(group), 16)
    ]


def _pooled(units: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """The root mean square of a noise over all texts, state by state: one text's own may be small
    by chance."""
    return {name: _root_mean(noises) for name, noises in _by_state(units).items()}


def _by_state(units: Mapping[int, Mapping[str, float]]) -> dict[str, list[float]]:
    """What each state has over the texts that have it: of a text that a model pads to whole blocks
    inside (BigBird) there is none."""
    found: dict[str, list[float]] = {}
    for unit in units.values():
        for name, noise in unit.items():
            found.setdefault(name, []).append(noise)
    return found


def _root_mean(values: Sequence[float]) -> float:
    return math.sqrt(sum(v * v for v in values) / len(values))


def _top(values: Sequence[float]) -> float:
    return math.nan if any(math.isnan(v) for v in values) else max(values)


def same_bits(a: States, b: States) -> bool:
    """Whether two runs agree in every bit; NaN agrees with NaN."""
    return all(equal(a[name], b[name]) for name in a)


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape agree in every value; NaN agrees with NaN."""
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def reach(
    exercise: Exercise, measured: Measured, texts: Sequence[int], model_limit: int
) -> dict[str, Any]:
    """What was run, and what was not, in numbers: lengths, batch sizes, token ids, and the rate of
    events that so many forwards cannot show (3/n: with 95 % confidence they are rarer).
    ``texts`` are the lengths of the user's own.
    """
    run = {len(exercise.texts[i].ids) for b in exercise.batches for i in b.rows} | set(texts)
    padded = {b.tokens for b in exercise.batches}
    sizes = sorted({len(b.rows) for b in exercise.batches})
    tokens = {t for text in exercise.texts for t in text.ids}

    return {
        "lengths": sorted(run | padded),
        "refused": list(exercise.refused),
        "lengths_not_run": max(0, model_limit - 1)
        - len([n for n in run | padded if 2 <= n <= model_limit]),
        "longest": max(run | padded),
        "limit": model_limit,
        "batch_sizes": sizes,
        "batch_sizes_not_run": sizes[-1] - len(sizes),
        "tokens": len(tokens),
        "vocabulary": exercise.vocabulary,
        "forwards": measured.forwards,
        "repeats": measured.repeats,
        "differing": measured.differing,
        "rarer_than": 3.0 / measured.repeats if measured.repeats else None,
    }
