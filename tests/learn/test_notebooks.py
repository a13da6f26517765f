"""The notebooks of the course as committed: made from their solutions, stripped, and in Chinese."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import nbformat
import pytest

from goemo_utils.errors import RecordError
from goemo_utils.learn import make, notebooks
from goemo_utils.learn.catalogue import catalogue
from goemo_utils.learn.exercise import Exercise
from goemo_utils.learn.notebooks import CHINESE, ENGLISH, SOLUTIONS
from goemo_utils.notebook import translate

EXERCISES = list(catalogue().values())
NUMBERS = [exercise.number for exercise in EXERCISES]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=NUMBERS)


def read(path: Any) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_committed_exercises_are_what_the_script_makes() -> None:
    made = make.english()
    assert {path.name for path in ENGLISH.glob("*.ipynb")} == set(made)
    for name, text in made.items():
        assert (ENGLISH / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m goemo_utils.learn.make"
        )


def test_the_committed_chinese_exercises_are_what_the_script_makes() -> None:
    made = translate.build(ENGLISH, CHINESE, make.hint_names())
    assert {path.name for path in CHINESE.glob("*.ipynb")} == set(made)
    for name, text in made.items():
        assert (CHINESE / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m goemo_utils.learn.make"
        )


def test_the_course_page_lists_the_exercises_as_they_are() -> None:
    text = make.PAGE.read_text(encoding="utf-8")
    assert make.page(text) == text, "run python -m goemo_utils.learn.make"
    assert all(exercise.title in text for exercise in EXERCISES)


@each
def test_a_solution_differs_from_its_exercise_in_the_filled_cells_only(exercise: Exercise) -> None:
    pairs = zip(
        read(ENGLISH / f"{exercise.stem}.ipynb")["cells"],
        read(SOLUTIONS / f"{exercise.stem}.ipynb")["cells"],
        strict=True,
    )
    differing = [after for before, after in pairs if before != after]
    assert differing
    assert all(notebooks.is_fill(cell) for cell in differing)


@each
def test_an_exercise_is_valid_and_stripped(exercise: Exercise) -> None:
    for folder in (ENGLISH, SOLUTIONS, CHINESE):
        notebook = nbformat.read(folder / f"{exercise.stem}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
        for cell in notebook.cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


@each
def test_an_exercise_tells_a_story_and_asks_the_learner_to_fill_and_check(
    exercise: Exercise,
) -> None:
    notebook = read(ENGLISH / f"{exercise.stem}.ipynb")
    first = "".join(notebook["cells"][0]["source"])
    assert first.startswith(f"# {exercise.number} · ")
    assert "**You will**" in first
    assert "SIMULATED" in first

    tags = [tag for cell in code(notebook) for tag in cell["metadata"].get("tags", [])]
    assert "fill" in tags
    assert tags.count("check") == 1
    for cell in code(notebook):
        if notebooks.is_fill(cell):
            assert "your turn" in "".join(cell["source"])


@each
def test_the_check_cell_asks_for_exactly_the_exercises_answers(exercise: Exercise) -> None:
    notebook = read(ENGLISH / f"{exercise.stem}.ipynb")
    sources = [
        "".join(cell["source"])
        for cell in code(notebook)
        if "check" in cell["metadata"].get("tags", [])
    ]
    call = ast.parse(sources[0]).body[-1].value
    assert ast.literal_eval(call.args[0]) == exercise.number
    assert [keyword.arg for keyword in call.keywords] == list(exercise.answers)


@each
def test_cells_are_short_and_depend_on_no_path(exercise: Exercise) -> None:
    for folder in (ENGLISH, SOLUTIONS):
        for cell in code(read(folder / f"{exercise.stem}.ipynb")):
            source = "".join(cell["source"])
            assert len(source.splitlines()) <= 15
            assert max(map(len, source.splitlines())) <= 88
            assert not re.search(r"sys\.path|import \*|os\.chdir|[\"'](/|~/|\.\./)", source)


@each
def test_no_line_of_the_solution_stands_in_a_hint(exercise: Exercise) -> None:
    solution = read(SOLUTIONS / f"{exercise.stem}.ipynb")
    cells = [cell for cell in solution["cells"] if notebooks.is_fill(cell)]
    empty = {line.strip() for cell in cells for line in cell["metadata"]["empty"]}
    lines = {line.strip() for cell in cells for line in cell["source"]} - empty
    hints = "\n".join(exercise.hints)
    assert [line for line in lines if len(line) > 12 and line in hints] == []


def test_a_solution_without_a_cell_to_fill_is_refused() -> None:
    with pytest.raises(RecordError, match="no cell with the tag fill"):
        notebooks.emptied({"cells": []})


def test_a_cell_to_fill_without_its_empty_form_is_named() -> None:
    cell = {"id": "a", "metadata": {"tags": ["fill"]}, "source": ["x = 1"]}
    with pytest.raises(RecordError, match="The cell a of a solution"):
        notebooks.emptied({"cells": [cell]})
