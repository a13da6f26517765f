"""Exercise 10: what a small set of texts cannot show: how rare a change may be, and faults that
wait for a length, a batch size, both, or their turn.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import claims, speech
from goemo_utils.learn.card import Card, Hidden, cards
from goemo_utils.learn.exercise import (
    Answers,
    Exercise,
    Point,
    as_number,
    called,
    number_near,
    point,
)
from goemo_utils.parity.flips import needed, upper_bound

CARDS = ("P", "Q", "R")
OCCASIONS = ("length", "batch", "both", "turn")
RAREST = 90
"""The forwards from one turn to the next, at most."""
ROUNDING = 4e-6
"""By how much a right answer may differ from the CPU's, measured up to 128 tokens and 64 texts."""


@dataclass(frozen=True)
class Material:
    """The cards by their names, the claims by their letters, and the numbers of the plan: so many
    texts may change, and such a share of all.
    """

    cards: dict[str, Card]
    claims: dict[str, str]
    allowed: int
    limit: float


@dataclass(frozen=True)
class Trouble:
    """What a card's fault waits for: ``what`` is a word of ``OCCASIONS``, ``number`` what stands
    beside it, a pair for ``both``.
    """

    what: str
    number: int | tuple[int, int]

    @property
    def condition(self) -> str:
        """The occasion in the words of the rehearsal device."""
        if isinstance(self.number, tuple):
            tokens, texts = self.number
            return f"only_beyond={tokens},only_batch>={texts}"
        words = {"length": "only_beyond=", "batch": "only_batch>=", "turn": "once_in="}
        return f"{words[self.what]}{self.number}"


def plan(seed: int) -> tuple[int, float]:
    """How many texts may change, and the share of all that is to be promised."""
    source = random.Random(f"10/{seed}/plan")
    # not three: three over the limit is what no change at all needs
    return source.choice((1, 2, 4)), source.choice((0.002, 0.003, 0.004, 0.005, 0.008))


def trouble(seed: int, card: str) -> Trouble:
    """What a card's fault waits for. One card has it by turns, so that a sweep of lengths or sizes
    alone deceives; one waits for a large batch, long or not, so that no two probes settle all.
    """
    source = random.Random(f"10/{seed}")
    what = ["turn", source.choice(("batch", "both")), source.choice(OCCASIONS)]
    source.shuffle(what)
    place = CARDS.index(card)
    return Trouble(what[place], _number(random.Random(f"10/{seed}/{card}"), what[place]))


def _number(source: random.Random, what: str) -> int | tuple[int, int]:
    """What stands beside a word: numbers that neither 23 short texts nor a small batch meet."""
    if what == "both":
        return source.randint(40, 110), source.randint(9, 50)
    least, most = {"length": (60, 118), "batch": (18, 58), "turn": (30, RAREST)}[what]
    return source.randint(least, most)


def hidden(seed: int, card: str) -> Hidden:
    """What a card hides, for the worker that is the card."""
    before = random.Random(f"10/{seed}/{card}/before").randint(0, RAREST)
    return Hidden("reorder+ulp", f"gelu:scale=1.02,{trouble(seed, card).condition}", before)


def material(seed: int) -> Material:
    """The three cards, the claims, and the numbers of the plan."""
    told = {letter: speech.say(claim.text) for letter, claim in claims.drawn(seed).items()}
    return Material(cards(__name__, seed, CARDS), told, *plan(seed))


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for the claims, the plan, the function and each card."""
    found = [
        point(
            card,
            partial(_wrong_occasion, answers[card], trouble(seed, card)),
            MEANING[trouble(seed, card).what],
            redraws=True,
        )
        for card in CARDS
    ]
    return [
        point(
            "supported",
            partial(_wrong_claims, answers["supported"], claims.drawn(seed)),
            "these the numbers bear out, and no others.",
            redraws=True,
        ),
        point(
            "enough",
            partial(_wrong_plan, answers["enough"], *plan(seed)),
            "who allows changes needs more texts, and knows it beforehand.",
            guessable=True,
        ),
        point(
            "wrong",
            partial(_blind, answers["wrong"], seed),
            "it sees one wrong label of one text, in either direction, and what is no number.",
        ),
        *found,
    ]


MEANING = {
    "length": "texts that are shorter never meet it, however many they are.",
    "batch": "a check that asks in small batches never meets it.",
    "both": "neither long texts nor large batches meet it, only one in the other.",
    "turn": "the shape is innocent: it would have come to any question.",
}
"""What a card teaches."""


def _wrong_claims(answer: Any, told: dict[str, claims.Claim]) -> str | None:
    """What is wrong with the letters of the claims that hold."""
    if not isinstance(answer, (str, Collection)) or isinstance(answer, dict):
        raise ParamsError("a set of letters was expected, of the claims that hold.")
    given = {str(letter) for letter in answer}
    if not given <= told.keys():
        raise ParamsError(f"a set of letters of {', '.join(told)} was expected.")

    right = {letter for letter, claim in told.items() if claim.holds}
    mistaken = sorted(given ^ right)
    return told[mistaken[0]].mistake if mistaken else None


def _wrong_plan(answer: Any, allowed: int, limit: float) -> str | None:
    """What is wrong with the number of texts."""
    answer = as_number(answer)
    if number_near(answer, _texts_for(allowed, limit), 0.01):
        return None
    if number_near(answer, needed(limit, 0.95), 0.02):
        return "that is enough if none changes. Here some may."
    if number_near(answer, allowed / limit, 0.02):
        return "so many texts show that number on average, at exactly the rate to be excluded."
    if number_near(answer, 100 * _texts_for(allowed, limit), 0.02) or number_near(
        answer, _texts_for(allowed, limit) / 100, 0.02
    ):
        return "a hundred times off: the limit is a share, not per cent."
    if number_near(answer, (allowed + 3) / limit, 0.02):
        return "the rule of three is for none; with every change allowed it grows by more than one."
    return (
        "from how many texts on is the bound of that many changes at most the limit? The bound"
        " falls as texts are added, so the first that is low enough can be searched for."
    )


@cache
def _texts_for(allowed: int, limit: float) -> int:
    """The fewest texts of which so many may change, and the bound is still at most the limit."""
    low, high = 1, 2
    while upper_bound(allowed, high) > limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_bound(allowed, middle) > limit else (low, middle)
    return high


class Bench:
    """A card of the judge's in this process: some of its forwards are wrong by known amounts."""

    def __init__(self, amounts: list[float]) -> None:
        self.amounts = iter(amounts)

    def forward(self, *batches: Any) -> list[Any]:
        """The logits of each batch, one label of its last text off by the next amount."""
        import torch

        answers = []
        with torch.no_grad():
            for batch in batches:
                logits = _model()(**batch).logits.clone()
                logits[-1, 3] += next(self.amounts, 0.0)
                answers.append(logits)
        return answers


