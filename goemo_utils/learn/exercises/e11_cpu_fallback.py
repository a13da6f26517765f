"""Exercise 11: three services on which operators fall back to the CPU, each of which hides it."""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, point

PROGRAMS = ("A", "B", "C")
SHORTEST, LONGEST = 8, 128
"""The tokens of a request that the services take."""
# How often one forward of the embedded model calls each operator, with eager attention.
CALLS = {
    "gelu": 2,
    "native_layer_norm": 5,
    "_softmax": 2,
    "tanh": 1,
    "index_select": 3,
    "bmm": 4,
}
COUNTS = {"A": 2, "B": 3, "C": 3}
"""How many operators fall back in each program."""


@dataclass(frozen=True)
class Material:
    """The command line of each program, and the tokens of three requests to program C."""

    programs: dict[str, list[str]]
    requests: list[int]


def operators(seed: int, program: str) -> tuple[str, ...]:
    """The operators without a kernel on a program's card."""
    drawn = random.Random(f"11/{seed}/{program}")
    return tuple(drawn.sample(sorted(CALLS), k=COUNTS[program]))


def of_the_run_before(seed: int) -> str:
    """The operator that program A quotes, and that has a kernel by now."""
    kept = set(CALLS) - set(operators(seed, "A"))
    return random.Random(f"11/{seed}/before").choice(sorted(kept))


def first_tokens(seed: int) -> dict[str, int]:
    """For each operator of program C the shortest request in tokens in which it falls back."""
    drawn = random.Random(f"11/{seed}/tokens")
    begins = [SHORTEST, drawn.randint(20, 60), drawn.randint(66, 120)]
    return dict(zip(operators(seed, "C"), begins, strict=True))


def fault(seed: int, program: str) -> str:
    """What the program's card does, in the words of the rehearsal device."""
    if program != "C":
        return ";".join(f"{name}:fallback" for name in operators(seed, program))
    return ";".join(
        f"{name}:fallback" + (f",only_beyond={tokens - 1}" if tokens > SHORTEST else "")
        for name, tokens in first_tokens(seed).items()
    )


def requests(seed: int) -> list[int]:
    """The tokens of three requests: before, between and beyond where C's operators begin."""
    drawn = random.Random(f"11/{seed}/requests")
    _, early, late = first_tokens(seed).values()
    some = [
        drawn.randint(SHORTEST, early - 1),
        drawn.randint(early, late - 1),
        drawn.randint(late, LONGEST),
    ]
    drawn.shuffle(some)
    return some


def crossings_of(seed: int, tokens: int) -> int:
    """How often one forward of program C goes to the CPU and back, by the tokens of its request."""
    begins = first_tokens(seed)
    return sum(CALLS[name] for name, first in begins.items() if tokens >= first)


def material(seed: int) -> Material:
    """The programs, each of which has ``--help``, and three requests."""
    service = [sys.executable, "-m", "goemo_utils.learn.service", str(seed)]
    programs = {program: [*service, program] for program in PROGRAMS}
    return Material(programs, requests(seed))


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for the listening, for each program, and for the crossings of program C."""
    return [
        point(
            "standard_error",
            partial(_deaf, answers["standard_error"]),
            "it hears what a process writes past Python, and nothing else.",
        ),
        point(
            "A",
            partial(_misnamed, "A", answers["A"], seed),
            "a cast, a refusal and a quotation look alike and are no fallback of this process.",
            redraws=True,
        ),
        point(
            "B",
            partial(_misnamed, "B", answers["B"], seed),
            "each warned in the first forward, to which nobody listened, and never again.",
            redraws=True,
        ),
        point(
            "C",
            partial(_mistaken_lengths, answers["C"], seed),
            "a kernel ends at a shape: what was not asked was not heard.",
            redraws=True,
        ),
        point(
            "crossings",
            partial(_miscounted, answers["crossings"], seed),
            "each is a copy to the host and one back, and a wait for both.",
            redraws=True,
        ),
    ]


CHILD = """
import os, sys
os.write(1, b"to standard output")
sys.stderr = None
os.write(2, f"past Python {sys.argv[1:]}".encode())
sys.exit(3)
"""


def _deaf(standard_error: Any) -> str | None:
    """What the function does not hear of a child of the judge's."""
    said = called(standard_error, [sys.executable, "-S", "-c", CHILD], "--one", "two")
    if isinstance(said, bytes):
        return "bytes were returned, and text is asked: decode them."
    if not isinstance(said, str):
        return "a text was expected: what the process wrote to its file descriptor 2."
    if "past Python" not in said:
        return "what a hidden child wrote to its file descriptor 2 is not in what it returns."
    if "to standard output" in said:
        return "it returns what a hidden child wrote to standard output too."
    if "'--one', 'two'" not in said:
        return "the options did not reach the hidden child: they come behind its command."
    return None


def _names(answer: Any) -> set[str]:
    return {str(name).removeprefix("aten::") for name in answer}


