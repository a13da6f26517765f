"""Several cards that answered the same texts, beside each other: which give the same bits, how far
apart the others are, and whether one of them is sick.

The yardstick of a distance between two cards is that of every other distance here: the reference's
own error, or the noise of the arithmetic that was accepted where that is larger. Two healthy cards
of a kind give the same bits, and cards of two kinds lie within rounding of each other, for both lie
within rounding of the same truth. (Comparing replicas of a computation bit by bit is how silent
faults of hardware are found at scale: Dixit et al., "Silent Data Corruptions at Scale",
arXiv:2102.11245.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from goemo_utils.parity import metrics as m
from goemo_utils.parity.compared import to_gold
from goemo_utils.parity.gates import FAIL, NOT_RUN, PASS, Gate, Limits, written
from goemo_utils.parity.inputs import states

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack

Part = Mapping[str, Any] | None
FORMULA = (
    "largest, over the cards, of the median over the other cards, of max over logits and hidden"
    " states of RMSE(x_a, x_b) / max(RMSE(x_r, x_g), noise of the accepted arithmetic)"
)


@dataclass(frozen=True)
class Card:
    """What one card left: its pack and the payload of its own judgement, or the ``reason`` why it
    left none. ``name`` is how a person calls it.
    """

    index: int
    name: str
    pack: Pack | None = None
    result: Mapping[str, Any] | None = None
    reason: str | None = None

    @property
    def failed(self) -> list[str]:
        """Gates that the card does not meet by itself."""
        gates = (self.result or {}).get("gates", [])
        return [str(gate["id"]) for gate in gates if gate["result"] == FAIL]

    @property
    def well(self) -> bool:
        """Whether the card answered, and its own judgement holds."""
        return self.result is not None and self.result["verdict"] != FAIL


@dataclass(frozen=True)
class Apart:
    """How far two cards are apart: 0 where their bits are the same; ``state`` is where most."""

    first: int
    second: int
    equal: bool
    value: float
    state: str | None


def beside(
    cards: Sequence[Card], gold: Pack, reference: Pack, cause: Part = None
) -> dict[str, Any]:
    """The cards side by side: a row each, every pair, which cards are sick, and the gate ``cards``.

    ``cause`` is the accepted arithmetic of the first card, as ``judge_packs`` takes it.
    """
    yardsticks = _yardsticks(gold, reference, cause)
    answered = [card for card in cards if card.pack is not None]
    pairs = [_apart(a, b, yardsticks) for a, b in combinations(answered, 2)]
    limit = Limits().residual
    far = {card.index: _median_apart(card, pairs) for card in cards}
    sick = _sick(cards, pairs, far, limit)
    groups = _groups(answered)
    gate = _gate(cards, sick, far, limit)

    return {
        "rows": [_row(card, groups, far, sick) for card in cards],
        "pairs": [
            {
                "cards": [pair.first, pair.second],
                "equal": pair.equal,
                "apart": written(pair.value),
                "state": pair.state,
            }
            for pair in pairs
        ],
        "limit": limit,
        "formula": FORMULA,
        "sick": sick,
        "reading": gate.meaning,
        "gate": gate.record(),
    }


def counted(result: Mapping[str, Any], cards: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of the first card's judgement with the cards and their gate: a run is no better
    than its worst card.
    """
    gate = cards["gate"]
    verdict = FAIL if gate["result"] == FAIL else result["verdict"]
    return {**result, "gates": [*result["gates"], gate], "verdict": verdict, "cards": dict(cards)}


def _yardsticks(gold: Pack, reference: Pack, cause: Part) -> dict[str, float]:
    """Per state the size of an error that says nothing: the reference's own, or the noise of the
    accepted arithmetic where that is larger.
    """
    noise = (cause or {}).get("noise") or {}
    dtype = str(reference.manifest.get("dtype") or "float32")
    sizes = {}
    for name in states({"gold": gold, "reference": reference}):
        each = to_gold(gold.tensors[name], reference.tensors[name], reference.tensors[name], dtype)
        sizes[name] = max(each.reference.rms, each.floor, float(noise.get(name) or 0.0))
    return sizes


def _bits(card: Card) -> Any:
    """What is the same exactly where two cards' answers have the same bits."""
    return card.pack.manifest["sha256"] if card.pack else None


def _apart(a: Card, b: Card, yardsticks: Mapping[str, float]) -> Apart:
    if a.pack is None or b.pack is None or _bits(a) == _bits(b):
        return Apart(a.index, b.index, True, 0.0, None)

    worst, at = 0.0, None
    for name, size in yardsticks.items():
        one, other = a.pack.tensors.get(name), b.pack.tensors.get(name)
        value = math.nan
        if one is not None and other is not None and one.shape == other.shape:
            value = m.over_noise(m.distance(one, other).rms, size)
        if not value <= worst:
            worst, at = value, name
        if math.isnan(worst):
            break
    return Apart(a.index, b.index, False, worst, at)


