"""Exercise 09: three cards that answer a short text alone rightly; what goes wrong in a batch, from
which length on, and for which texts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.card import Card, Hidden, cards
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, point

CARDS = ("X", "Y", "Z")
SHARES = ("padding", "late padding", "neighbour", "length", "nothing")
"""What may change a text's answer in a batch, as the notebook explains the words."""
FROM_A_LENGTH = ("late padding", "length")
FAULTS = {
    "padding": "mask:drop",
    "late padding": "mask:beyond={tokens}",
    "neighbour": "neighbour:leak=0.02",
    "length": "_softmax:scale=1.03,only_beyond={tokens}",
}


@dataclass(frozen=True)
class Trouble:
    """What a card's answers depend on, and up to how many tokens a batch is still right, for what
    begins at a length.
    """

    share: str
    tokens: int | None = None

    def harmed(self, lengths: Sequence[int]) -> list[int]:
        """The texts of a batch, by their place from 0, that get a wrong answer; ``lengths`` are the
        tokens of each text.
        """
        longest = max(lengths)
        everywhere = list(range(len(lengths)))
        padded = [place for place in everywhere if lengths[place] < longest]
        if self.tokens is not None and longest <= self.tokens:
            return []
        of_share = {
            "padding": padded,
            "late padding": padded,
            "neighbour": everywhere if len(lengths) > 1 else [],
            "length": everywhere,
        }
        return of_share.get(self.share, [])


def trouble(seed: int, card: str) -> Trouble:
    """What a card's answers depend on."""
    drawn = random.Random(f"09/{seed}")
    # At least one card has a number, so that no choice of words alone can be right.
    shares = [drawn.choice(SHARES[:2])]
    shares.append("length" if shares == ["padding"] else drawn.choice(("neighbour", "length")))
    shares.append(drawn.choice([share for share in SHARES if share not in shares]))
    drawn.shuffle(shares)
    tokens = {share: drawn.randint(24, 44) for share in FROM_A_LENGTH}

    share = shares[CARDS.index(card)]
    return Trouble(share, tokens.get(share))


def hidden(seed: int, card: str) -> Hidden:
    """What a card hides, for the worker that is the card."""
    found = trouble(seed, card)
    fault = FAULTS.get(found.share)
    return Hidden("reorder+ulp", fault and fault.format(tokens=found.tokens))


@dataclass(frozen=True)
class Material:
    """The cards by their names, and the batches of tomorrow: the tokens of each text, no more."""

    cards: dict[str, Card]
    tomorrow: list[list[int]]


def material(seed: int) -> Material:
    """The three cards and the lengths of two batches."""
    return Material(cards(__name__, seed, CARDS), tomorrow(seed))


def tomorrow(seed: int) -> list[list[int]]:
    """A batch of short texts and one with long texts, two of them the longest."""
    drawn = random.Random(f"09/{seed}/tomorrow")
    short = [drawn.randint(6, 19) for _ in range(5)]
    longest = drawn.randint(50, 64)
    long = [drawn.randint(8, 46) for _ in range(5)] + [longest, longest]
    drawn.shuffle(long)
    return [short, long]


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for what each card's answers depend on, and one for the texts that are harmed."""
    named = [
        point(
            card,
            partial(_misnamed, answers[card], trouble(seed, card)),
            "that is what its answers depend on.",
            redraws=True,
        )
        for card in CARDS
    ]
    harmed = point(
        "harmed",
        partial(_misjudged, answers["harmed"], seed),
        "so it can be said beforehand who is harmed.",
        guessable=True,
    )
    errors = point(
        "errors",
        partial(_mistaken_errors, answers["errors"], seed),
        "an error for each text, whatever batch it came in.",
    )
    return [errors, *named, harmed]


@dataclass
class Bench:
    """A card of the judge's in this process: it errs by known amounts, in both directions."""

    amounts: list[list[float]]

    def forward(self, *batches: Any) -> list[Any]:
        """The logits of each batch, one label of each text off by its amount."""
        import torch

        answers = []
        with torch.no_grad():
            for batch, amounts in zip(batches, self.amounts, strict=True):
                logits = _model()(**batch).logits
                logits[:, len(amounts)] += torch.tensor(amounts)
                answers.append(logits)
        return answers


@cache
def _model() -> Any:
    from goemo_utils.forward.model import load_model

    return load_model("embedded").model.eval()


def _mistaken_errors(errors: Any, seed: int) -> str | None:
    """What is wrong with the function, asked of a card and batches of the judge's."""
    import torch

    drawn = random.Random(f"09/{seed}/bench")
    amounts = [[drawn.uniform(0.1, 1) * sign for sign in signs] for signs in ((1, -1, 1), (-1, 1))]
    batches = []
    for row in amounts:
        ids = torch.randint(10, 1000, (len(row), 7))
        batches.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    answer = called(errors, Bench(amounts), batches)
    try:
        given = [[float(error) for error in row] for row in answer]
    except (TypeError, ValueError):
        return "a list with a list for each batch, of a number for each text, was expected."
    if [len(row) for row in given] != [len(row) for row in amounts]:
        return "a list with a list for each batch, of a number for each text, was expected."

    pairs = [
        (got, amount)
        for got_row, row in zip(given, amounts, strict=True)
        for got, amount in zip(got_row, row, strict=True)
    ]
    if all(abs(got - abs(amount)) < 1e-4 for got, amount in pairs):
        return None
    if any(got < 1e-4 for got, _ in pairs):
        return "a text that a hidden card got wrong by more than 0.1 has no error: a sign is lost."
    return "the largest error of a text over its labels, against the CPU on the same batch, differs"


