"""Runs a learner's notebook without a browser and judges it: what ``goemo learn --check`` does."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.errors import RecordError, first_line
from goemo_utils.learn import notebooks, state
from goemo_utils.learn.exercise import Exercise

SECONDS = 1800  # a cell: exercise 13's runs the whole chain, on a busy machine too


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


def judge_notebook(exercise: Exercise, path: Path) -> Outcome:
    """Run all cells of a notebook in a kernel of its own and take what its check said.

    The learner's seed counts, so that what is hidden is what the learner saw; what was solved
    before does not. The learner's progress takes the try, and what was drawn anew after a wrong
    answer, as it does in JupyterLab. Raises RecordError where the notebook cannot be read.
    """
    kept = state.read()
    done = kept.of(exercise.number)
    alone = state.State(seed=kept.seed, exercises={exercise.number: state.Done(draw=done.draw)})

    with tempfile.TemporaryDirectory(prefix="goemo-learn-") as temporary:
        place = Path(temporary)
        state.write(alone, place)
        said = _run(path, place)
        after = state.read(place).of(exercise.number)

    done.tries += after.tries
    done.draw = max(done.draw, after.draw)
    solved = after.solved is not None
    if solved:
        kept.solve(exercise.number)
    state.write(kept)
    return Outcome(exercise, path, solved, said)


def _run(path: Path, place: Path) -> str:
    """Execute a notebook with its progress in ``place``; what its last check said, or the error
    that stopped it.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # untyped
    except Exception as error:
        raise RecordError(
            f"{path} is not a readable notebook ({first_line(error)}); expected the notebook of an"
            " exercise. Reset it: goemo learn --reset NN"
        ) from None

    client = NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": place}})
    # A reset left in a cell reaches the copy in ``place``, and no notebook of the learner's. The
    # folder's name is the notebook's language.
    copy = place / notebooks.language_folder(path) / path.name
    own = {state.FOLDER_VARIABLE: str(place), notebooks.SESSION: str(copy)}
    try:
        with open(place / "kernel.log", "wb") as log:  # what a kernel says beside its cells
            client.execute(env={**os.environ, **own}, stdout=log, stderr=log)
    except CellExecutionError as error:
        return f"The notebook stopped: {error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        return f"The notebook stopped: {first_line(error)}"
    return said_by(notebook)


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
