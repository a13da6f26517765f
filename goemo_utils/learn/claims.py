"""The claims of exercise 10: sentences of a report, some of which its numbers bear out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from goemo_utils.parity.flips import log_binomial_cdf, lower_bound, upper_bound

LETTERS = "abcdef"
LABELS = 28


@dataclass(frozen=True)
class Claim:
    """A sentence of a report, whether its numbers bear it out at 95 % confidence, and what is said
    to whoever takes it for the other.
    """

    text: str
    holds: bool
    mistake: str


@cache
def drawn(seed: object) -> dict[str, Claim]:
    """Six claims of different kinds by their letters; at least two hold and two do not."""
    source = random.Random(f"claims/{seed}")
    kinds = source.sample(KINDS, k=len(LETTERS))
    truths = [True, True, False, False, source.random() < 0.5, source.random() < 0.5]
    source.shuffle(truths)
    claims = [kind(source, holds) for kind, holds in zip(kinds, truths, strict=True)]
    return dict(zip(LETTERS, claims, strict=True))


def _percent(share: float, holds: bool) -> str:
    """A share in per cent, a little beside a bound: above what the numbers show where it holds."""
    return f"{100 * share * (1.12 if holds else 0.55):.2g}"


def _none(source: random.Random, holds: bool) -> Claim:
    texts = source.randrange(150, 900, 10)
    share = _percent(upper_bound(0, texts), holds)
    text = f"{texts} texts were compared and none changed: at most {share} % of all texts change."
    return Claim(
        text, holds, "no change in n texts excludes rates above about 3 / n, and no lower."
    )


def _some(source: random.Random, holds: bool) -> Claim:
    texts, changed = source.randrange(600, 3000, 50), source.randint(1, 4)
    share = upper_bound(changed, texts) * 1.12 if holds else changed / texts * 1.1
    text = f"Of {texts} texts {changed} changed: at most {100 * share:.2g} % of all texts change."
    return Claim(
        text,
        holds,
        "the rate that was seen is not the rate that can be promised: half of all samples show less"
        " than there is.",
    )


def _least(source: random.Random, holds: bool) -> Claim:
    texts, changed = source.randrange(600, 3000, 50), source.randint(4, 9)
    share = lower_bound(changed, texts) * 0.85 if holds else changed / texts * 0.9
    text = f"Of {texts} texts {changed} changed: at least {100 * share:.2g} % of all texts change."
    return Claim(text, holds, "a rate has a bound from below as well, and it is not the rate seen.")


def _copies(source: random.Random, holds: bool) -> Claim:
    texts, times = source.randrange(40, 120, 5), source.randint(8, 30)
    share = upper_bound(0, texts if holds else texts * times)
    text = (
        f"{texts} texts were compared {times} times each, which makes {texts * times} comparisons,"
        f" and none changed: at most {_percent(share, True)} % of all texts change."
    )
    return Claim(text, holds, "the same text asked again says nothing about other texts.")


def _labels(source: random.Random, holds: bool) -> Claim:
    texts = source.randrange(150, 900, 10)
    share = upper_bound(0, texts if holds else texts * LABELS)
    text = (
        f"{texts} texts have {texts * LABELS} decisions, and none changed: at most"
        f" {_percent(share, True)} % of all texts change."
    )
    return Claim(
        text,
        holds,
        "the labels of one text share its fate: texts are counted where texts are meant.",
    )


def _better(source: random.Random, holds: bool) -> Claim:
    texts, fewer = source.randrange(300, 900, 50), source.randint(0, 3)
    above = 1.15 * upper_bound(fewer, texts)
    # the smallest number whose bound from below is above that rate: it or more has a chance of 5 %
    apart = next(
        k for k in range(1, texts) if log_binomial_cdf(k - 1, texts, above) > math.log(0.95)
    )
    more = apart + source.randint(0, 3) if holds else fewer + source.randint(1, 3)
    text = (
        f"Port one changed {more} of {texts} texts, port two {fewer} of {texts} others: port two"
        " changes fewer of all texts."
    )
    return Claim(
        text,
        holds,
        "two rates differ where their bounds do not meet: what may each of the two still be?",
    )


def _short(source: random.Random, holds: bool) -> Claim:
    texts = source.randrange(150, 900, 10)
    meant = "of all texts of at most 32 tokens" if holds else "of all texts"
    text = (
        f"{texts} texts of at most 32 tokens were compared and none changed; the service gets up to"
        f" 128 tokens: at most {_percent(upper_bound(0, texts), True)} % {meant} change."
    )
    return Claim(
        text, holds, "a sample speaks for the texts that it was drawn from, and no others."
    )


def _pooled(source: random.Random, holds: bool) -> Claim:
    first, second = source.randrange(100, 400, 10), source.randrange(100, 400, 10)
    share = _percent(upper_bound(0, first + second), holds)
    text = (
        f"{first} texts on Monday and {second} others on Tuesday, none changed on either day: at"
        f" most {share} % of all texts change."
    )
    return Claim(text, holds, "two samples of different texts are one larger sample, and no more.")


KINDS: tuple[Callable[[random.Random, bool], Claim], ...] = (
    _none,
    _some,
    _least,
    _copies,
    _labels,
    _better,
    _short,
    _pooled,
)
