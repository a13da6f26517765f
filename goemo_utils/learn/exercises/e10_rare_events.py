"""Exercise 10: what a small set of texts cannot show: how rare a change may be, and faults that
wait for a length, a batch size or their turn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from typing import Any

from goemo_utils.learn.card import Card, Hidden, cards
from goemo_utils.learn.exercise import Answers, Exercise, Point, number_near, point
from goemo_utils.parity.flips import needed, upper_bound

CARDS = ("P", "Q", "R")
OCCASIONS = ("length", "batch", "turn")
CONDITIONS = {
    "length": "only_beyond={number}",
    "batch": "only_batch>={number}",
    "turn": "once_in={number}",
}
# The rule of three is 7 % off for 23 texts, and close enough for a decision.
RULE_OF_THREE = 0.08


@dataclass(frozen=True)
class Trial:
    """A comparison of texts: how many, how many of them changed, and the rate to be excluded."""

    texts: int
    changed: int
    of: int
    limit: float


@dataclass(frozen=True)
class Material:
    """The cards by their names, and the numbers of the first three questions."""

    cards: dict[str, Card]
    texts: int
    limit: float
    changed: int
    of: int


def trial(seed: int) -> Trial:
    """The numbers of the first three questions."""
    drawn = random.Random(f"10/{seed}/trial")
    texts, of = drawn.randint(18, 45), drawn.randrange(600, 3000, 50)
    return Trial(texts, drawn.randint(1, 4), of, drawn.choice((0.0005, 0.002, 0.003, 0.004)))


def occasion(seed: int, card: str) -> tuple[str, int]:
    """What a card's fault waits for, and the number: the longest batch that is right, the smallest
    batch that is wrong, or every how many forwards it comes.
    """
    drawn = random.Random(f"10/{seed}")
    order = drawn.sample(OCCASIONS, k=len(OCCASIONS))
    numbers = {
        "length": drawn.randint(60, 118),
        "batch": drawn.randint(18, 60),
        "turn": drawn.randint(30, 90),
    }
    what = order[CARDS.index(card)]
    return what, numbers[what]


def hidden(seed: int, card: str) -> Hidden:
    """What a card hides, for the worker that is the card."""
    what, number = occasion(seed, card)
    return Hidden("reorder+ulp", f"gelu:scale=1.02,{CONDITIONS[what].format(number=number)}")


def material(seed: int) -> Material:
    """The three cards, and the numbers of the first three questions."""
    asked = trial(seed)
    return Material(cards(__name__, seed, CARDS), asked.texts, asked.limit, asked.changed, asked.of)


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each number and for each card."""
    asked = trial(seed)
    numbers = [
        point(
            "bound",
            partial(_wrong_bound, answers["bound"], asked),
            "no change in so few texts excludes very little.",
        ),
        point(
            "enough",
            partial(_wrong_enough, answers["enough"], asked),
            "three over the rate, if not a single one changes.",
        ),
        point(
            "upper",
            partial(_wrong_upper, answers["upper"], asked),
            "the rate that was seen is not the rate that can be promised.",
        ),
    ]
    found = [
        point(
            card,
            partial(_wrong_occasion, answers[card], *occasion(seed, card)),
            "a check that never goes there cannot see it.",
        )
        for card in CARDS
    ]
    return numbers + found


def _wrong_bound(answer: Any, asked: Trial) -> str | None:
    expected = 1 - 0.05 ** (1 / asked.texts)
    if number_near(answer, expected, RULE_OF_THREE):
        return None
    if number_near(answer, 0.0, 0.0):
        return "none was seen; that is not the same as none there is."
    if number_near(answer, 1 / asked.texts, RULE_OF_THREE):
        return "a rate of 1/n shows itself in n texts with a chance of 63 % only. 95 % are asked."
    if number_near(answer, 100 * expected, RULE_OF_THREE):
        return "a share is asked, a number between 0 and 1, not per cent."
    if number_near(answer, 1 - 0.025 ** (1 / asked.texts), 0.01):
        return "that is the two-sided bound. Only too high a rate is feared: one side, 5 %."
    return "which rate would leave so many texts without a change a chance of just 5 %?"


