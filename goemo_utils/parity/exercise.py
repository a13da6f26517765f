"""An exercise set made from the model itself: what the user's texts may never ask of a device.

Lengths at and around powers of two up to the model's limit, batches of one to predict's own budget
with odd remainders, one text padded to the limit, rows in other places, token ids from the whole
vocabulary. All sides run it; what was still not reached is said with its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from goemo_utils.classifier.batching import width
from goemo_utils.parity.twins import Twins

LONGEST = 512
"""Lengths beyond this are run only where the run itself allows longer texts: attention over 8,192
tokens in float64 takes six gigabytes."""
PADDED = "padded"
"""The kind of batches of short texts that are padded far."""
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
        """The batches that are repeated call by call too; in half precision every batch size, since
        a gain there is far below the rounding of whole forwards.
        """
        half = twins.dtype != "float32"
        for batch in self.batches:
            if batch.replayed or (half and batch.kind == "batch size"):
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
        Batch(PADDED, (first,), limit, replayed=False),
        Batch(PADDED, tuple(range(first, first + 3)), middle, replayed=False),
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
        tokenizer = twins.loaded.tokenizer
        # A model of characters (CANINE) has no table of tokens; its tokenizer knows them all.
        self.size = int(getattr(config, "vocab_size", None) or len(tokenizer))
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
