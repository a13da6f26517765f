"""Exercise 07: name the cause of a difference by probing the device."""

from __future__ import annotations

import random
from typing import Any

from goemo_utils.errors import ParamsError
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

LETTERS = "abc"
# Each cause a learner may name: the arithmetic behind it, and the bits that a matmul keeps.
CAUSES = {"none": "exact", "tanh_gelu": "tanh_gelu", "hf32": "hf32", "bf16": "bf16_matmul"}
BITS = {
    "exact": 23,
    "tanh_gelu": 23,
    "hf32": 11,
    "hf32_trunc": 11,
    "hf32_away": 11,
    "tf32": 10,
    "fp16_matmul": 10,
    "bf16_matmul": 7,
}
# The share of the largest difference of the two forms of GELU that a probe must show.
NEARLY = 0.995


def causes_of(seed: int) -> dict[str, str]:
    """The cause of each device, in an order of the learner's own: one whose matmul is exact, one
    whose matmul rounds, and one of either kind, which may do the same as another.
    """
    draw = random.Random(seed)
    names = [draw.choice(["none", "tanh_gelu"]), draw.choice(["hf32", "bf16"])]
    names.append(draw.choice(list(CAUSES)))
    draw.shuffle(names)
    return dict(zip(LETTERS, names, strict=True))


def material(seed: int) -> dict[str, HiddenDevice]:
    """Three devices, each with an arithmetic that nobody names."""
    return {
        letter: HiddenDevice(letter, CAUSES[cause]) for letter, cause in causes_of(seed).items()
    }


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the probe on hidden devices, the number that tells two GELUs apart, and the causes."""
    return [
        point(
            "bits",
            lambda: _wrong_bits(answers["bits"], seed),
            "it reads from one number how a matmul unit rounds, without a model.",
        ),
        point(
            "gelu_probe",
            lambda: _wrong_probe(answers["gelu_probe"]),
            "nowhere do the two forms of GELU differ more, and by far more than float32 rounds.",
            guessable=True,
        ),
        point(
            "causes",
            lambda: _wrong_causes(answers["causes"], seed),
            "named by what each device does to single numbers, not by how large its errors are.",
            redraws=True,
        ),
    ]


def _wrong_bits(bits: Any, seed: int) -> str | None:
    names = random.Random(seed).sample(list(BITS), len(BITS))
    for number, numerics in enumerate(names, 1):
        answer = called(bits, HiddenDevice(f"hidden {number}", numerics))
        expected = BITS[numerics]
        if not number_near(answer, expected, 0):
            return _mistaken_bits(answer, expected)
    return None


def _mistaken_bits(answer: Any, expected: int) -> str:
    if number_near(answer, expected + 1, 0):
        return (
            "one too many on a hidden device: is the leading 1, which is not stored, counted, or"
            " the first bit that was lost?"
        )
    if number_near(answer, expected - 1, 0):
        return "one too few on a hidden device: the last bit that survives counts too."
    if expected < 23 and hasattr(answer, "__float__") and float(answer) >= 23:
        return (
            "a device that drops bits passed for exact. 2^-n alone is a power of two, which every"
            " float keeps: the small part needs a large one beside it in one number."
        )
    if expected == 23:
        return "an exact device was said to drop bits: is the result compared in float32?"
    return (
        "a hidden device keeps another number of bits. The size of an error depends on the numbers:"
        " which numbers need exactly n bits, and do they come back?"
    )


def _wrong_probe(x: Any) -> str | None:
    import torch

    x = as_number(x)
    gelu = torch.nn.functional.gelu
    values = torch.tensor([float(x), *torch.linspace(0, 4, 4001)], dtype=torch.float64)
    apart, *others = (gelu(values) - gelu(values, approximate="tanh")).abs().tolist()

    if abs(float(x)) < 0.2:
        return "so near to 0 both forms are x / 2: no device could be told apart there."
    if abs(float(x)) > 5:
        return "so far out both forms are x or 0: no device could be told apart there."
    if not apart >= NEARLY * max(others):
        return f"the two forms differ by {apart:.2e} there; at another place they differ more."
    return None


def _wrong_causes(causes: Any, seed: int) -> str | None:
    truth = causes_of(seed)
    if not isinstance(causes, dict) or set(causes) != set(LETTERS):
        raise ParamsError("a dict with a cause for each of a, b and c was expected.")
    unknown = [cause for cause in causes.values() if cause not in list(CAUSES)]
    if unknown:
        raise ParamsError(f"{unknown[0]!r} is none of the four: {', '.join(CAUSES)}.")

    wrong = [
        (causes[letter], truth[letter]) for letter in LETTERS if causes[letter] != truth[letter]
    ]
    return _mistaken_cause(*wrong[0]) if wrong else None


def _mistaken_cause(named: str, true: str) -> str:
    if {named, true} == {"none", "tanh_gelu"}:
        return (
            "a device was judged by its matmul alone, or by a GELU where both forms agree. A matmul"
            " cannot show a GELU: probe both on every device."
        )
    if {named, true} == {"hf32", "bf16"}:
        return (
            "a device that rounds was named after the other one that rounds. The size of an error"
            " depends on the numbers; count the bits."
        )
    return "a device was named for something it does not do: probe its matmul and its GELU."


EXERCISE = Exercise(
    number="07",
    name="cause",
    title="Name the cause",
    teaches="finding out how a device computes from a few numbers, without a model",
    minutes=20,
    answers={
        "bits": "a function of a device that gives the bits its matmul keeps",
        "gelu_probe": "the number at which the two forms of GELU differ most",
        "causes": "the cause of each device: none, tanh_gelu, hf32 or bf16",
    },
    hints=(
        "A 1 by 1 matmul with the number 1 gives back its operand, exactly as the unit rounded it.",
        "Which numbers need exactly n bits behind the leading 1? The one with a 1 in the first"
        " place and a 1 in the last.",
        "Draw the difference of torch's two forms of GELU (approximate='none' and 'tanh') over the"
        " numbers from -4 to 4, in float64.",
    ),
    judge=judge,
    material=material,
)
