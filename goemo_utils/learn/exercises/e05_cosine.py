"""Exercise 05: why a cosine of 0.999 says nothing."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from goemo_utils.errors import ParamsError
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, number_near, point

TEXTS, LABELS = 48, 28
COSINE, HALF = 0.999, 0.5
THRESHOLD = 0.3
LETTERS = "abcde"
KINDS = ("label", "text", "scale")
LENGTH = 0.01
Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Outputs:
    """Logits ``[texts, labels]``: gold in float64, reference and five candidates in bfloat16."""

    gold: Array
    reference: Array
    candidates: dict[str, Array]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one candidate: a label or a text shifted everywhere, or all one scale."""

    letter: str
    kind: str
    place: int | None


def fault_of(seed: int) -> Fault:
    """The candidate that is wrong, and its fault."""
    draw = random.Random(seed * 31 + 5)
    letter = draw.choice(LETTERS)
    (kind,) = draw.choices(KINDS, weights=(4, 4, 1))  # a scale has no place that must be found too
    places = {"label": LABELS, "text": TEXTS}
    place = draw.randrange(places[kind]) if kind in places else None
    return Fault(letter, kind, place)


def material(seed: int) -> Outputs:
    """Logits of which one candidate is wrong, by no more than rounding makes. Drawn until neither
    the order of the cosines, nor of the mean or the largest errors, has it at an end.
    """
    fault = fault_of(seed)
    drawn = (_drawn(np.random.default_rng([seed, attempt]), fault) for attempt in count())
    return next(outputs for outputs in drawn if not _told_by_a_number(outputs, fault.letter))


def _drawn(noise: np.random.Generator, fault: Fault) -> Outputs:
    gold = noise.normal(-2.5, 1.5, (TEXTS, LABELS))
    size = 1e-2 * noise.uniform(0.7, 1.4)
    others = [letter for letter in LETTERS if letter != fault.letter]
    # One device rounds more coarsely than the others, one more finely.
    sizes = dict(
        zip(noise.permutation(others), (2.4, 0.5, *noise.uniform(0.8, 1.3, 2)), strict=True)
    )
    sizes[fault.letter] = 0.7

    errors = {letter: noise.normal(0, sizes[letter] * size, gold.shape) for letter in LETTERS}
    errors[fault.letter] += size * noise.choice([-1, 1]) * _trace(fault, gold)
    candidates = {letter: (gold + error).astype(np.float32) for letter, error in errors.items()}
    reference = gold + noise.normal(0, size, gold.shape)
    return Outputs(gold, reference.astype(np.float32), candidates)


def _trace(fault: Fault, gold: Array) -> Array:
    """What a fault adds to the logits, in units of rounding."""
    if fault.kind == "scale":
        return gold * 0.3

    trace = np.zeros_like(gold)
    if fault.kind == "label":
        trace[:, fault.place] = 4.5
    else:
        trace[fault.place] = 5.5
    return trace


