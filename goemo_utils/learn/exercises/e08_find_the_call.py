"""Exercise 08: a fault somewhere in the model, on three cards; its address and size are asked."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.card import Card, Hidden, cards, main_output, recorded
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, number_near, point

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
    return tuple(path for path, _ in _model().named_modules() if path)


@cache
def _called() -> tuple[str, ...]:
    """The modules that a forward calls: a list of layers is none of them."""
    import torch

    ids = torch.tensor([[0, 5, 2]])
    _, expected = recorded(_model(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return tuple(expected)


@cache
def _model() -> Any:
    from goemo_utils.forward.model import load_model

    return load_model("embedded").model.eval()


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each function, tried on a card of the judge's, and one for each card."""
    bench = Bench(_bench_factors(seed))
    meaning = "the error is made there, and everything behind it inherits it."
    return [
        point(
            "alone_errors",
            partial(_mistaken_errors, answers["alone_errors"], bench),
            "each module is asked alone, so no error of another stands in its own.",
        ),
        point(
            "factor",
            partial(_mistaken_factor, answers["factor"], bench),
            "one factor for the whole output, however large or small its elements.",
        ),
        *(
            point(
                card,
                partial(_mistake, answers[card], places(seed, card)),
                meaning,
                guessable=True,
            )
            for card in CARDS
        ),
    ]


@dataclass(frozen=True)
class Bench:
    """A card of the judge's in this process: some modules, asked alone, give back their output
    times a factor. In a whole forward it shows nothing but wrong states.
    """

    factors: Mapping[str, float]

    def call(self, given: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        """What each module gives back when it is called alone."""
        import torch

        model = _model()
        with torch.no_grad():
            outputs = {
                path: main_output(model.get_submodule(path)(*args, **kwargs))
                for path, (args, kwargs) in given.items()
            }
        return {path: out * self.factors.get(path, 1.0) for path, out in outputs.items()}

    def states(self, batch: Any) -> dict[str, Any]:
        """What every module gave back in one forward: all of it wrong."""
        _, expected = recorded(_model(), batch)
        return {path: out * 1.1 for path, out in expected.items()}


def _bench_factors(seed: int) -> dict[str, float]:
    drawn = random.Random(f"08/{seed}/bench")
    paths = drawn.sample([part for _, part in PARTS if "LayerNorm" not in part], 3)
    return {
        f"roberta.encoder.layer.{drawn.choice(LAYERS)}.{path}": factor
        for path, factor in zip(paths, (1.5, 0.97, 1.0042), strict=True)
    }


def _mistaken_errors(alone_errors: Any, bench: Bench) -> str | None:
    answer = called(alone_errors, bench)
    if not isinstance(answer, Mapping) or set(answer) != set(_called()):
        return "a dict with an error for every module that was recorded was expected."

    for path in _called():
        right = abs(bench.factors.get(path, 1.0) - 1)
        if abs(float(answer[path]) - right) > 1e-3 * right + 1e-5:
            return _about_error(float(answer[path]), right)
    return None


def _about_error(error: float, right: float) -> str:
    if right == 0:
        return (
            "on a hidden card it finds an error in a module that is right when it is asked alone:"
            " it inherits what others did. Give each module the CPU's inputs."
        )
    return (
        f"on a hidden card a module is off by {right:.2g} of the CPU's output, and the function"
        f" says {error:.2g}: the difference's size over the size of what is right."
    )


def _mistaken_factor(factor: Any, bench: Bench) -> str | None:
    for path, right in bench.factors.items():
        answer = called(factor, bench, path)
        if not hasattr(answer, "__float__"):
            return "a number was expected."
        mistake = _about_factor(answer, Place("", path, right))
        if mistake:
            _, _, why = mistake.partition(". ")
            return f"on a hidden card it misses. {why}"
    return None


def _mistake(answer: Any, wrong: tuple[Place, ...]) -> str | None:
    """What is wrong with the answer for a card that errs in the places ``wrong``."""
    pairs = _pairs(answer)
    if pairs is None:
        raise ParamsError(
            "a list of pairs was expected: the address of a module as a text, and a factor."
        )

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
    if not all(isinstance(path, str) and hasattr(factor, "__float__") for path, factor in given):
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
        "alone_errors": "a function of a card: the error of each module, asked alone",
        "factor": "a function of a card and a path",
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