@cache
def _model() -> Any:
    from goemo_utils.forward.model import load_model

    return load_model("embedded").model.eval()


def _blind(wrong: Any, seed: int) -> str | None:
    """What the function does not see on a card of the judge's."""
    import torch

    source = random.Random(f"10/{seed}/bench")
    amounts = [ROUNDING, -0.02, float("nan"), 0.0, 0.02, -ROUNDING]
    source.shuffle(amounts)
    batches = []
    for _ in amounts:
        ids = torch.randint(10, 1000, (source.randint(2, 4), source.randint(5, 9)))
        batches.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    answer = called(wrong, Bench(amounts), batches)
    if isinstance(answer, (str, dict)) or not isinstance(answer, Collection):
        return "a list of places was expected."
    right = {place for place, amount in enumerate(amounts) if not abs(amount) < 1e-3}
    given = {int(place) for place in answer}
    if given == right:
        return None
    if given == {place + 1 for place in right}:
        return "the places count from 0."
    if amounts.index(ROUNDING) in given or amounts.index(-ROUNDING) in given:
        return (
            "a hidden card that only rounds was called wrong: right answers differ by up to 4e-6"
            " from the CPU's, the more the larger the batch."
        )
    if given == right - {next(at for at, amount in enumerate(amounts) if amount != amount)}:
        return "a hidden card gave NaN, and it was called right: no comparison with NaN is true."
    return "a hidden card got one label of the last text wrong by 0.02, and it was not seen."


def _wrong_occasion(answer: Any, right: Trouble) -> str | None:
    """What is wrong with the word and the number of a card; never which of the two."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or answer[0] not in OCCASIONS:
        raise ParamsError(f"a word of {', '.join(OCCASIONS)} and a number were expected.")

    word, number = answer
    numbers = tuple(number) if isinstance(number, (tuple, list)) else (number,)
    if len(numbers) != (2 if word == "both" else 1) or any(type(n) is not int for n in numbers):
        raise ParamsError(
            "beside the word a whole number was expected, and beside both a pair of them: tokens,"
            " texts."
        )
    if word == right.what and numbers == _as_numbers(right.number):
        return None
    return TRY[word]


def _as_numbers(number: int | tuple[int, int]) -> tuple[int, ...]:
    return number if isinstance(number, tuple) else (number,)


TRY = {
    "length": (
        "word and number together do not foretell this card. Ask one text of just that length, and"
        " one a token longer, fifty times each: always right, and always wrong?"
    ),
    "batch": (
        "word and number together do not foretell this card. Ask short texts, one fewer than that"
        " and just so many, fifty times each: always right, and always wrong?"
    ),
    "both": (
        "word and number together do not foretell this card. Of the four batches around that corner"
        " (the length and one more, the texts and one fewer) one is wrong: every time?"
    ),
    "turn": (
        "word and number together do not foretell this card. Ask the same short text four hundred"
        " times: is each wrong answer that far from the one before, and none between?"
    ),
}
"""An experiment that would have shown it, by the word that was answered and nothing else."""


EXERCISE = Exercise(
    number="10",
    name="rare_events",
    title="Batches and rare events",
    teaches="what 23 texts cannot show",
    minutes=40,
    answers={
        "supported": "the letters of the claims that hold",
        "enough": "how many texts the plan needs",
        "wrong": "a function of a card and batches: the places of the wrong ones",
        "P": "a word and a number",
        "Q": "a word and a number",
        "R": "a word and a number",
    },
    hints=(
        "The claims: what was counted, which texts does the sentence speak of, and what may the"
        " rate still be? The cards: a short text, a long text, a large batch, a large batch with a"
        " long text, and the same question again and again are five different tests.",
        "`card.forward(*batches)` takes many batches in one call and counts each as a forward. Ask"
        " two hundred times the same before you believe a length or a size: what is wrong by turns"
        " is wrong once in a sweep of lengths too.",
        "upper_bound(k, n, 0.95) of goemo_utils.parity.flips is what may still be when k of n"
        " changed; the plan asks for the first n at which it is low enough. A border is where a"
        " sweep goes from right to wrong and stays so; for both, sweep the lengths in the largest"
        " batch, and the sizes at the longest text; a turn is the distance between wrong answers.",
    ),
    judge=judge,
    material=material,
)
