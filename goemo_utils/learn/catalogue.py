"""The exercises that there are, in their order: every module of ``exercises`` is one."""

from __future__ import annotations

import pkgutil
import re
from functools import cache
from importlib import import_module
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import exercises
from goemo_utils.learn.exercise import Exercise


@cache
def catalogue() -> dict[str, Exercise]:
    """Every exercise by its number, in order."""
    names = sorted(module.name for module in pkgutil.iter_modules(exercises.__path__))
    modules = [
        import_module(f"{exercises.__name__}.{name}")
        for name in names
        if re.fullmatch(r"e\d\d_\w+", name)
    ]
    return {module.EXERCISE.number: module.EXERCISE for module in modules}


def exercise_of(number: Any) -> Exercise:
    """The exercise of a number: ``"04"``, ``"4"``, ``4`` or ``"04_timing"``.

    Raises ParamsError where there is none.
    """
    known = catalogue()
    digits = re.match(r"\d{1,2}", str(number))
    found = known.get(digits[0].zfill(2)) if digits else None
    if found is None or str(number) not in (found.number, str(int(found.number)), found.stem):
        raise ParamsError(
            f"There is no exercise {number!r}; expected one of {', '.join(known)}. `goemo learn`"
            " lists them."
        )
    return found
