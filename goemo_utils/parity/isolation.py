"""What must not matter to the last bit: the other texts of a batch of one shape, and what stands in
the padding.

A kernel computes a row alike whatever is in the others, and a masked key weighs exactly nothing,
since the exponential of its score is 0. So both are exact tests in every dtype, where an error of a
leak or of a soft mask may be far below rounding. What the CPU itself does not keep is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.parity import metrics
from goemo_utils.parity.exercise import PADDED, Batch, Exercise
from goemo_utils.parity.gates import written
from goemo_utils.parity.twins import States, Twins, rms

SIZES = (3, 17, 33)
"""Batch sizes of which company is tried, beside the largest of the set."""
COMPANY, PADDING = "company", "what stands in the padding"


@dataclass(frozen=True)
class Pair:
    """Two batches of one shape that differ in what must not matter to their first ``texts``."""

    kind: str
    batch: Batch
    first: dict[str, Tensor]
    second: dict[str, Tensor]
    texts: int


def isolated(
    twins: Twins,
    exercise: Exercise,
    typical: Callable[[], Mapping[str, float]],
    answered: Mapping[Batch, States],
) -> list[dict[str, Any]]:
    """A row a pair, as those of the exercise set; ``typical`` gives the noise of each state, in
    which a difference is told, and ``answered`` what the device has answered to padded batches.
    """
    return [_row(twins, pair, typical, answered) for pair in _pairs(twins, exercise)]


def _pairs(twins: Twins, exercise: Exercise) -> Iterator[Pair]:
    equal = [i for i, text in enumerate(exercise.texts) if len(text.ids) == exercise.short]
    largest = max(len(batch.rows) for batch in exercise.batches)
    for size in sorted({*SIZES, largest}) if len(equal) > 2 else ():
        rows = tuple((equal * size)[:size])
        others = (rows[0], *((equal[2:] + equal[:2]) * size)[: size - 1])
        batch = Batch(COMPANY, rows, exercise.short)
        pair = [exercise.tensors(twins, Batch(COMPANY, r, exercise.short)) for r in (rows, others)]
        if all(len(one) == 1 for one in pair):
            yield Pair(COMPANY, batch, pair[0][0], pair[1][0], 1)

    end = twins.loaded.inputs.end
    for batch in exercise.batches:
        tensors = exercise.tensors(twins, batch)
        padded = len(tensors) == 1 and not bool(tensors[0]["attention_mask"].all())
        if batch.kind == PADDED and padded:
            yield Pair(PADDING, batch, tensors[0], _refilled(tensors[0], end), len(batch.rows))


def _refilled(batch: dict[str, Tensor], end: int | None) -> dict[str, Tensor]:
    """The batch with words of its own where it was padded, but for an ``end`` that the model counts
    whatever the mask says; the mask stays.
    """
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    words = ids[mask] if end is None else ids[mask & (ids != end)]
    filled = ids.clone()
    places = torch.arange(int((~mask).sum())) % len(words)
    filled[~mask] = words[places]
    return {**batch, "input_ids": filled}


def _row(
    twins: Twins,
    pair: Pair,
    typical: Callable[[], Mapping[str, float]],
    answered: Mapping[Batch, States],
) -> dict[str, Any]:
    apart = _apart(twins, twins.candidate, pair, answered.get(pair.batch))
    order = sorted(apart, key=lambda name: math.inf if name == "logits" else int(name[7:]))
    wrong = [name for name in order if apart[name] != 0.0]  # NaN too
    if wrong and any(_apart(twins, twins.reference, pair).values()):
        wrong = []  # the model itself depends on it

    noise = typical() if wrong else {}
    over = {name: metrics.over_noise(apart[name], noise.get(name, 0.0)) for name in wrong}
    at = max(over, key=lambda name: over[name]) if over else order[-1]
    return {
        "kind": pair.kind,
        "texts": len(pair.batch.rows),
        "tokens": pair.batch.tokens,
        "residual": written(over.get(at, 0.0)),
        "largest": written(over.get(at, 0.0)),
        "at": at,
        "first_wrong": wrong[0] if wrong else None,
        "ok": not wrong,
    }


def _apart(
    twins: Twins, model: nn.Module, pair: Pair, answered: States | None = None
) -> dict[str, float]:
    """How far the answers to the texts of interest are apart, state by state, the first ones
    ``answered`` or asked now; NaN is no difference from NaN."""
    first = answered or twins.run(model, [pair.first])
    second = twins.run(model, [pair.second])
    rows = int(pair.first["attention_mask"][: pair.texts].sum())
    return {name: _difference(first, second, name, pair.texts, rows) for name in first}


def _difference(first: States, second: States, name: str, texts: int, rows: int) -> float:
    count = texts if name == "logits" else rows
    a, b = (states[name][:count] for states in (first, second))
    if bool(((a == b) | (a.isnan() & b.isnan())).all()):
        return 0.0
    return rms(a, b)
