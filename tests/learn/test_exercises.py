"""Every exercise, tried: its solution solves it, and what is wrong gets its own hint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from goemo_utils.learn import state
from goemo_utils.learn.catalogue import catalogue
from goemo_utils.learn.exercise import Exercise
from goemo_utils.records.record import ROOT
from tests.learn.trial import further_seeds

EXERCISES = list(catalogue().values())
NUMBERS = [exercise.number for exercise in EXERCISES]
LEARNERS = [
    (number, learner)
    for number in NUMBERS
    for learner in ["solution", *(f"solution, seed {seed}" for seed in further_seeds(number))]
]
MISTAKES = [
    (number, row)
    for number in NUMBERS
    for row in import_module(f"tests.learn.wrong.e{number}").WRONG
]


def outcomes(number: str) -> dict[str, Any]:
    """What came of the trials of an exercise."""
    done = trials(number)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@cache
def trials(number: str) -> subprocess.CompletedProcess[str]:
    """The trials of an exercise, made once, in a process and a folder of their own."""
    with TemporaryDirectory() as place:
        state.write(state.State(seed=7), Path(place))
        return subprocess.run(
            [sys.executable, "-m", "tests.learn.trial", number],
            cwd=ROOT,
            env={**os.environ, state.FOLDER_VARIABLE: place},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.long
@pytest.mark.parametrize(("number", "learner"), LEARNERS)
def test_the_solution_solves_the_exercise_whatever_the_learners_seed(
    number: str, learner: str
) -> None:
    outcome = outcomes(number)[learner]
    assert outcome["solved"], outcome["said"]


@pytest.mark.long
@pytest.mark.parametrize("number", NUMBERS)
def test_an_exercise_left_empty_runs_to_its_end_and_is_not_solved(number: str) -> None:
    outcome = outcomes(number)["empty"]
    assert not outcome["solved"]
    assert "✗" in outcome["said"]
    assert "✓" not in outcome["said"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "row"), MISTAKES, ids=[f"{number}: {row.mistake}" for number, row in MISTAKES]
)
def test_a_typical_mistake_gets_the_hint_that_is_its_own(number: str, row: Any) -> None:
    outcome = outcomes(number)[row.mistake]
    assert not outcome["solved"], outcome["said"]
    assert row.says in outcome["said"]


@pytest.mark.long
def test_answers_of_odd_kinds_are_never_right_and_never_stop_a_check(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.learn.odd"],
        cwd=ROOT,
        env={**os.environ, state.FOLDER_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("exercise", EXERCISES, ids=NUMBERS)
def test_an_exercise_has_three_typical_mistakes_and_each_another_hint(exercise: Exercise) -> None:
    rows = import_module(f"tests.learn.wrong.e{exercise.number}").WRONG
    assert len({row.says for row in rows}) >= 3
