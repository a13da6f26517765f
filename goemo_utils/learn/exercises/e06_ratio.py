"""Exercise 06: gold, reference, and the ratio R."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from goemo_utils.learn.exercise import (
    Answers,
    Exercise,
    Point,
    as_number,
    called,
    number_near,
    point,
)
from goemo_utils.learn.hidden import HiddenDevice

ARITHMETICS = ("tanh_gelu", "hf32", "hf32_linear", "tf32")
WITHIN = 0.03
WORDS = ("rounding", "more", "no answer")
LIMITS = {"float32": 2.0, "float16": 3.0, "bfloat16": 3.0}
Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Port:
    """The embedded model on the CPU, its inputs, and a device that nobody knows."""

    model: Any
    tokens: dict[str, Any]
    device: HiddenDevice


@cache
def _loaded() -> tuple[Any, dict[str, Any]]:
    """The embedded model in float32, and the built-in texts as tokens ``[texts, length]``."""
    from goemo_utils.forward.model import load_model
    from goemo_utils.texts.builtin import BUILTIN

    loaded = load_model("embedded")
    tokens = loaded.tokenizer(list(BUILTIN), return_tensors="pt", padding=True)
    return loaded.model, dict(tokens)


def material(seed: int) -> Port:
    """The port whose R is to be found; its model is the learner's own to change."""
    model, tokens = _loaded()
    return Port(
        copy.deepcopy(model),
        tokens,
        HiddenDevice("under test", random.Random(seed).choice(ARITHMETICS)),
    )


@dataclass(frozen=True)
class Wanted:
    """R, and what a learner gets who measures something else."""

    right: float
    by_largest: float
    by_mean: float
    to_reference: float
    relative: float
    by_spread: float


def _measures(candidate: Array, reference: Array, gold: Array) -> Wanted:
    """R and its neighbours of three arrays, all in float64."""
    c, r, g = (array.astype(np.float64) for array in (candidate, reference, gold))
    error, noise = np.abs(c - g), np.abs(r - g)
    over_noise = _rms(error) / _rms(noise)

    return Wanted(
        right=over_noise,
        by_largest=float(error.max() / noise.max()),
        by_mean=float(error.mean() / noise.mean()),
        to_reference=_rms(c - r) / _rms(noise),
        relative=_rms(error) / _rms(g),
        by_spread=float(np.std(c - g) / np.std(r - g)),
    )


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


