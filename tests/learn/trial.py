"""``python -m tests.learn.trial NN``: an exercise tried in this process, as the tests ask for it.

Runs the code cells of the solution, of the exercise as it is at first, and of the solution with
each typical mistake; prints what each check said, as JSON. A process of its own, because the
rehearsal device stays on in its process.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from goemo_utils.learn import state
from goemo_utils.learn.catalogue import exercise_of
from goemo_utils.learn.exercise import Exercise
from goemo_utils.learn.notebooks import SOLUTIONS, pristine
from goemo_utils.records.record import read_json


def cells_of(notebook: dict[str, Any], changed: dict[str, str]) -> list[str]:
    """The code cells of a notebook, some of them changed; the check cell hands out its verdict."""
    unknown = changed.keys() - {cell["id"] for cell in notebook["cells"]}
    assert not unknown, f"no cell {unknown}"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [_source(cell, changed) for cell in code]


def _source(cell: dict[str, Any], changed: dict[str, str]) -> str:
    source = changed.get(cell["id"], "".join(cell["source"]))
    if "check" in cell["metadata"].get("tags", []):
        return f"verdict = {source}"
    return source


def tried(cells: list[str]) -> dict[str, Any]:
    """What the check says after these cells have run."""
    names: dict[str, Any] = {"__name__": "notebook"}
    with redirect_stdout(io.StringIO()):
        for cell in cells:
            exec(cell, names)
    verdict = names["verdict"]
    if verdict.right and verdict.due:  # right, and right again on the next draw
        return tried(cells)
    return {"solved": verdict.solved, "said": repr(verdict)}


def without_pause() -> None:
    """Let the pause after a wrong guess be over, and what was guessed be forgotten."""
    kept = state.read()
    for done in kept.exercises.values():
        done.misses, done.judged_from, done.row = 0, None, 0
    state.write(kept)


def further_seeds(number: str) -> tuple[int, ...]:
    """The seeds of two more learners; an exercise whose solution takes long names fewer."""
    trials = import_module(f"tests.learn.wrong.e{number}")
    return tuple(getattr(trials, "SEEDS", (1, 2)))


def outcomes(exercise: Exercise) -> dict[str, Any]:
    """Every trial of an exercise, by its name; the mistakes on what is drawn anew each time, or on
    what the solution was tried on, where an exercise's mistakes rest on it.
    """
    first = state.read().model_copy(deep=True)
    solution = read_json(SOLUTIONS / f"{exercise.stem}.ipynb")
    trials = import_module(f"tests.learn.wrong.e{exercise.number}")
    found = {
        "empty": tried(cells_of(pristine(exercise), {})),
        "solution": tried(cells_of(solution, {})),
    }
    for row in trials.WRONG:
        if getattr(trials, "REST_ON_THE_SOLUTION", False):
            state.write(first)
        without_pause()
        found[row.mistake] = tried(cells_of(solution, row.cells))

    # Hidden things are drawn by the seed: other learners solve it too.
    for seed in further_seeds(exercise.number):
        state.write(state.State(seed=seed))
        found[f"solution, seed {seed}"] = tried(cells_of(solution, {}))
    return found


if __name__ == "__main__":
    print(json.dumps(outcomes(exercise_of(sys.argv[1]))))
