"""Exercise 08: a fault somewhere in the model, on three cards; its address and size are asked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from goemo_utils.learn.card import Card, Hidden, cards
from goemo_utils.learn.exercise import Answers, Exercise, Point, number_near, point

CARDS = ("A", "B", "C")
# What an untouched card may do besides: sums in another order, and last bits of vector kernels.
HONEST = "reorder+ulp"
LAYERS = (0, 1)
PARTS = (
    ("addmm", "attention.output.dense"),
    ("native_layer_norm", "attention.output.LayerNorm"),
    ("addmm", "intermediate.dense"),
    ("gelu", "intermediate.intermediate_act_fn"),
    ("addmm", "output.dense"),
    ("native_layer_norm", "output.LayerNorm"),
)
ATTENTION = (
    ("_softmax", "attention.self"),
    ("addmm", "attention.self.query"),
    ("addmm", "attention.self.key"),
    ("addmm", "attention.self.value"),
)
# The share of the factor's distance from 1 by which an answer may miss it.
WITHIN = 0.02


@dataclass(frozen=True)
class Place:
    """A module whose output the card gives back times ``factor``, by what it does to one operator
    in it.
    """

    operator: str
    path: str
    factor: float

    @property
    def fault(self) -> str:
        """The place in the words of the rehearsal device."""
        return f"{self.operator}@{self.path}:scale={self.factor!r}"


def places(seed: int, card: str) -> tuple[Place, ...]:
    """Where a card is wrong, in the order of the forward."""
    drawn = random.Random(f"08/{seed}/{card}")
    first, second = LAYERS
    if card == "A":
        return (_place(drawn, PARTS, drawn.choice(LAYERS), 0.01, 0.03),)
    # The second fault is small and behind the first, so that whole forwards do not show it.
    behind = ATTENTION if card == "B" else PARTS
    large = _place(drawn, ATTENTION, first, 0.01, 0.03)
    small = _place(drawn, behind, second, 0.0008, 0.002)
    return large, small


def _place(
    drawn: random.Random,
    parts: Sequence[tuple[str, str]],
    layer: int,
    least: float,
    most: float,
) -> Place:
    operator, part = drawn.choice(parts)
    away = drawn.choice((-1, 1)) * drawn.uniform(least, most)
    return Place(operator, f"roberta.encoder.layer.{layer}.{part}", round(1 + away, 5))


def hidden(seed: int, card: str) -> Hidden:
    """What a card hides, for the worker that is the card."""
    return Hidden(HONEST, ";".join(place.fault for place in places(seed, card)))


def material(seed: int) -> dict[str, Card]:
    """The three cards, by their names."""
    return cards(__name__, seed, CARDS)


@cache
def _paths() -> tuple[str, ...]:
    """Every module of the embedded model, in the order of the forward."""
    from goemo_utils.forward.model import load_model

    return tuple(path for path, _ in load_model("embedded").model.named_modules() if path)


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each card."""
    meaning = "the error is made there, and everything behind it inherits it."
    return [
        point(card, partial(_mistake, answers[card], places(seed, card)), meaning) for card in CARDS
    ]


def _mistake(answer: Any, wrong: tuple[Place, ...]) -> str | None:
    """What is wrong with the answer for a card that errs in the places ``wrong``."""
    pairs = _pairs(answer)
    if pairs is None:
        return "a list of pairs was expected: the address of a module as a text, and a factor."

    by_path = {place.path: place for place in wrong}
    for path, factor in pairs:
        place = by_path.get(path)
        mistake = _about_address(path, wrong) if place is None else _about_factor(factor, place)
        if mistake:
            return mistake

    if len({path for path, _ in pairs}) < len(wrong):
        return "that much is right, and it does not explain all: compare what is left over."
    return None


def _pairs(answer: Any) -> list[tuple[str, Any]] | None:
    """The answer as pairs of full path and factor; None where it is nothing of the kind."""
    single = isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], str)
    given = [answer] if single else answer
    if not isinstance(given, (list, tuple)) or not given:
        return None
    if not all(isinstance(one, (list, tuple)) and len(one) == 2 for one in given):
        return None
    if not all(isinstance(path, str) for path, _ in given):
        return None
    return [(_full(path), factor) for path, factor in given]


def _full(path: str) -> str:
    inside = path.startswith(("encoder.", "embeddings."))
    return f"roberta.{path}" if inside else path


def _about_address(path: str, wrong: tuple[Place, ...]) -> str:
    """The mistake that leads to an address which is not the place of a fault."""
    order = _paths()
    if path not in order:
        return f"the model has no module {path!r}: take the address from model.named_modules()."
    if any(place.path.startswith(f"{path}.") for place in wrong):
        return f"{path} errs because something inside it does: the address is the innermost one."
    if any(path.startswith(f"{place.path}.") for place in wrong):
        return (
            f"{path} is right on the inputs that the CPU gave it; what it belongs to is not, and"
            " none of the modules in it is to blame."
        )
    if any(order.index(path) > order.index(place.path) for place in wrong):
        return (
            f"{path} is right on the inputs that the CPU gave it. In a whole forward it only passes"
            " on an error that was made before it."
        )
    return (
        f"{path} differs in its last bits alone, as two right programs do. Expect a relative error"
        " of about 1e-7 from rounding, and look for what lies far above it."
    )


def _about_factor(factor: Any, place: Place) -> str | None:
    """The mistake that leads to a wrong factor at the right address; None where it is right."""
    if not hasattr(factor, "__float__"):
        return "the address is right; the factor is to be a number."

    away = place.factor - 1
    if number_near(float(factor) - 1, away, WITHIN):
        return None
    if number_near(factor, away, WITHIN) or number_near(factor, abs(away), WITHIN):
        return "the address is right. This is how far the factor lies from 1, not the factor."
    if number_near(float(factor) - 1, 1 / place.factor - 1, 2 * WITHIN):
        return "the address is right. The factor is the card's answer over the CPU's, not under it."
    return (
        "the address is right and the factor is not. A mean of quotients suffers from elements near"
        " zero: fit one factor to all elements at once."
    )


EXERCISE = Exercise(
    number="08",
    name="find_the_call",
    title="Find the call",
    teaches="where an error is made, not where it shows",
    minutes=25,
    answers={
        "A": "a list of (address, factor)",
        "B": "a list of (address, factor)",
        "C": "a list of (address, factor)",
    },
    hints=(
        "An error travels: in a whole forward, every module behind the faulty one errs too, often"
        " by more. Ask which modules err when they are given what the CPU's module was given.",
        "`card.call(given)` runs each module alone on recorded inputs. Compare with `expected` by"
        " the relative error ‖out - expected‖ / ‖expected‖ and sort: rounding is near 1e-7. A"
        " module that holds a wrong one errs with it, so the address is the innermost. A card may"
        " hide more than one.",
        "The factor is the least-squares fit over all elements, in float64: (out * expected).sum()"
        " / (expected * expected).sum().",
    ),
    judge=judge,
    material=material,
)
