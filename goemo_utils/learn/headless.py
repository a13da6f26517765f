"""Runs a learner's notebook without a browser and judges it: what ``goemo learn --check`` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.errors import RecordError, first_line
from goemo_utils.learn import course, notebooks, state
from goemo_utils.learn.exercise import Exercise


@dataclass(frozen=True)
class Outcome:
    """What became of a learner's notebook: solved or not, and what its check said."""

    exercise: Exercise
    notebook: Path
    solved: bool
    said: str

    def row(self) -> dict[str, Any]:
        """The outcome as JSON holds it."""
        return {
            "exercise": self.exercise.number,
            "title": self.exercise.title,
            "notebook": str(self.notebook),
            "solved": self.solved,
            "said": self.said,
        }


def judge_notebook(
    exercise: Exercise, path: Path, tell: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Run all cells of a notebook in a kernel of its own and take what its check said; ``tell``
    gets a line for each cell that begins.

    The learner's seed counts, so that what is hidden is what the learner saw; what was solved
    before does not. The learner's progress takes the try, and what was drawn anew after a wrong
    answer, as it does in JupyterLab. While a pause after a wrong guess lasts, nothing is run.
    Raises RecordError where the notebook cannot be read.
    """
    if pause := state.read().of(exercise.number).pause:
        return Outcome(exercise, path, False, course.not_yet(pause))

    row = state.read().of(exercise.number).row
    outcome = _judged_once(exercise, path, tell)
    # A notebook that computes its answers is right on the next draw as well; one that holds answers
    # of this draw is not, and that is no wrong guess.
    while not outcome.solved and state.read().of(exercise.number).row > row:
        row = state.read().of(exercise.number).row
        tell("right; once more, on another draw")
        outcome = _judged_once(exercise, path, tell, outcome)
    return outcome


def _judged_once(
    exercise: Exercise, path: Path, tell: Callable[[str], None], before: Outcome | None = None
) -> Outcome:
    """What the check of a notebook says of this draw. Where it was right on the one ``before``, it
    counts if it is right again; if not, the outcome stays, and another draw is due.
    """
    kept = state.read()
    done = kept.of(exercise.number)
    own = state.Done(draw=done.draw, row=done.row, misses=done.misses)
    with tempfile.TemporaryDirectory(prefix="goemo-learn-") as temporary:
        place = Path(temporary)
        state.write(state.State(seed=kept.seed, exercises={exercise.number: own}), place)
        said = _run(path, place, tell)
        after = state.read(place).of(exercise.number)

    solved = after.solved is not None
    counts = before is None or solved or after.row > done.row
    done.draw = max(done.draw + (not counts), after.draw)
    if counts:
        done.tries += after.tries
        done.row, done.misses, done.judged_from = after.row, after.misses, after.judged_from
        before = Outcome(exercise, path, solved, said)
    if solved:
        kept.solve(exercise.number)
    state.write(kept)
    return before or Outcome(exercise, path, False, said)


def _run(path: Path, place: Path, tell: Callable[[str], None]) -> str:
    """Execute a notebook with its progress in ``place``; what its last check said, or the error
    that stopped it.
    """
    import nbformat

    from goemo_utils.learn import kernel

    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # untyped
    except Exception as error:
        raise RecordError(
            f"{path} is not a readable notebook ({first_line(error)}); expected the notebook of an"
            " exercise. Reset it: goemo learn --reset NN"
        ) from None

    # A reset left in a cell reaches the copy in ``place``, and no notebook of the learner's. The
    # folder's name is the notebook's language.
    copy = place / notebooks.language_folder(path) / path.name
    own = {state.FOLDER_VARIABLE: str(place), notebooks.SESSION: str(copy)}
    with open(place / "kernel.log", "wb") as log:  # what a kernel says beside its cells
        ended = kernel.execute(notebook, str(place), {**os.environ, **own}, tell, log)
    return ended or said_by(notebook)


def said_by(notebook: Any) -> str:
    """What the check cell of an executed notebook shows, as text; a sentence where it has none."""
    for cell in reversed(notebook.cells):
        if cell.cell_type != "code" or "check(" not in cell.source:
            continue
        for output in reversed(cell.outputs):
            text = output.get("data", {}).get("text/plain")
            if text:
                return str(text)
    return "No check cell said anything. Reset the notebook: goemo learn --reset NN"
