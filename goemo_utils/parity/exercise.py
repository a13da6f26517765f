"""An exercise set made from the model itself: what the user's texts may never ask of a device.

Lengths at and around powers of two up to the model's limit, batches of one to predict's own budget
with odd remainders, one text padded to the limit, rows in other places, token ids from the whole
vocabulary. All sides run it; what was still not reached is said with its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from goemo_utils.classifier.batching import width
from goemo_utils.parity import metrics
from goemo_utils.parity.cause import Rung
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Detail, stay
from goemo_utils.parity.gates import written
from goemo_utils.parity.twins import States, Twins, largest, parts, rms

LONGEST = 512
"""Lengths beyond this are run only where the run itself allows longer texts: attention over 8,192
tokens in float64 takes six gigabytes."""
SHORT, SHORTEST = 8, 4
"""Tokens of the texts of which batches are made: many texts cost little."""
REPLAYED = (3, 17, 33)
"""Batch sizes that are repeated call by call too: once what begins at a size shows, calls of larger
batches say no more."""
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 32, 33)
BUDGET = {"cpu": 512, "rehearsal": 512, "cuda": 16384, "npu": 16384}
"""Tokens of a batch of predict's (``classifier.BATCH_TOKENS``)."""
DISTINCT = 64
"""Short texts that differ; larger batches repeat them, so that gold is computed once a text."""
LIMIT, LIMIT_MAX = 4.0, 8.0
"""Residual of one batch, in units of the rung's noise: root mean square and largest element. One
batch holds fewer values than the run's texts, so more than 3."""


