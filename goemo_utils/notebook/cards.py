"""The jobs of several cards in 03_parity and 04_throughput: each card is judged and timed in
workers of its own, and what they leave is set side by side.

Simulated cards work one after the other: they share one processor. Of real ones as many work at
once as the host has cores and memory for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from goemo_utils import parity
from goemo_utils.boundary.parts import scratch
from goemo_utils.environment.host import read_memory
from goemo_utils.environment.machine import Machine
from goemo_utils.errors import GoemoError, first_line
from goemo_utils.forward.pack import Pack
from goemo_utils.notebook.comparison import answered, explain, timing
from goemo_utils.parity.cards import Card, beside, counted
from goemo_utils.rehearsal.grammar import fault_of
from goemo_utils.throughput.cards import scaling
from goemo_utils.throughput.conditions import cores

if TYPE_CHECKING:
    from goemo_utils.records.step import Step

Left = TypeVar("Left")

CORES = 4
"""Cores of the host that a card's worker needs for the float64 truth beside it."""
BYTES_A_WEIGHT, BYTES_A_WORKER = 32, 3 * 2**30
"""What a worker holds: a weight in float64, float32 and with the states of its layer; torch itself
and the driver's buffers (torch_npu 2.8 with CANN takes one to two GiB of the host)."""


@dataclass(frozen=True)
class Asked:
    """One card of a run: its number, how a person calls it, and what its jobs say that differs from
    the first card's.
    """

    index: int
    name: str
    changes: dict[str, Any]


def of(step: Step) -> list[Asked]:
    """The cards of a run, as 01_load found them; the first is the one that every step opens."""
    params = step.params
    found = step.results("01_load").get("cards") or list(params.cards.indices or (0,))
    rehearsed = params.cards.kind == "rehearsal"
    return [
        Asked(
            index,
            params.cards.name(index),
            {
                "device": params.opened_as if rehearsed else params.cards.device(index),
                "fault": fault_of(params.rehearsal_fault, index) if rehearsed else None,
            },
        )
        for index in found
    ]


def judged(
    step: Step,
    packs: tuple[Pack, Pack, Pack],
    result: dict[str, Any],
    found: Mapping[str, Any],
    texts: Any,
) -> dict[str, Any]:
    """The payload of the first card's judgement with every card beside it; as it is where one card
    was asked for.

    ``packs`` are gold, reference and the first card's; ``found`` is what the explanation of the
    first card's answers found. A card whose worker dies is a row that says why.
    """
    if not step.params.cards.listed:
        return result
    gold, reference, candidate = packs

    def one(card: Asked) -> Card:
        pack = answered(step, texts.texts, f"card-{card.index}", **card.changes)
        seen = explain(step, texts.texts, name=f"card-{card.index}-explain", **card.changes)
        own = parity.judge(
            gold,
            reference,
            pack,
            step.params.threshold,
            texts.texts,
            **seen["evidence"],
            labels=texts.labels,
        )
        return Card(card.index, card.name, pack, own)

    first, *others = of(step)
    cards = [Card(first.index, first.name, candidate, result)]
    cards += _each(step, others, one, lambda card, why: Card(card.index, card.name, reason=why))
    return counted(result, beside(cards, gold, reference, found["evidence"]["cause"]))


