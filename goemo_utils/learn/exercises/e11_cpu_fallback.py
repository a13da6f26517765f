"""Exercise 11: three services on which operators fall back to the CPU, each of which hides it."""

from __future__ import annotations

import random
import sys
from collections.abc import Collection
from functools import partial
from typing import Any

from goemo_utils.learn.exercise import Answers, Exercise, Point, point

PROGRAMS = ("A", "B", "C")
# How often one forward of the embedded model calls each operator, with eager attention.
CALLS = {
    "gelu": 2,
    "native_layer_norm": 5,
    "_softmax": 2,
    "tanh": 1,
    "index_select": 3,
    "bmm": 4,
}


def operators(seed: int, program: str) -> tuple[str, ...]:
    """The operators without a kernel on a program's card."""
    drawn = random.Random(f"11/{seed}/{program}")
    return tuple(drawn.sample(sorted(CALLS), k=2 if program != "B" else 3))


def only_beyond(seed: int) -> int:
    """The tokens up to which program C's second operator has a kernel."""
    return random.Random(f"11/{seed}/tokens").randint(40, 100)


def fault(seed: int, program: str) -> str:
    """What the program's card does, in the words of the rehearsal device."""
    first, *others = operators(seed, program)
    late = f",only_beyond={only_beyond(seed)}" if program == "C" else ""
    faults = [f"{first}:fallback", *(f"{name}:fallback{late}" for name in others)]
    return ";".join(faults)


def material(seed: int) -> dict[str, list[str]]:
    """The command line of each program; each has ``--help``."""
    service = [sys.executable, "-m", "goemo_utils.learn.service", str(seed)]
    return {program: [*service, program] for program in PROGRAMS}


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each program, and one for the crossings of program A."""
    named = [
        point(
            program,
            partial(_misnamed, program, answers[program], seed),
            "they run on the CPU, and the answers are right all the same.",
            redraws=True,
        )
        for program in PROGRAMS
    ]
    crossings = point(
        "crossings",
        partial(_miscounted, answers["crossings"], seed),
        "each is a copy to the host and one back, and a wait for both.",
        redraws=True,
    )
    return [*named, crossings]


def _misnamed(program: str, answer: Any, seed: int) -> str | None:
    """What is wrong with the operators named for a program."""
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return "a list of operators was expected, by the names of the cautions."
    if not answer:
        return NOTHING[program]

    given = {str(name).removeprefix("aten::") for name in answer}
    right = set(operators(seed, program))
    if given == right:
        return None
    if given - right - set(CALLS):
        return (
            "one of them never ran on the CPU: read what the line says happened. A refusal, or a"
            " cast to another dtype, is no fallback."
        )
    if given - right:
        return "one of them has a kernel on this card: count only what its own caution names."
    if program == "B":
        return (
            "those are right, and more fell back. Where the fallback is forbidden the program stops"
            " at the first; let it go on, and listen from its first forward."
        )
    return (
        "those are right, and more fell back. An operator falls back for the shapes that its kernel"
        " does not have: which shapes has this program not been asked?"
    )


NOTHING = {
    "A": (
        "nothing in Python's warnings and nothing in sys.stderr is not nothing at all: torch_npu"
        " writes to the file descriptor 2 of its process."
    ),
    "B": (
        "it says nothing while it serves. Each operator warns once a process: what was the first"
        " forward of this one, and who listened then?"
    ),
    "C": "read the standard error of its process, not what Python shows of it.",
}
"""What leads to an empty list, for each program."""


def _miscounted(answer: Any, seed: int) -> str | None:
    """What is wrong with the number of crossings."""
    if isinstance(answer, bool) or not isinstance(answer, int):
        return "a whole number was expected: calls in one forward."

    calls = [CALLS[name] for name in operators(seed, "A")]
    if answer == sum(calls):
        return None
    if answer == 2 * sum(calls):
        return "count a call once, not its way there and its way back."
    if answer == len(calls):
        return "so many cautions; but a caution comes once, and a copy each time."
    if answer in calls:
        return "that is one of the operators; the others cross too."
    return (
        "count the calls of exactly these operators in one forward: torch.profiler lists them by"
        " name. aten::softmax and aten::_softmax are two names for one call."
    )


EXERCISE = Exercise(
    number="11",
    name="cpu_fallback",
    title="CPU fallback, and how it hides",
    teaches="which operators left the card, and why no warning told",
    minutes=20,
    answers={
        "A": "the operators that fell back in program A",
        "B": "the operators that fell back in program B",
        "C": "the operators that fall back in program C, whatever it is asked",
        "crossings": "how often one forward of program A goes to the CPU and back",
    },
    hints=(
        "The caution does not go through Python: it is written to file descriptor 2. Run the"
        " program as a child and read its standard error: subprocess.run(command,"
        " capture_output=True, text=True).stderr. `goemo_utils.environment.fallbacks` reads it.",
        "Each operator warns once a process, and only when it is called. What a program does before"
        " you listen, and the shapes that you never ask for, are where it hides. Every program has"
        " --help. TORCH_NPU_FALLBACK_CPU_DISABLE=1 turns the first fallback into an error.",
        "B warms up in silence: --warm-up loud. C has shapes of its own: --tokens 128. The"
        " crossings: run one forward on the CPU under torch.profiler.profile() and add up the count"
        " of each operator in key_averages().",
    ),
    judge=judge,
    material=material,
)
