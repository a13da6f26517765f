"""The notebooks of the course: the solutions, the exercises made from them, and a learner's own.

A solution is the only source. Its cells with the tag ``fill`` hold, in their metadata, what stands
there for the learner; put back, they make the exercise. So the two differ in those cells alone, and
an exercise can be restored wherever its solution lies. Where the solutions are kept from the
learners, the shipped exercise is the source.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from goemo_utils.errors import RecordError
from goemo_utils.learn import state
from goemo_utils.learn.exercise import Exercise
from goemo_utils.notebook import translate
from goemo_utils.records.record import SHIPPED, read_json, write_text

ENGLISH = SHIPPED / "learn"
SOLUTIONS = ENGLISH / "solutions"
CHINESE = ENGLISH / "zh"
FILL, EMPTY = "fill", "empty"
SESSION = "JPY_SESSION_NAME"  # the server of JupyterLab gives a kernel the path of its notebook


def as_text(notebook: dict[str, Any]) -> str:
    """A notebook as its file holds it."""
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def emptied(solution: dict[str, Any]) -> dict[str, Any]:
    """The exercise of a solution: each cell to fill as it stands for the learner.

    Raises RecordError where the solution has no such cell, or one without its empty form.
    """
    cells = [_emptied(cell) if is_fill(cell) else cell for cell in solution["cells"]]
    if cells == solution["cells"]:
        raise RecordError(
            f"A solution has no cell with the tag {FILL}; expected at least one. Tag the cells that"
            f" the learner fills, and give each the metadata {EMPTY}."
        )
    return {**solution, "cells": cells}


def is_fill(cell: dict[str, Any]) -> bool:
    """Whether a cell is one that the learner fills."""
    return FILL in cell["metadata"].get("tags", [])


def _emptied(cell: dict[str, Any]) -> dict[str, Any]:
    empty = cell["metadata"].get(EMPTY)
    if not empty:
        raise RecordError(
            f"The cell {cell.get('id')} of a solution is tagged {FILL} and has no metadata"
            f" {EMPTY}; expected the lines that stand there for the learner. Add them."
        )
    return {**cell, "metadata": {"tags": cell["metadata"]["tags"]}, "source": empty}


def pristine(exercise: Exercise, chinese: bool = False) -> dict[str, Any]:
    """An exercise's notebook as it is at first: made from its solution, and where the solutions
    are not there, the shipped one.

    Raises RecordError where neither is there.
    """
    solution, shipped = (folder / f"{exercise.stem}.ipynb" for folder in (SOLUTIONS, ENGLISH))
    notebook = emptied(read_json(solution)) if solution.is_file() else read_json(shipped)
    if not chinese:
        return notebook
    prose = translate.prose_of(CHINESE)
    return translate.translated(notebook, exercise.stem, prose)


def in_session() -> Path | None:
    """The notebook that this kernel belongs to; None outside JupyterLab."""
    named = os.environ.get(SESSION)
    return Path(named) if named else None


def speaks_chinese() -> bool:
    """Whether this kernel belongs to a Chinese notebook."""
    notebook = in_session()
    return notebook is not None and language_folder(notebook) == CHINESE.name


def language_folder(notebook: Path) -> str:
    """The folder of a notebook's language: ``zh``, or none."""
    chinese = notebook.parent.name == CHINESE.name or notebook.name.endswith(".zh.ipynb")
    return CHINESE.name if chinese else ""


def of_learner(exercise: Exercise) -> Path:
    """The notebook that a learner works in: the one of this kernel, else the copy among the
    outputs, the English one where there are two, else the shipped one.
    """
    copy = state.folder() / f"{exercise.stem}.ipynb"
    here = in_session()
    if here is not None and here.name == copy.name:
        return here
    copies = (copy, copy.parent / CHINESE.name / copy.name, ENGLISH / copy.name)
    return next((path for path in copies if path.exists()), copies[-1])


def started(exercise: Exercise, chinese: bool = False) -> Path:
    """The learner's own copy of an exercise, made when there is none yet, beside the progress."""
    state.read()
    place = state.folder() / "zh" if chinese else state.folder()
    path = place / f"{exercise.stem}.ipynb"
    if not path.exists():
        write_text(path, as_text(pristine(exercise, chinese)))
    return path


def restore(exercise: Exercise) -> Path:
    """Put the learner's notebook back as it was at first."""
    path = of_learner(exercise)
    chinese = language_folder(path) == CHINESE.name
    if path == ENGLISH / path.name and not (SOLUTIONS / path.name).is_file():
        raise RecordError(
            f"There is no copy of your own to put back: {path} is the exercise as it was shipped."
            f" Expected a copy beside your progress. Make one: goemo learn {exercise.number} --path"
        )
    write_text(path, as_text(pristine(exercise, chinese)))
    return path


def hints(exercise: Exercise) -> tuple[str, ...]:
    """An exercise's hints in the language of the notebook that asks."""
    if not speaks_chinese():
        return exercise.hints
    prose = translate.prose_of(CHINESE)
    names = [f"{exercise.stem}/hint-{place}" for place in (1, 2, 3)]
    return tuple(
        prose[name].text if name in prose else text
        for name, text in zip(names, exercise.hints, strict=True)
    )
