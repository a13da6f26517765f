"""What an exercise says to a guess. A guess that is not made yet is not wrong, so that a notebook
runs from top to bottom unsolved.
"""

from __future__ import annotations

import math
from typing import Any

UNSOLVED = "Write your guess in place of None and run this cell again."


def check(guess: Any, answer: Any, hint: str, within: float = 0.0, meaning: str = "") -> str:
    """Whether a guess is right, in words; a wrong one gets the hint and not the answer.

    ``within``: the share of a number's answer by which a guess may miss it. ``meaning``: what the
    answer means, said when the guess is right.
    """
    if guess is None:
        return UNSOLVED
    if not _same(guess, answer, within):
        return f"Not yet: {hint}"
    return f"Right. {meaning}".strip()


def _same(guess: Any, answer: Any, within: float) -> bool:
    numbers = isinstance(guess, (int, float)) and isinstance(answer, (int, float))
    if not numbers or isinstance(guess, bool) or isinstance(answer, bool):
        return bool(guess == answer)
    return math.isclose(guess, answer, rel_tol=within, abs_tol=0.0)
