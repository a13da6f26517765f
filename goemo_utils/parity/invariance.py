"""Does a text's answer depend on its neighbours in the batch, on their order, or on padding?

Measured on the device and on the reference. Twice and reordered must agree to the bit; other batch
sizes and paddings up to rounding, in units of the accepted rung's own noise. Needs no gold, and
sees an ignored padding mask at once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.forward import consistency
from goemo_utils.parity import metrics
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Detail
from goemo_utils.parity.twins import States, Twins, largest, parts, rms

PADDING = 16
PLENTY = 2.0
"""A spread of up to so many units of the noise is rounding whatever the rung's own spread is: that
is measured above it alone, since it costs the CPU's emulation of every text by itself (at
RoBERTa-base size 23 of the 50 seconds of this check)."""


def ways(n: int, size: int, longest: int) -> list[dict[str, Any]]:
    """How the same texts are run again: name, order, batch size and padded length."""
    backwards = list(range(n - 1, -1, -1))
    found: list[dict[str, Any]] = [
        {"id": "again", "name": "a second time", "size": size},
        {
            "id": "reordered",
            "name": "in reverse order within the batch",
            "size": size,
            "order": backwards,
        },
        {"id": "alone", "name": "alone", "size": 1},
    ]
    if size > 2:
        found.append(
            {
                "id": "halves",
                "name": f"in batches of {max(1, size // 2)}",
                "size": max(1, size // 2),
            }
        )

    return [
        *found,
        {
            "id": "padded",
            "name": f"padded to {longest + PADDING} tokens",
            "size": size,
            "pad_to": longest + PADDING,
        },
    ]


def by_text(
    twins: Twins, states: States, lengths: Sequence[int], order: Sequence[int] | None
) -> Tensor:
    """The judged state with texts back in their own order: logits by row, hidden states by each
    text's tokens.
    """
    name = twins.main(states)
    if order is None:
        return states[name]
    if name == "logits":
        rows = parts(states[name], 1)
    else:
        rows = parts(states[name], [lengths[i] for i in order])

    back = sorted(range(len(order)), key=order.__getitem__)

    return torch.cat([rows[i] for i in back])


@dataclass(frozen=True)
class Answers:
    """What one side answers to the texts in one batch, and in each of the other ``ways``."""

    base: Tensor
    ways: list[dict[str, Any]]
    others: list[Tensor]


@dataclass(frozen=True)
class Several:
    """Texts that are run in several ways, their tokens, and the model's room for them."""

    texts: list[str]
    lengths: list[int]
    max_length: int
    room: int

    @classmethod
    def of(cls, twins: Twins, texts: Sequence[str], max_length: int) -> "Several":
        texts = list(texts)
        batch = twins.batches(texts, max_length, len(texts))
        lengths = batch[0]["attention_mask"].sum(1).tolist()
        return cls(texts, lengths, max_length, min(max_length, twins.loaded.max_length))

    @property
    def ways(self) -> list[dict[str, Any]]:
        """The ways that there are: where a text already fills the model, there is nothing left to
        pad to.
        """
        n, longest = len(self.texts), int(max(self.lengths))
        padded = min(longest, self.room - PADDING) if longest + PADDING > self.room else longest
        return [way for way in ways(n, n, padded) if not 0 < way.get("pad_to", 0) <= longest]


def answered(twins: Twins, model: nn.Module, asked: Several) -> Answers:
    """A side's answers in all ways."""
    batch = twins.batches(asked.texts, asked.max_length, len(asked.texts))
    base = by_text(twins, twins.run(model, batch, hidden=False), asked.lengths, None)
    others = []
    for way in asked.ways:
        order = way.get("order")
        given = [asked.texts[i] for i in order] if order else asked.texts
        batches = twins.batches(given, asked.max_length, way["size"], way.get("pad_to"))
        states = twins.run(model, batches, hidden=False)
        others.append(by_text(twins, states, asked.lengths, order))
    return Answers(base, asked.ways, others)


def measure(
    twins: Twins,
    texts: Sequence[str],
    max_length: int,
    noise: float,
    noise_max: float,
    claim: Claim = PLAIN,
    device: Answers | None = None,
) -> dict[str, Any]:
    """Run one batch of texts in several ways on both sides; ``noise`` is that of ``claim``'s rung
    on the judged state, ``device`` what the device answered where it was asked before.

    ``rung_reordered`` is the smallest share of equal values with which the CPU answers in another
    order when it computes as ``claim`` says, with attention in separate steps as there: kernels
    that are not those of the reference may treat the last rows of a batch differently where its do
    not. None where the device's answers are equal.
    """
    asked = Several.of(twins, texts, max_length)
    if device is None:
        twins.attach(twins.candidate)
        device = answered(twins, twins.candidate, asked)

    rows: list[dict[str, Any]] = []
    for way, other in zip(device.ways, device.others, strict=True):
        row = _row(way, other, device.base, noise, noise_max)
        steady = way["id"] in ("again", "reordered")
        if claim != PLAIN and not steady and not _within(row):
            pairs = [_run(twins, way, asked, claim, detail) for detail in (DETAILS[0], DETAILS[2])]
            row = _by_rung(row, pairs, noise, noise_max)
        rows.append({"side": "candidate", **row})

    own = answered(twins, twins.reference, asked)
    rows += [
        {"side": "reference", **_row(way, other, own.base, noise, noise_max)}
        for way, other in zip(own.ways, own.others, strict=True)
    ]

    return {
        "n": len(asked.texts),
        "rung_reordered": _reordered(twins, asked, claim, rows),
        "noise": noise,
        "noise_max": noise_max,
        "quantity": "logits" if twins.loaded.task != "encoder" else "hidden states",
        "rows": rows,
    }