@dataclass(frozen=True)
class Text:
    """One text of the exercise set by its token ids, without padding."""

    ids: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Texts that run together: positions into the set, why, and the length they are padded to."""

    kind: str
    rows: tuple[int, ...]
    tokens: int
    replayed: bool = True


@dataclass(frozen=True)
class Exercise:
    """The set: its texts, and the batches in which they run."""

    texts: tuple[Text, ...]
    batches: tuple[Batch, ...]
    limit: int
    vocabulary: int
    refused: tuple[int, ...] = ()
    """Widths that the model itself cannot take, as one that pools cannot take two tokens."""

    @property
    def middling(self) -> Batch:
        """A batch of middling size, of which identical forwards are made."""
        return next((b for b in self.batches if len(b.rows) == 8), self.batches[0])

    @property
    def short(self) -> int:
        """The length of the texts of which batches are made, or of most that the model takes."""
        lengths = [len(text.ids) for text in self.texts]
        return SHORT if SHORT in lengths else max(lengths, key=lengths.count)

    def tensors(self, twins: Twins, batch: Batch) -> list[dict[str, Tensor]]:
        """One padded batch; several for a model that is not padded."""
        return twins.padded([list(self.texts[i].ids) for i in batch.rows], batch.tokens)

    def replayed(self, twins: Twins) -> Iterator[dict[str, Tensor]]:
        """The batches that are repeated call by call too."""
        for batch in self.batches:
            if batch.replayed:
                yield from self.tensors(twins, batch)


def lengths(limit: int) -> list[int]:
    """2, 8, and each power of two from 32 with its neighbours, up to the limit, which is among
    them.
    """
    around = [p + d for p in (32, 64, 128, 256, 512, 1024, 2048, 4096) for d in (-1, 0, 1)]
    return sorted({n for n in (2, SHORT, *around, limit) if 2 <= n <= limit})


def make(twins: Twins, max_length: int, seed: int = 0) -> Exercise:
    """The exercise set of a model; ``max_length`` is the run's own limit in tokens."""
    limit = min(twins.loaded.max_length, max(max_length, LONGEST))
    draw = _Vocabulary(twins, seed)
    texts = [draw.text(n) for n in lengths(limit)]
    batches = [
        Batch("length", (i,), len(text.ids), _by_call(len(text.ids), limit))
        for i, text in enumerate(texts)
    ]

    first = len(texts)
    budget = max(1, BUDGET[twins.device.kind] // width(SHORT))
    texts += [draw.text(SHORTEST + i % (SHORT - SHORTEST + 1)) for i in range(DISTINCT)]
    for turn, size in enumerate(sorted({*SIZES, budget})):
        rows = tuple(first + (turn + i) % DISTINCT for i in range(size))
        longest = max(len(texts[i].ids) for i in rows)
        batches.append(Batch("batch size", rows, longest, size in REPLAYED))

    equal = [i for i in range(first, len(texts)) if len(texts[i].ids) == SHORT][:7]
    middle = min(limit, 64)
    batches += [
        Batch("equal lengths", tuple(equal), SHORT, replayed=False),
        Batch("other places", tuple(reversed(equal)), SHORT, replayed=False),
        Batch("padded", (first,), limit, replayed=False),
        Batch("padded", tuple(range(first, first + 3)), middle, replayed=False),
        Batch("mixed", (first, _longest(texts, middle), first + 1), middle),
        Batch("mixed", (_longest(texts, limit), first + 2), limit, replayed=False),
    ]
    made = Exercise(tuple(texts), tuple(batches), limit, draw.size)
    return _possible(twins, made)


def _possible(twins: Twins, exercise: Exercise) -> Exercise:
    """The set without the batches that the model itself refuses on the CPU. What it takes of few
    tokens it takes of many, so that only where it does not are all widths tried.
    """
    widths = sorted({batch.tokens for batch in exercise.batches})
    refused = [n for n in widths if n <= SHORT and not _runs(twins, exercise, n)]
    if refused:
        refused = [n for n in widths if not _runs(twins, exercise, n)]
    kept = tuple(batch for batch in exercise.batches if batch.tokens not in refused)
    used = {i for batch in kept for i in batch.rows}
    if refused and not used:
        return exercise  # it refuses everything: let it say why

    # places of the texts that are left
    places = {old: new for new, old in enumerate(sorted(used))}
    return replace(
        exercise,
        texts=tuple(exercise.texts[i] for i in sorted(used)),
        batches=tuple(replace(b, rows=tuple(places[i] for i in b.rows)) for b in kept),
        refused=tuple(refused),
    )


@torch.no_grad()
def _runs(twins: Twins, exercise: Exercise, width: int) -> bool:
    """Whether the reference takes a batch of that width."""
    batch = next(b for b in exercise.batches if b.tokens == width)
    try:
        twins.run(twins.reference, exercise.tensors(twins, batch))
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


def _by_call(length: int, limit: int) -> bool:
    """Lengths that are repeated call by call: the limit, and those just past a power of two, where
    what begins beyond a length shows first."""
    past = length - 1
    return length in (2, limit) or (past >= 32 and past & (past - 1) == 0)


def _longest(texts: Sequence[Text], at_most: int) -> int:
    fitting = [i for i, text in enumerate(texts) if len(text.ids) <= at_most]
    return max(fitting, key=lambda i: len(texts[i].ids))


class _Vocabulary:
    """Deals token ids from the whole vocabulary, each once before any comes again, between the
    special tokens that the tokenizer puts around a text."""

    def __init__(self, twins: Twins, seed: int) -> None:
        config: Any = twins.loaded.model.config
        self.size = int(config.vocab_size)
        tokenizer = twins.loaded.tokenizer
        special = set(getattr(tokenizer, "all_special_ids", None) or [config.pad_token_id or 0])
        g = torch.Generator().manual_seed(seed)
        order = torch.randperm(self.size, generator=g).tolist()
        self.order = [i for i in order if i not in special] or order
        self.next = 0
        self.before, self.after = _around(tokenizer)

    def text(self, n: int) -> Text:
        """A text of ``n`` tokens, special ones included where there is room for one more."""
        room = n - len(self.before) - len(self.after)
        if room < 1:
            return Text(tuple((self.before + self.after)[:n]) if room == 0 else self._dealt(n))
        return Text((*self.before, *self._dealt(room), *self.after))

    def _dealt(self, n: int) -> tuple[int, ...]:
        dealt = [self.order[(self.next + i) % len(self.order)] for i in range(n)]
        self.next += n
        return tuple(dealt)


def _around(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens before and after a text."""
    if tokenizer is None:
        return (), ()
    empty, one = (list(tokenizer(text)["input_ids"]) for text in ("", "a"))
    before = 0
    while before < len(empty) and empty[before] == one[before]:
        before += 1
    return tuple(empty[:before]), tuple(empty[before:])


@dataclass
class Measured:
    """What the exercise set showed: a row a batch, and how often identical forwards agreed."""

    rows: list[dict[str, Any]]
    forwards: int = 0
    repeats: int = 0
    differing: int = 0


class Course:
    """Runs the set: on the CPU once a text, on the device in every batch, twice."""

    def __init__(self, twins: Twins, exercise: Exercise, claim: Claim, ulp: float) -> None:
        self.twins, self.exercise, self.claim, self.ulp = twins, exercise, claim, ulp
        self.gold: dict[int, States] = {}
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
                self.gold[i], self.rung[i] = gold[i], rung[i]
                for unit, size in ((self.unit, rms), (self.unit_max, largest)):
                    unit[i] = {
                        name: max(
                            size(other[i][name], rung[i][name]),
                            size(plain[i][name], gold[i][name]),
                            stays * size(rung[i][name], gold[i][name])
                            if self.claim.rounds
                            else 0.0,
                        )
                        for name in gold[i]
                    }

        self.typical = _pooled(self.unit)
        self.typical_max = {n: max(u[n] for u in self.unit_max.values()) for n in self.typical}

    def _by_row(self, states: States, rows: Sequence[int]) -> dict[int, States]:
        """States of a batch, text by text: logits by row, hidden states by each text's tokens."""
        sizes = [len(self.exercise.texts[i].ids) for i in rows]
        found: dict[int, States] = {}
        cut = _cut(states, sizes)
        for place, i in enumerate(rows):
            found.setdefault(i, {name: rows[place] for name, rows in cut.items()})
        return found

    def run(self, repeats: int) -> Measured:
        """Every batch on the device twice, and ``repeats`` times more one of middling size."""
        twins = self.twins
        twins.attach(twins.candidate)
        told = Measured([])

        for batch in self.exercise.batches:
            tensors = self.exercise.tensors(twins, batch)
            states, again = (twins.run(twins.candidate, tensors) for _ in range(2))
            told.forwards += 2
            told.repeats += 1
            told.differing += not same_bits(states, again)
            row = self.judged(batch, states)
            if not row["ok"]:
                row = self._against_the_same_batch(batch, tensors, states, row)
            told.rows.append({k: written(v) for k, v in row.items()})

        self._repeat(told, repeats)

        return told

    def _repeat(self, told: Measured, repeats: int) -> None:
        batch = self.exercise.middling
        tensors = self.exercise.tensors(self.twins, batch)
        first = self.twins.run(self.twins.candidate, tensors)
        for _ in range(repeats):
            again = self.twins.run(self.twins.candidate, tensors)
            told.repeats += 1
            told.differing += not same_bits(first, again)
        told.forwards += repeats + 1

    def judged(self, batch: Batch, states: States) -> dict[str, Any]:
        """One batch on the device beside what the CPU says of each of its texts."""
        sizes = [len(self.exercise.texts[i].ids) for i in batch.rows]
        over: dict[str, float] = {}
        over_max: dict[str, float] = {}

        for name in self.typical:
            if not _whole(name, states[name], sizes):
                continue
            lengths = torch.tensor([1] * len(sizes) if name == "logits" else sizes)
            wanted = torch.cat([self.rung[i][name] for i in batch.rows])
            unit = [max(self.unit[i][name], self.typical[name]) for i in batch.rows]
            apart = states[name].double() - wanted.double()  # [rows, width]
            squares = torch.zeros(len(sizes), dtype=torch.float64)
            texts = torch.arange(len(sizes)).repeat_interleave(lengths)
            squares.index_add_(0, texts, apart.square().mean(1))
            errors = (squares / lengths).sqrt().tolist()  # a text each
            over[name] = _root_mean(
                [metrics.over_noise(*p) for p in zip(errors, unit, strict=True)]
            )
            over_max[name] = metrics.over_noise(float(apart.abs().max()), self.typical_max[name])

        return self._row(batch, over, over_max)

    def _against_the_same_batch(
        self, batch: Batch, tensors: list[dict[str, Tensor]], states: States, row: dict[str, Any]
    ) -> dict[str, Any]:
        """The model itself may depend on its batch, as one without a padding mask does: then the
        CPU's answers for that very batch are the measure.
        """
        twins = self.twins
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
    names = next(iter(units.values()))
    return {name: _root_mean([unit[name] for unit in units.values()]) for name in names}


def _root_mean(values: Sequence[float]) -> float:
    return math.sqrt(sum(v * v for v in values) / len(values))


def _top(values: Sequence[float]) -> float:
    return math.nan if any(math.isnan(v) for v in values) else max(values)


def same_bits(a: States, b: States) -> bool:
    """Whether two runs agree in every bit; NaN agrees with NaN."""
    return all(bool(((a[n] == b[n]) | (a[n].isnan() & b[n].isnan())).all()) for n in a)


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