def _misnamed(program: str, answer: Any, seed: int) -> str | None:
    """What is wrong with the operators named for a program."""
    answer = [answer] if isinstance(answer, str) else answer
    if isinstance(answer, dict) or not isinstance(answer, Collection):
        raise ParamsError("a list of operators was expected, by the names of the cautions.")
    if not answer:
        return NOTHING[program]

    given, right = _names(answer), set(operators(seed, program))
    if given == right:
        return None
    if program == "A" and of_the_run_before(seed) in given - right:
        return "one of them fell back in another run: who wrote that line, and when?"
    if program == "A" and given - right - set(CALLS):
        return (
            "one of them never ran on the CPU: read what the line says happened. A refusal, or a"
            " cast to another dtype, is no fallback."
        )
    if given - right:
        return "one of them has a kernel on this card: no caution of this program names it."
    return "those are right, and more fell back. Was its very first forward heard?"


NOTHING = {
    "A": (
        "nothing in Python's warnings and nothing in sys.stderr is not nothing at all: torch_npu"
        " writes to the file descriptor 2 of its process."
    ),
    "B": (
        "it says nothing while it serves. Each operator warns once a process: what was the first"
        " forward of this one, and who listened then?"
    ),
}
"""What leads to an empty list, for a program."""


def _mistaken_lengths(answer: Any, seed: int) -> str | None:
    """What is wrong with the operators of program C and the requests in which they fall back."""
    if not isinstance(answer, dict) or not answer:
        raise ParamsError("a dict was expected: for each operator its shortest request, in tokens.")

    if not all(isinstance(tokens, (int, float)) for tokens in answer.values()):
        raise ParamsError("beside each operator a number was expected, its request in tokens.")

    right = first_tokens(seed)
    given = {str(name).removeprefix("aten::"): tokens for name, tokens in answer.items()}
    if given.keys() - right.keys():
        return "one of them has a kernel on this card: no caution of this program names it."
    if right.keys() - given.keys():
        return (
            "those are right, and more fell back. An operator falls back for the shapes that its"
            " kernel does not have: which shapes has this program not been asked?"
        )
    if given == right:
        return None
    off = [given[name] - right[name] for name in right]
    if max(map(abs, off)) == 1:
        return "a number is off by one: the shortest request that goes to the CPU is asked."
    return (
        "the operators are right, and not where each begins. A caution comes once a process, so the"
        " request before it is the last that stayed on the card; ask from short to long."
    )


def _crossings(answer: Any, asked: Sequence[int]) -> list[int]:
    """The crossings of each request in its order, of what is a list of numbers, of pairs of tokens
    and number, or a dict of these.
    """
    if hasattr(answer, "tolist"):
        answer = answer.tolist()
    if isinstance(answer, str) or not isinstance(answer, Collection):
        raise ParamsError(
            "a list was expected: the crossings of each request, in its order; or a dict of them by"
            " the tokens of the requests."
        )
    given = list(answer.items() if isinstance(answer, dict) else answer)
    if given and all(isinstance(one, (list, tuple)) and len(one) == 2 for one in given):
        by_tokens = {str(tokens): number for tokens, number in given}
        given = [by_tokens.get(str(tokens)) for tokens in asked]

    if len(given) != len(asked) or isinstance(answer, (set, frozenset)):
        raise ParamsError(f"{len(asked)} numbers were expected, one for each request.")
    if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in given):
        raise ParamsError(f"{len(asked)} numbers were expected, one for each request.")
    return given


def _miscounted(answer: Any, seed: int) -> str | None:
    """What is wrong with the numbers of crossings."""
    asked = requests(seed)
    given = _crossings(answer, asked)
    right = [crossings_of(seed, tokens) for tokens in asked]
    if given == right:
        return None
    if given == [2 * number for number in right]:
        return "count a call once, not its way there and its way back."
    if given == [max(right)] * len(right):
        return "in a short request some of these operators stay on the card."
    if all(number <= COUNTS["C"] for number in given):
        return "so many cautions; but a caution comes once, and a copy each time."
    return (
        "count the calls of exactly those operators that fall back in a request of that length:"
        " torch.profiler lists them by name. aten::softmax and aten::_softmax are two names for one"
        " call."
    )


EXERCISE = Exercise(
    number="11",
    name="cpu_fallback",
    title="CPU fallback, and how it hides",
    teaches="which operators left the card, and why no warning told",
    minutes=30,
    answers={
        "standard_error": "a function of a command and options: what its process wrote there",
        "A": "the operators that fell back in program A",
        "B": "the operators that fell back in program B",
        "C": "for each operator of program C the shortest request in which it falls back",
        "crossings": "how often a forward of program C goes to the CPU and back, for each request",
    },
    hints=(
        "The caution does not go through Python: it is written to file descriptor 2. Run the"
        " program as a child and keep its standard error, which subprocess.run can do. Then read"
        " each line: who says what of which process?",
        "Each operator warns once a process, and only when it is called. What a program does before"
        " you listen, and the shapes that you never ask for, are where it hides. Which options"
        " change what its very first forward is, and which requests it gets?",
        "B: let nothing run before the first request. C: many requests in one process, from short"
        " to long, with standard error written into standard output, show behind which answer each"
        " caution comes. The crossings: for each request, add up the counts of the operators whose"
        " shortest request it reaches.",
    ),
    judge=judge,
    material=material,
)
