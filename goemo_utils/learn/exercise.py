"""What an exercise is: its words, its judge, and the points that a judge gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from goemo_utils.errors import ParamsError, first_line

Answers = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One question of an exercise: whether its answer is right, and what is said to it.

    ``says`` is what the answer means where it is right, and a hint about the mistake where it is
    not; never the answer. Where ``guessable``, the answer is a value that a program could try one
    after another, and a wrong one is followed by a pause; where ``redraws``, there are few to
    choose among, and a wrong one changes what is hidden as well.
    """

    asked: str
    right: bool
    says: str
    redraws: bool = False
    guessable: bool = False

    @property
    def missed(self) -> bool:
        """Whether this was a wrong guess, or may have been one."""
        return not self.right and (self.redraws or self.guessable)


@dataclass(frozen=True)
class Exercise:
    """An exercise, in the words of its module.

    ``answers`` names the keywords of ``check`` and what each is; ``judge`` gets the answers and the
    exercise's seed and gives a point for each question; ``material`` makes from the seed what the
    learner works on, where something is hidden. ``in_a_row`` is on how many draws one after another
    the answers must be right: more than one where all of them are picked from what is shown.
    """

    number: str
    name: str
    title: str
    teaches: str
    minutes: int
    answers: Mapping[str, str]
    hints: tuple[str, str, str]
    judge: Callable[[Answers, int], list[Point]]
    material: Callable[[int], Any] | None = None
    in_a_row: int = 1

    @property
    def stem(self) -> str:
        """The name of its notebook, without the ending."""
        return f"{self.number}_{self.name}"


def plain(answer: Any) -> Any:
    """An answer in Python's own kinds: texts, numbers and what holds them, whatever class of
    somebody's stands for them (numpy's numbers, or a text that says of itself that it equals all).
    """
    if isinstance(answer, dict):
        return {plain(name): plain(value) for name, value in answer.items()}
    for kind in (list, tuple, set, frozenset):
        if isinstance(answer, kind):
            return kind(map(plain, answer))
    if getattr(answer, "shape", None) == () and hasattr(answer, "item"):
        return answer.item()  # a number of numpy's, or a tensor without axes
    if isinstance(answer, str):
        return str.__str__(answer)
    if isinstance(answer, int) and not isinstance(answer, bool):
        return int.__int__(answer)
    return float.__float__(answer) if isinstance(answer, float) else answer


def is_empty(answer: Any) -> bool:
    """Whether an answer, or a value of a dict, is still what the exercise left to fill."""
    if isinstance(answer, dict):
        return not answer or any(value is ... for value in answer.values())
    return answer is None or answer is ...


def point(
    asked: str,
    mistake: Callable[[], str | None],
    meaning: str,
    redraws: bool = False,
    guessable: bool = False,
) -> Point:
    """The point of one question. ``mistake`` looks at the answer and gives a hint about what is
    wrong with it, or None; ``meaning`` is said where it is right. An answer of another kind than
    was asked for (ParamsError) draws nothing anew, and is no guess.
    """
    try:
        wrong = mistake()
    except ParamsError as error:
        return Point(asked, False, str(error))
    except Exception as error:
        wrong = (
            f"This answer cannot be judged ({type(error).__name__}: {first_line(error)}). Look at"
            " the task again for what kind of thing is asked for."
        )
    return Point(asked, wrong is None, meaning if wrong is None else wrong, redraws, guessable)


def called(function: Any, *arguments: Any) -> Any:
    """What a learner's function gives.

    Raises ParamsError, in a sentence for the learner, where it is no function, raises, or gives
    nothing.
    """
    if not callable(function):
        kind = type(function).__name__
        raise ParamsError(f"A function was expected here, and this is of type {kind}.")

    try:
        answer = function(*arguments)
    except Exception as error:
        raise ParamsError(
            f"The function raised {type(error).__name__} on a hidden case: {first_line(error)}"
        ) from error

    if answer is None or answer is ...:
        raise ParamsError("The function returns None: end it with return and the value asked for.")
    return plain(answer)


def as_number(answer: Any) -> float:
    """An answer that is a number. Raises ParamsError, in a sentence for the learner, for others."""
    if isinstance(answer, bool) or not hasattr(answer, "__float__"):
        kind = type(answer).__name__
        raise ParamsError(f"A number was expected here, and this is of type {kind}.")
    try:
        return float(answer)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ParamsError(f"This is no number to count with: {first_line(error)}") from error


def number_near(answer: Any, expected: float, within: float) -> bool:
    """Whether an answer is a number that misses ``expected`` by at most the share ``within``."""
    if isinstance(answer, bool) or not hasattr(answer, "__float__"):
        return False
    return abs(float(answer) - expected) <= within * abs(expected)
