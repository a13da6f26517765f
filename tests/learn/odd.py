"""``python -m tests.learn.odd``: every exercise is handed answers of odd kinds; prints, as JSON,
those that were called right or that stopped the check.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from goemo_utils import rehearsal
from goemo_utils.learn import check, material
from goemo_utils.learn.catalogue import catalogue
from tests.learn.trial import without_pause


def raising(*_arguments: Any) -> None:
    raise KeyError("mine")


ODD = {
    "a text": "x",
    "an empty text": "",
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a huge number": 10**400,
    "zero": 0,
    "True": True,
    "a list": [],
    "a nested dict": {"a": {"b": 1}},
    "an array": np.zeros(3),
    "a tensor": torch.zeros(2, 2),
    "a class": dict,
    "a function that gives its argument": lambda *arguments: arguments[0],
    "a function without arguments": lambda: 1,
    "a function that gives NaN": lambda *_: float("nan"),
    "a function that raises": raising,
}


def found() -> list[str]:
    """What went wrong, by exercise and answer."""
    wrong = []
    for number, exercise in catalogue().items():
        if exercise.material:
            material(number)
        for kind, answer in ODD.items():
            without_pause()
            try:
                verdict = check(number, **dict.fromkeys(exercise.answers, answer))
                right = [point.asked for point in verdict.points if point.right]
                right += [] if verdict.points else ["not judged"]
            except Exception as error:
                right = [f"stopped by {type(error).__name__}: {error}"]
            wrong += [f"{number} {name}: {kind}" for name in right]
    return wrong


if __name__ == "__main__":
    rehearsal.enable(devices=2)
    print(json.dumps(found()))
