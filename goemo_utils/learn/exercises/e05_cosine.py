"""Exercise 05: why a cosine of 0.999 says nothing."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.learn.exercise import Answers, Exercise, Point, number_near, point

TEXTS, LABELS = 48, 28
COSINE, HALF = 0.999, 0.5
THRESHOLD = 0.3
LETTERS = "abcde"
Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Outputs:
    """Logits ``[texts, labels]``: gold in float64, reference in float32, and five candidates."""

    gold: Array
    reference: Array
    candidates: dict[str, Array]


def material(seed: int) -> Outputs:
    """Logits of which one candidate is wrong. Its cosine is not the lowest and its mean error not
    the largest: another candidate rounds more coarsely, evenly everywhere.
    """
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    gold = noise.normal(-2.5, 1.5, (TEXTS, LABELS))
    scale = 2e-6 * draw.uniform(0.7, 1.4)
    odd, coarse = odd_and_coarse(seed)

    def rounded(size: float) -> Array:
        return (gold + noise.normal(0, size, gold.shape)).astype(np.float32)

    sizes = {letter: draw.uniform(0.8, 1.1) for letter in LETTERS}
    sizes |= {odd: 0.6, coarse: 1.9}
    candidates = {letter: rounded(scale * sizes[letter]) for letter in LETTERS}
    text, label = draw.randrange(TEXTS), draw.randrange(LABELS)
    candidates[odd][text, label] += np.float32(draw.choice([-1, 1]) * 40 * scale)
    return Outputs(gold, rounded(scale), candidates)


def odd_and_coarse(seed: int) -> tuple[str, str]:
    """The letter of the candidate that is wrong, and of the one that rounds more coarsely."""
    odd, coarse = random.Random(seed * 31 + 5).sample(LETTERS, 2)
    return odd, coarse


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the number, the bad port that the cosine praises, and the candidate that is wrong."""
    return [
        point(
            "relative_error",
            lambda: _wrong_error(answers["relative_error"]),
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
            "one answer of 1,344 is wrong: no mean and no cosine shows it, the largest error does.",
            redraws=True,
        ),
    ]


def _wrong_error(answer: Any) -> str | None:
    exact = math.tan(math.acos(COSINE))
    if number_near(answer, 1 - COSINE, 0.02):
        return (
            "1 - cosine is not the error: the cosine falls with the square of it. Draw the"
            " triangle of gold, candidate and their difference."
        )
    if number_near(answer, math.degrees(math.acos(COSINE)), 0.02):
        return "that is the angle in degrees; the length of the error over gold's was asked for."
    if number_near(answer, exact * 100, 0.03):
        return "that is in per cent; a share was asked for."
    if number_near(answer, exact**2, 0.03):
        return "that is the square of it."
    if not number_near(answer, exact, 0.03):
        return "that is not it. Make a candidate with this cosine, and measure its error."
    return None


def _wrong_fake(fake: Any, seed: int) -> str | None:
    gold = material(seed).gold
    if not isinstance(fake, np.ndarray) or fake.shape != gold.shape:
        return f"an array of shape {gold.shape} was expected: logits for every text and label."
    if not np.isfinite(fake).all():
        return "it holds values that are not finite, which any report would see."

    cosine = _mean_cosine(fake, gold)
    if cosine < COSINE:
        return f"its cosine with gold is {cosine:.4f}: a report would have seen it."

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
    if letter not in LETTERS:
        return "the letter of one candidate was expected."
    odd, coarse = odd_and_coarse(seed)
    if letter == coarse:
        return (
            "that one has the largest mean error, and its error is as even as rounding: nowhere"
            " more than rounding makes. A mean hides what is rare."
        )
    if letter != odd:
        return (
            "that one differs from gold by rounding only. The size of an error says nothing until"
            " it stands beside the error that rounding makes."
        )
    return None


EXERCISE = Exercise(
    number="05",
    name="cosine",
    title="Why a cosine of 0.999 says nothing",
    teaches="what a cosine cannot see, and what to put beside an error instead",
    minutes=25,
    answers={
        "relative_error": "the relative error that a cosine of 0.999 allows",
        "fake": "logits with a cosine of 0.999 that change most answers",
        "odd_one": "the letter of the candidate that is wrong",
    },
    hints=(
        "The cosine is an angle's. An error at a right angle to gold makes a triangle: which side"
        " is gold, which the candidate, and which the error?",
        "An angle knows nothing of length. And a decision is made at a threshold that the cosine"
        " has never heard of.",
        "You have the same texts in float32 on a CPU that nobody doubts. How far is that from gold,"
        " on the whole and at its worst? Which candidate has one of the two out of proportion?",
    ),
    judge=judge,
    material=material,
)