def _reordered(
    twins: Twins, asked: Several, claim: Claim, rows: Sequence[dict[str, Any]]
) -> float | None:
    """The share of equal values with which the CPU answers in another order under ``claim``; None
    where the device's answers are equal.
    """
    differing = any(
        row["side"] == "candidate" and row["id"] == "reordered" and row["equal"] < 1.0
        for row in rows
    )
    if not differing:
        return None
    way = ways(len(asked.texts), len(asked.texts), int(max(asked.lengths)))[1]
    return min(_same(*_run(twins, way, asked, claim, detail)) for detail in DETAILS[:2])


def level_three(twins: Twins, texts: Sequence[str], max_length: int) -> dict[str, Any]:
    """The texts where each shall have the same bits in every batch, or why that was not asked. It
    changes the kernels of this whole process.
    """
    refused = consistency.ask(twins.device)
    rows = [] if refused else bits(twins, texts, max_length)
    return {"asked": refused is None, "reason": refused, "rows": rows}


def bits(twins: Twins, texts: Sequence[str], max_length: int) -> list[dict[str, Any]]:
    """Of each way of running the texts on the device, the share of values with the same bits as in
    one batch: what a device that promises batch consistency is asked for.
    """
    texts = list(texts)
    batch = twins.batches(texts, max_length, len(texts))
    lengths = batch[0]["attention_mask"].sum(1).tolist()
    longest = int(max(lengths))
    room = min(max_length, twins.loaded.max_length)

    base = by_text(twins, twins.run(twins.candidate, batch, hidden=False), lengths, None)
    rows = []
    for way in ways(len(texts), len(texts), min(longest, room - PADDING)):
        if way.get("pad_to", room) <= longest:
            continue  # a text already fills the model: there is nothing left to pad to
        order = way.get("order")
        given = [texts[i] for i in order] if order else texts
        batches = twins.batches(given, max_length, way["size"], way.get("pad_to"))
        states = twins.run(twins.candidate, batches, hidden=False)
        equal = _same(by_text(twins, states, lengths, order), base)
        rows.append({"id": way["id"], "name": way["name"], "equal": equal})
    return rows


def _run(
    twins: Twins, way: dict[str, Any], asked: Several, claim: Claim, detail: Detail
) -> tuple[Tensor, Tensor]:
    """The batch in another way and as it is, both by the CPU in one arithmetic."""
    texts, order = asked.texts, way.get("order")
    batch = twins.batches(texts, asked.max_length, len(texts))
    base = twins.run(twins.reference, batch, claim, detail, hidden=False)
    given = [texts[i] for i in order] if order else texts
    batches = twins.batches(given, asked.max_length, way["size"], way.get("pad_to"))
    other = twins.run(twins.reference, batches, claim, detail, hidden=False)

    return by_text(twins, other, asked.lengths, order), by_text(twins, base, asked.lengths, None)


def _within(row: dict[str, Any]) -> bool:
    return all(row[name] is not None and row[name] <= PLENTY for name in ("rms_noise", "max_noise"))


def _by_rung(
    row: dict[str, Any], pairs: Sequence[tuple[Tensor, Tensor]], noise: float, noise_max: float
) -> dict[str, Any]:
    """A spread above the rung's noise, in units of the rung's own spread where that is the larger:
    of a few answers a rounding boundary may be crossed between two ways of running them and in none
    of the runs that the noise was measured by. The CPU knows nothing of what the device may have
    done wrong.
    """
    units = (
        max(noise, *(rms(a, b) for a, b in pairs)),
        max(noise_max, *(largest(a, b) for a, b in pairs)),
    )

    return row | {
        f"{key}_noise": None if row[key] is None or not unit > 0 else row[key] / unit
        for key, unit in zip(("rms", "max"), units, strict=True)
    }


def _same(a: Tensor, b: Tensor) -> float:
    return float(((a == b) | (a.isnan() & b.isnan())).double().mean())


def _row(
    way: dict[str, Any], other: Tensor, base: Tensor, noise: float, noise_max: float
) -> dict[str, Any]:
    """How far the answers in another way are from those in one batch."""
    spread, top = rms(other, base), largest(other, base)
    over, over_max = metrics.over_noise(spread, noise), metrics.over_noise(top, noise_max)
    return {
        "id": way["id"],
        "name": way["name"],
        "equal": _same(other, base),
        "rms": None if spread != spread else spread,
        "max": None if top != top else top,
        "rms_noise": over if math.isfinite(over) else None,
        "max_noise": over_max if math.isfinite(over_max) else None,
    }