def timed(step: Step, result: dict[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """``result``, what ``comparison.timed`` said of the first card, with each card's own rate, and
    what all real cards do at once beside that; as it is where one card was asked for.
    """
    if not step.params.cards.listed:
        return result
    first, *others = of(step)
    parted = {row["card"]: row for row in step.results("03_parity")["cards"]["rows"]}

    def alone(card: Asked) -> dict[str, Any]:
        if parted[card.index]["status"] != "ok":
            return {"reason": "it gave no answers to be judged"}
        name = f"card-{card.index}-throughput"
        return _timed_row(timing(step, texts, name, [_arm(card, step)]))

    rows = [next(row for row in result["rows"] if row["id"] == "candidate")]
    rows += _each(step, others, alone, lambda card, why: {"reason": why}, at_once=1)
    by_card = dict(zip([first.index, *(card.index for card in others)], rows, strict=True))
    told = [_row(card, by_card[card.index], parted) for card in (first, *others)]
    sick = [row["name"] for row in told if row["sick"]]

    reason = None
    if step.params.simulated:
        reason = "simulated"
    elif sick:
        reason = f"{', '.join(sick)}: the speed of a wrong answer is not a speed"
    together, windows = ({}, {}) if reason else _together(step, [first, *others], texts)
    scaled = scaling(by_card, together, windows, reason)
    return {**result, "cards": {"rows": told, "scaling": scaled}}


def _together(
    step: Step, cards: Sequence[Asked], texts: Sequence[str]
) -> tuple[dict[int, dict[str, Any]], dict[int, tuple[float, float]]]:
    """All cards timed at once, each with its share of the host's cores: the rows, and when each was
    timed.
    """
    share = max(1, cores() // len(cards))
    with scratch() as folder:

        def one(card: Asked) -> dict[str, Any]:
            meeting = {"folder": str(folder), "name": str(card.index), "count": len(cards)}
            name = f"card-{card.index}-together"
            arms = [_arm(card, step)]
            return timing(step, texts, name, arms, threads=share, together=meeting)

        answers = _each(step, cards, one, lambda card, why: {}, at_once=len(cards))
    done = {
        card.index: answer
        for card, answer in zip(cards, answers, strict=True)
        if answer.get("rows")
    }
    windows = {index: (answer["window"][0], answer["window"][1]) for index, answer in done.items()}
    return {index: _timed_row(answer) for index, answer in done.items()}, windows


def _arm(card: Asked, step: Step) -> dict[str, Any]:
    params = step.params
    more = {"numerics": params.rehearsal_numerics, "remedy": params.remedy}
    return {"id": "candidate", **card.changes, **more}


def _timed_row(answer: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = answer["rows"][0]
    return row


def _row(card: Asked, row: Mapping[str, Any], judged: Mapping[int, Mapping[str, Any]]) -> Any:
    """A card's rate as records hold it."""
    keys = ("median", "q1", "q3", "ci95", "n", "unit", "batch_size", "dtype", "reason")
    return {
        "card": card.index,
        "name": card.name,
        "sick": bool(judged.get(card.index, {}).get("sick")),
        **{key: row.get(key) for key in keys},
    }


def _each(
    step: Step,
    cards: Sequence[Asked],
    work: Callable[[Asked], Left],
    otherwise: Callable[[Asked, str], Left],
    at_once: int | None = None,
) -> list[Left]:
    """What ``work`` leaves of each card, in order; of a card whose work fails, ``otherwise`` with
    the sentence that says why. The other cards go on.
    """

    def guarded(card: Asked) -> Left:
        try:
            return work(card)
        except GoemoError as error:
            where = f"{step.dir.resolve()}{os.sep}"
            told = first_line(error).replace(where, "").partition(" The end of ")[0]
            return otherwise(card, told)

    if at_once is None:
        at_once = workers_at_once(step, len(cards))
    if at_once < 2:
        return [guarded(card) for card in cards]
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(guarded, cards))


def workers_at_once(step: Step, count: int) -> int:
    """How many cards may be judged at once: one on a rehearsal; else as many of ``count`` as the
    host has cores and free memory for, and one at least.
    """
    if step.params.simulated:
        return 1
    weights = int(step.results("01_load")["model"].get("n_parameters") or 0)
    free = read_memory(Machine(cwd=Path(os.getcwd())))["available"]
    by_memory = count if free is None else free // (BYTES_A_WEIGHT * weights + BYTES_A_WORKER)
    return int(max(1, min(count, cores() // CORES, by_memory)))