def _misnamed(answer: Any, right: Trouble) -> str | None:
    """What is wrong with the word for a card, or with the number beside it."""
    given = answer if isinstance(answer, (tuple, list)) else (answer, None)
    share, tokens = (*given, None)[:2] if given else (None, None)
    if share not in SHARES:
        raise ParamsError(f"one of {', '.join(SHARES)} was expected; received {share!r}.")
    if share in FROM_A_LENGTH and type(tokens) is not int:
        raise ParamsError(
            f"beside {share} the longest batch that is right was expected, in tokens, as in"
            f" ({share!r}, 77)."
        )
    if share != right.share:
        return _mistake(share, right)
    if right.tokens is not None and tokens != right.tokens:
        return _about_tokens(tokens, right)
    return None


def _mistake(share: str, right: Trouble) -> str:
    """What an experiment would have shown against ``share``, without naming what is right."""
    alone = "A text alone, without any padding, is to be tried at every length up to the limit."
    if share == "nothing":
        return (
            "something does change answers here. Vary one thing at a time, further than a demo"
            f" does: more padding, other neighbours, longer texts. {alone}"
        )
    if right.share == "nothing":
        return (
            "an experiment of your own speaks against that word. Compare with what the CPU gives"
            " for the same batch, and not by equality to the bit: rounding is about 1e-6."
        )
    said = {
        "padding": (
            "if any padding did harm, one token of it would, and a text that fills its row would"
            " never be harmed. One of the two does not hold here."
        ),
        "late padding": (
            "if padding did harm from a length on, less padding would not, and a text that fills"
            " its row would stay right however long. One of the two does not hold here."
        ),
        "neighbour": (
            "if neighbours leaked, two texts of the same length, without any padding, would already"
            " disturb each other. They do not here."
        ),
        "length": (
            "if length alone did harm, a long text alone would be wrong, with no padding and no"
            " neighbour. It is not here."
        ),
    }
    return said[share]


def _about_tokens(tokens: Any, right: Trouble) -> str:
    """The mistake in the length up to which all is well."""
    expected = int(right.tokens or 0)
    if tokens == expected + 1:
        return "the word is right. This is the shortest batch that is wrong, not the longest right."
    return (
        "the word is right and the number is not. Halve the interval between a length that is right"
        " and one that is wrong until they are neighbours; count padding and special tokens too."
    )


def _misjudged(answer: Any, seed: int) -> str | None:
    """What is wrong with the places of the harmed texts."""
    batches = tomorrow(seed)
    if not isinstance(answer, dict) or set(answer) != set(CARDS):
        raise ParamsError("a dict with the keys X, Y and Z was expected.")

    given = {card: _places(card, answer[card], len(batches)) for card in CARDS}
    for card in CARDS:
        right = [trouble(seed, card).harmed(lengths) for lengths in batches]
        if given[card] != right:
            return _about_harmed(card, given[card], right, batches)
    return None


def _places(card: str, answer: Any, batches: int) -> list[list[int]]:
    """The places that are given for a card, a list for each batch."""
    try:
        places = [sorted({int(place) for place in batch}) for batch in answer]
    except (TypeError, ValueError):
        raise ParamsError(f"{card}: two lists of places were expected, from 0.") from None
    if len(places) != batches:
        raise ParamsError(f"{card}: there are {batches} batches; give a list of places for each.")
    return places


def _about_harmed(
    card: str, given: list[list[int]], right: list[list[int]], batches: list[list[int]]
) -> str:
    if [[place + 1 for place in batch] for batch in right] == given:
        return f"{card}: the places count from 0."
    first = next(at for at in range(len(batches)) if given[at] != right[at])
    missed = set(right[first]) - set(given[first])
    longest = max(batches[first])
    if any(batches[first][place] == longest for place in missed):
        return f"{card}: a text that fills its row can be harmed too, if padding is not the reason."
    if missed:
        return f"{card}: more texts are harmed. A batch is as long as its longest text."
    return (
        f"{card}: fewer texts are harmed. Ask of each one what it shares with others in this batch:"
        " has it padding, and is the batch long enough?"
    )


EXERCISE = Exercise(
    number="09",
    name="masks_and_padding",
    title="Masks and padding",
    teaches="what a text may not share with its batch",
    minutes=25,
    answers={
        "errors": "a function of a card and batches: the largest error of each text",
        "X": "one of the words, and where it has one the longest batch that is right",
        "Y": "as X",
        "Z": "as X",
        "harmed": "for each card, the places of the harmed texts in each batch of tomorrow",
    },
    hints=(
        "Change one thing at a time and compare with the CPU on the same batch: a text alone; alone"
        " with padding; two texts of one length; a long text alone. Each of the words fails another"
        " of these four.",
        "Do each of the four at a short and at a long length: 12 tokens and 100, say. What shows at"
        " the long one only begins somewhere between them. Halve the interval: seven questions"
        " are enough.",
        "Any padding harms every text shorter than its batch. Late padding does so in long batches"
        " only. A neighbour harms every text of a batch of two and more. Length harms every text of"
        " a long batch, the longest included.",
    ),
    judge=judge,
    material=material,
)