@cache
def _of_port(seed: int) -> Wanted:
    """The measures of the learner's port."""
    import torch

    port = material(seed)
    with torch.no_grad():
        gold = copy.deepcopy(port.model).double()(**port.tokens).logits
        reference = port.model(**port.tokens).logits
    candidate = port.device(lambda model, tokens: model(**tokens).logits, port.model, port.tokens)
    return _measures(candidate.numpy(), reference.numpy(), gold.numpy())


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the ratio on hidden arrays, its value for the port, and the decision made by it."""
    return [
        point(
            "ratio",
            lambda: _wrong_ratio(answers["ratio"], seed),
            "the device's distance from the truth, in units of honest rounding; NaN stays NaN.",
        ),
        point(
            "R",
            lambda: _wrong_value(answers["R"], seed),
            "far above 1, which is honest rounding: something on this device is not rounding.",
            guessable=True,
        ),
        point(
            "verdict",
            lambda: _wrong_verdict(answers["verdict"], seed),
            "the limit belongs to the precision, and what cannot be compared has not passed.",
        ),
    ]


def _cases(seed: int) -> list[tuple[Array, Array, Array]]:
    """Candidate, reference and gold, of three kinds: plain, far from zero, with outliers."""
    draw = np.random.default_rng(seed)

    def case(centre: float, size: float, tail: float) -> tuple[Array, Array, Array]:
        gold = draw.normal(centre, 1.0, (12, 28))
        noise = draw.normal(0, 1e-6 * max(1.0, abs(centre)), gold.shape)
        error = draw.normal(0, size, gold.shape) * np.exp(tail * draw.normal(size=gold.shape))
        candidate = gold + error + size  # an error of one sign, beside one of both
        return candidate.astype(np.float32), (gold + noise).astype(np.float32), gold

    return [case(0.0, 5e-6, 0.0), case(300.0, 3e-3, 0.0), case(0.0, 2e-5, 1.0)]


def _wrong_ratio(ratio: Any, seed: int) -> str | None:
    for case in _cases(seed):
        answer = called(ratio, *case)
        wanted = _measures(*case)
        if not number_near(answer, wanted.right, 1e-3):
            return _mistaken(answer, wanted, 1e-3) or (
                "on a hidden case it misses R. Are all three in float64 before they are subtracted?"
            )

    candidate, reference, gold = _cases(seed)[0]
    broken = candidate.copy()
    broken[3, 5] = np.nan
    answer = called(ratio, broken, reference, gold)
    if not math.isnan(float(answer)):
        return (
            f"one value of the candidate is NaN, and the ratio is {float(answer):.3g}: NaN hides."
        )
    return None


def _mistaken(answer: Any, wanted: Wanted, within: float) -> str | None:
    """The mistake that a value shows; None where it shows none."""
    mistakes = {
        wanted.right**2: "the ratio of squares: the root of each mean is missing.",
        1 / wanted.right: "upside down: the candidate's error goes above the reference's.",
        wanted.by_largest: "the ratio of the largest differences; root mean squares were asked for",
        wanted.by_mean: "the ratio of mean differences; root mean squares were asked for.",
        wanted.to_reference: (
            "the candidate was compared with the reference. Both have errors; both are compared"
            " with gold."
        ),
        wanted.by_spread: (
            "the ratio of standard deviations, which do not see an error that is everywhere the"
            " same."
        ),
        wanted.relative: (
            "an error over gold's own size, as a relative error is. It says nothing until it"
            " stands beside the reference's error."
        ),
    }
    # The measures may lie close together: the nearest one that fits is meant.
    fitting = [value for value in mistakes if number_near(answer, value, within)]
    nearest = min(fitting, key=lambda value: abs(value - float(answer)), default=None)
    return None if nearest is None else mistakes[nearest]


def _wrong_value(answer: Any, seed: int) -> str | None:
    answer, wanted = as_number(answer), _of_port(seed)
    if math.isinf(answer):
        return (
            "R is infinite where the reference has no error: gold and reference are the same. Did"
            " .double() change the one model that both are made with?"
        )
    if number_near(answer, wanted.right, WITHIN):
        return None
    if number_near(answer, 1.0, WITHIN):
        return "R is 1 where the candidate is the reference: was the model run on the device?"
    return _mistaken(answer, wanted, WITHIN) or (
        "that is not this port's R. Gold in float64 on the CPU, the reference in float32 on the"
        " CPU, the candidate on the device: which of the three is another?"
    )


@dataclass(frozen=True)
class Case:
    """Three runs to be judged, the word that is right, and what is overlooked by another word."""

    candidate: Array
    reference: Array
    gold: Array
    dtype: str
    word: str
    overlooked: str


def _judged_cases(seed: int) -> list[Case]:
    """Runs on both sides of each limit, and runs that cannot be judged."""
    draw = np.random.default_rng([seed, 6])
    gold, noise, error = draw.normal(0, [[[1.0]], [[1e-3]], [[1e-3]]], (3, 12, 28))
    reference = (gold + noise).astype(np.float32)
    unit = _rms(reference - gold) / _rms(error)

    def candidate(times: float) -> Array:
        array: Array = (gold + times * unit * error).astype(np.float32)
        return array

    def case(dtype: str, word: str, said: str, times: float = 1.0, **other: Array) -> Case:
        arrays = {"candidate": candidate(times), "reference": reference, "gold": gold} | other
        return Case(**arrays, dtype=dtype, word=word, overlooked=said)

    near = [
        case(dtype, word, f"in {dtype} an R of {limit * share:.2g} is “{word}”.", limit * share)
        for dtype, limit in LIMITS.items()
        for word, share in (("rounding", 0.9), ("more", 1.1))
    ]
    hole = np.zeros_like(gold)
    hole[3, 5] = np.nan
    return [
        *near,
        case("float32", "rounding", "a candidate nearer to gold than the reference is right.", 0.2),
        case("float32", "no answer", "a candidate with a NaN was judged.", candidate=gold + hole),
        case("float32", "no answer", "a reference with a NaN was judged.", reference=gold + hole),
        case(
            "float32",
            "no answer",
            "a gold that equals the reference gave a verdict. Such a gold was computed in the"
            " reference's precision and widened, so nobody knows how large rounding is.",
            gold=reference.astype(np.float64),
        ),
        case(
            "float32",
            "no answer",
            "a gold that was kept in float32 gave a verdict: its own rounding is in both errors.",
            gold=gold.astype(np.float32),
        ),
        case(
            "bfloat16",
            "no answer",
            "a candidate of one text was judged against twelve: numpy repeats it without a word.",
            candidate=candidate(1.0)[:1],
        ),
    ]


def _wrong_verdict(verdict: Any, seed: int) -> str | None:
    for case in _judged_cases(seed):
        word = called(verdict, case.candidate, case.reference, case.gold, case.dtype)
        if not isinstance(word, str) or word not in WORDS:
            return f"one of {', '.join(WORDS)} was expected."
        if word != case.word:
            return f"it said “{word}”: {case.overlooked}"
    return None


EXERCISE = Exercise(
    number="06",
    name="ratio",
    title="Gold, reference and R",
    teaches="judging a device by the truth, in units of the error that honest rounding makes",
    minutes=20,
    answers={
        "ratio": "a function of candidate, reference and gold that gives R",
        "R": "the R of this port",
        "verdict": "a function of three runs and a dtype: rounding, more, or no answer",
    },
    hints=(
        "A module's .double() changes the module itself, and two runs need it as it was. R: two"
        " errors, both measured from gold; how many times does the reference's go into the"
        " candidate's?",
        "Widen all three arrays before you subtract: float32 values are exact in float64, and gold"
        " is not exact in float32.",
        "Ask what may be wrong with each of the three runs before they are compared: values that"
        " are no numbers, other shapes, and a gold that is no more exact than the reference. How"
        " would such a gold look beside the reference?",
    ),
    judge=judge,
    material=material,
)