def _wrong_enough(answer: Any, asked: Trial) -> str | None:
    if number_near(answer, needed(asked.limit, 0.95), 0.01):
        return None
    if number_near(answer, 1 / asked.limit, 0.02):
        return "so many texts meet such a rate once on average, and miss it 37 times in 100."
    if number_near(answer, 0.03 / asked.limit, 0.02):
        return "a hundred times too few: the limit is a share, not per cent."
    return "how many texts without a change leave such a rate a chance of just 5 %? Round up."


def _wrong_upper(answer: Any, asked: Trial) -> str | None:
    if number_near(answer, upper_bound(asked.changed, asked.of, 0.95), 0.02):
        return None
    if number_near(answer, asked.changed / asked.of, 0.02):
        return "that is the rate that was seen. Half of all samples show less than there is."
    if number_near(answer, 3 / asked.of, 0.02):
        return "the rule of three holds where none changed. Here some did."
    if number_near(answer, upper_bound(asked.changed, asked.of, 0.975), 0.01):
        return "that is the two-sided bound. Only too high a rate is feared: one side, 5 %."
    return (
        "look for the rate at which so few changes, or fewer, have a chance of 5 %"
        " (Clopper and Pearson); goemo_utils.parity.flips has it."
    )


def _wrong_occasion(answer: Any, what: str, number: int) -> str | None:
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or answer[0] not in OCCASIONS:
        return f"a word of {', '.join(OCCASIONS)} and a number were expected."

    word, given = answer
    if word != what:
        return WRONG_WORD[word]
    if isinstance(given, bool) or not isinstance(given, int):
        return "the word is right; the number is to be a whole one."
    if given == number:
        return None
    if what == "turn":
        return _about_turn(given, number)
    if abs(given - number) == 1:
        return (
            "the word is right, and the number is off by one: the longest batch that is right, and"
            " the smallest that is wrong, are asked."
        )
    return "the word is right. Halve the interval until right and wrong are neighbours."


WRONG_WORD = {
    "length": (
        "ask it one long text ten times: it is right, or right most of the time. Length alone is"
        " not the reason."
    ),
    "batch": (
        "ask it one large batch ten times: it is right, or right most of the time. The size alone"
        " is not the reason."
    ),
    "turn": (
        "the same short text, asked two hundred times, is right every time. It does not come by"
        " itself."
    ),
}
"""What an experiment shows against each word, where it is not the right one."""


def _about_turn(given: int, number: int) -> str:
    if given > 0 and number % given == 0:
        return "the word is right. Were it so often, you would have seen it in between."
    if given > 0 and given % number == 0:
        return "the word is right. It comes more often: count from one wrong answer to the next."
    return (
        "the word is right. The number is the distance from one wrong answer to the next, in"
        " forwards of this card. Each batch of each question is one of them."
    )


EXERCISE = Exercise(
    number="10",
    name="rare_events",
    title="Batches and rare events",
    teaches="what 23 texts cannot show",
    minutes=30,
    answers={
        "bound": "the share of all texts that may still change",
        "enough": "how many texts without a change exclude the limit",
        "upper": "the share that may change where some did",
        "P": "a word and a number",
        "Q": "a word and a number",
        "R": "a word and a number",
    },
    hints=(
        "The first three: ask which rate would make what was seen a surprise of 5 %. The cards: a"
        " short text, a long text, a large batch, and the same question again and again are four"
        " different tests.",
        "`card.forward(*batches)` takes many batches in one call and counts each as a forward. Ask"
        " two hundred times the same before you believe a length or a size.",
        "Without a change the bound is 1 - 0.05 ** (1 / n), near 3 / n. With k changes it is"
        " upper_bound(k, n, 0.95) of goemo_utils.parity.flips. A length or a size is found by"
        " halving; a turn is the difference of two places in one long row of forwards.",
    ),
    judge=judge,
    material=material,
)