def _told_by_a_number(outputs: Outputs, letter: str) -> bool:
    """Whether a candidate is the first or the last by its cosine or its errors."""
    errors = {name: np.abs(array - outputs.gold) for name, array in outputs.candidates.items()}
    for numbers in (
        {name: _mean_cosine(array, outputs.gold) for name, array in outputs.candidates.items()},
        {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()},
        {name: float(error.max()) for name, error in errors.items()},
    ):
        if numbers[letter] in (min(numbers.values()), max(numbers.values())):
            return True
    return False


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the number, the bad port that the cosine praises, and the candidate that is wrong."""
    return [
        point(
            "relative_error",
            lambda: _wrong_error(answers["relative_error"], seed),
            "several per cent of every vector may be wrong behind a cosine of 0.999.",
        ),
        point(
            "fake",
            lambda: _wrong_fake(answers["fake"], seed),
            "a port that changes what most users see, with a cosine that a report would praise.",
        ),
        point(
            "odd_one",
            lambda: _wrong_letter(answers["odd_one"], seed),
            "no cosine and no size of an error shows it: rounding has no favourites, and this error"
            " has.",
            redraws=True,
        ),
        point(
            "fault",
            lambda: _wrong_fault(answers["fault"], fault_of(seed)),
            "an error with an address can be mended; one of rounding cannot.",
            redraws=True,
        ),
    ]


def _wrong_error(relative_error: Any, seed: int) -> str | None:
    draw = random.Random(seed)
    for cosine in (COSINE, draw.uniform(0.85, 0.99), draw.uniform(0.4, 0.8)):
        answer = called(relative_error, cosine)
        if not number_near(answer, math.tan(math.acos(cosine)), 1e-3):
            return _mistaken_error(answer, cosine)
    return None


def _mistaken_error(answer: Any, cosine: float) -> str:
    """The mistake that a wrong relative error shows."""
    angle = math.acos(cosine)
    mistakes = {
        1 - cosine: (
            "1 - cosine is not the error: the cosine falls with the square of it. Draw the"
            " triangle of gold, candidate and their difference."
        ),
        math.degrees(angle): (
            "that is the angle in degrees; the length of the error over gold's was asked for."
        ),
        angle: "that is the angle; the length of the error over gold's was asked for.",
        2 * math.sin(angle / 2): (
            "that is the chord between two vectors of one length; here the difference stands at a"
            " right angle to gold."
        ),
        math.sin(angle): "that is the error over the candidate's length, and gold's was asked for.",
        math.tan(angle) * 100: "that is in per cent; a share was asked for.",
        math.tan(angle) ** 2: "that is the square of it.",
    }
    for value, mistake in mistakes.items():
        if number_near(answer, value, 1e-4):
            return mistake
    return (
        f"that is not it for {cosine:.4g}. Make a candidate with this cosine, and measure its"
        " error."
    )


def _wrong_fake(fake: Any, seed: int) -> str | None:
    gold = material(seed).gold
    if not isinstance(fake, np.ndarray) or fake.shape != gold.shape:
        return f"an array of shape {gold.shape} was expected: logits for every text and label."
    if not np.isfinite(fake).all():
        return "it holds values that are not finite, which any report would see."

    cosine = _mean_cosine(fake, gold)
    if cosine < COSINE:
        return f"its cosine with gold is {cosine:.4f}: a report would have seen it."

    lengths = np.linalg.norm(fake, axis=1) / np.linalg.norm(gold, axis=1)
    if np.abs(lengths - 1).max() > LENGTH:
        return (
            "a text's logits are longer or shorter than gold's by more than 1 %: a cosine does not"
            " see that, and a check of lengths would."
        )

    changed = (_decided(fake) != _decided(gold)).any(axis=1).mean()
    if changed == 0:
        return "no text gets another answer: users see labels, so break those."
    if changed < HALF:
        return f"only {changed:.0%} of the texts get another answer; at least half was asked for."
    return None


def _mean_cosine(one: Array, other: Array) -> float:
    from goemo_utils.parity.metrics import mean_cosine

    return mean_cosine(one, other)


def _decided(logits: Array) -> Array:
    from goemo_utils.parity.decisions import decide

    return decide(logits, "multi_label", THRESHOLD)


def _wrong_letter(letter: Any, seed: int) -> str | None:
    if not isinstance(letter, str) or letter not in tuple(LETTERS):
        raise ParamsError("the letter of one candidate was expected.")
    fault = fault_of(seed)
    if letter == fault.letter:
        return None

    outputs = material(seed)
    size = {name: _rms(array - outputs.gold) for name, array in outputs.candidates.items()}
    if letter == max(size, key=lambda name: size[name]):
        return (
            "that one has the largest error and the lowest cosine, and its error is the same for"
            " all texts, labels and sizes: coarse rounding, no fault."
        )
    return (
        "that one differs from gold by rounding only. The size of an error says little: does it"
        " keep one sign over a whole row, a whole column, or with gold's own sign?"
    )


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


def _wrong_fault(answer: Any, fault: Fault) -> str | None:
    given = answer if isinstance(answer, (tuple, list)) else (answer,)
    kind = given[0] if given else None
    has_place = len(given) == 2 and type(given[1]) is int
    if kind not in KINDS or (kind != "scale" and not has_place):
        raise ParamsError(
            f"one of {', '.join(KINDS)} was expected, the first two with a place from 0."
        )
    if kind != fault.kind:
        return "that would leave another trace: look at the mean error by text and by label."
    if fault.place is not None and tuple(given[1:]) != (fault.place,):
        return "the kind is right and the place is not; places count from 0."
    return None


EXERCISE = Exercise(
    number="05",
    name="cosine",
    title="Why a cosine of 0.999 says nothing",
    teaches="what a cosine cannot see, and what to put beside an error instead",
    minutes=30,
    answers={
        "relative_error": "a function of a cosine that gives the relative error it allows",
        "fake": "logits with a cosine of 0.999 that change most answers",
        "odd_one": "the letter of the candidate that is wrong",
        "fault": "what is wrong with it",
    },
    hints=(
        "The cosine is an angle's. An error at a right angle to gold makes a triangle: which side"
        " is gold, which the candidate, and which the error?",
        "A decision is made at a threshold that the cosine has never heard of. Which logit of a"
        " text is nearest to it, and how small a push takes it across?",
        "The mean of n errors of rounding is about √n times smaller than one of them, whichever n"
        " you take: a row, a column, or all of them weighed by gold. Where is it not?",
    ),
    judge=judge,
    material=material,
)