def _median_apart(card: Card, pairs: Sequence[Apart]) -> float | None:
    """How far a card is from the others, by the middle one of them: a sick neighbour does not make
    a healthy card look far. NaN counts as farther than anything; None without another.
    """
    mine = [pair.value for pair in pairs if card.index in (pair.first, pair.second)]
    if not mine:
        return None
    order = sorted(math.inf if math.isnan(value) else value for value in mine)
    return order[(len(order) - 1) // 2]


def _sick(
    cards: Sequence[Card],
    pairs: Sequence[Apart],
    far: Mapping[int, float | None],
    limit: float,
) -> list[int]:
    """The numbers of the cards that are sick: they did not answer, are far from the others, or fail
    their own gates while others meet theirs. What fails on every card is a fault of none of them.
    """
    dead = [card.index for card in cards if card.result is None]
    some_well = any(card.well for card in cards)
    ailing = [c.index for c in cards if some_well and c.result is not None and not c.well]
    apart = [card for card in cards if not m.within(far[card.index] or 0.0, limit)]
    if len(apart) == 2 and len(pairs) == 1:  # of two cards each is as far: gold decides
        apart = [] if ailing else [max(apart, key=_to_gold)]
    return sorted({*dead, *ailing, *(card.index for card in apart)})


def _to_gold(card: Card) -> float:
    """R of a card; a value that is not finite is larger than any."""
    value = _metric(card, "R")
    return value if isinstance(value, (int, float)) else math.inf


def _metric(card: Card, name: str) -> Any:
    rows = (card.result or {}).get("metrics", [])
    return next((row["value"] for row in rows if row["id"] == name), None)


def _groups(answered: Sequence[Card]) -> dict[int, str]:
    """A letter per card: cards with the same one gave the same bits; A is the first card's."""
    letters: dict[Any, str] = {}
    for card in answered:
        letters.setdefault(_bits(card), chr(ord("A") + len(letters)))
    return {card.index: letters[_bits(card)] for card in answered}


def _row(
    card: Card, groups: Mapping[int, str], far: Mapping[int, float | None], sick: Sequence[int]
) -> dict[str, Any]:
    """A card as records hold it."""
    result = card.result or {}
    flips = (result.get("flips") or {}).get("texts")
    faults = [
        {key: fault.get(key) for key in ("module", "operator", "reading", "ratio_rms")}
        for fault in (result.get("faults") or [])[:3]
    ]
    return {
        "card": card.index,
        "name": card.name,
        "status": "ok" if card.result is not None else "failed",
        "reason": card.reason,
        "sick": card.index in sick,
        "verdict": result.get("verdict"),
        "R": _metric(card, "R"),
        "texts_changed": flips,
        "bits": groups.get(card.index),
        "apart": written(far[card.index]),
        "gates_failed": card.failed,
        "causes": list(result.get("causes") or []),
        "faults": faults,
    }


def _gate(
    cards: Sequence[Card],
    sick: Sequence[int],
    far: Mapping[int, float | None],
    limit: float,
) -> Gate:
    known = [value for value in far.values() if value is not None]
    value = max(known) if known else None

    def gate(result: str, meaning: str) -> Gate:
        return Gate("cards", result, value, limit, len(cards), FORMULA, meaning, {"sick": [*sick]})

    if sick:
        told = "; ".join(_ailment(card, far[card.index]) for card in cards if card.index in sick)
        rest = len(cards) - len(sick)
        others = f" The other {rest} agree." if rest > 1 else ""
        return gate(FAIL, f"{told[:1].upper()}{told[1:]}.{others}")
    if len(cards) < 2:
        return gate(NOT_RUN, "There is one card, and no other to compare it with.")
    if not all(card.well for card in cards):
        return gate(PASS, f"The {len(cards)} cards agree: what fails, fails on each of them.")
    if value == 0.0:
        return gate(PASS, f"All {len(cards)} cards give the same bits.")
    return gate(PASS, f"The {len(cards)} cards differ by no more than rounding.")


def _ailment(card: Card, apart: float | None) -> str:
    """What is wrong with a sick card, in a clause."""
    if card.result is None:
        why = " ".join(re.split(r"(?<=[.!?]) ", card.reason or "")[:2]).rstrip(".")
        return f"{card.name} did not answer: {why}"

    told = []
    if apart:
        told.append(f"is R = {apart:.3g} from the others")
    faults = card.result.get("faults") or []
    if faults:
        first = faults[0]
        told.append(f"errs in {first['operator']} of {first['module'] or 'the model'}")
    elif card.failed:
        told.append(f"does not meet {', '.join(card.failed)}")
    return f"{card.name} {' and '.join(told) or 'fails'}"
