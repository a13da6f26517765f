"""The five words of an exercise's notebook: ``check``, ``hint``, ``progress``, ``reset`` and
``material``.
"""

from __future__ import annotations

import warnings
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import notebooks, state
from goemo_utils.learn.catalogue import catalogue, exercise_of
from goemo_utils.learn.exercise import Exercise, Point, is_empty
from goemo_utils.learn.progress_table import Progress, Row
from goemo_utils.learn.speech import say
from goemo_utils.learn.verdict import Verdict

TO_FILL = "not filled in yet. Fill its cell, marked “your turn”, run it, and check again."
DRAWN_ANEW = (
    "What was hidden has been drawn anew, so that trying the answers one by one does not help:"
    " run the notebook again from material(…) on."
)


def check(number: Any, **answers: Any) -> Verdict:
    """Judge the answers to an exercise, keep the progress, and say what is right and what is not.

    What is still empty is told so, and the rest is judged. Raises ParamsError for an unknown
    exercise or a keyword that it does not ask for.
    """
    exercise = exercise_of(number)
    _check_keywords(exercise, answers)
    given = {name: answers.get(name) for name in exercise.answers}
    empty = {name for name, answer in given.items() if is_empty(answer)}
    if len(empty) == len(given):
        return Verdict(exercise, tuple(Point(name, False, TO_FILL) for name in given))

    kept = state.read()
    judged = exercise.judge(given, kept.seed_of(exercise.number))
    points = tuple(
        Point(point.asked, False, TO_FILL) if point.asked in empty else point for point in judged
    )
    return _kept(exercise, points, kept)


def _kept(exercise: Exercise, points: tuple[Point, ...], kept: state.State) -> Verdict:
    """The verdict of a try, noted in the learner's progress."""
    verdict = Verdict(exercise, points)
    done = kept.of(exercise.number)
    done.tries += 1
    if verdict.solved:
        kept.solve(exercise.number)
    if any(point.redraws and not point.right for point in points):
        done.draw += 1
        verdict = Verdict(exercise, points, DRAWN_ANEW)
    state.write(kept)
    return verdict


def _check_keywords(exercise: Exercise, answers: dict[str, Any]) -> None:
    unknown = sorted(set(answers) - set(exercise.answers))
    if unknown:
        raise ParamsError(
            f"check({exercise.number!r}) was given {unknown[0]}; expected"
            f" {', '.join(exercise.answers)}. Use the names of the check cell."
        )


def hint(number: Any) -> str:
    """Open one more of an exercise's three hints, and give all that are open."""
    exercise = exercise_of(number)
    kept = state.read()
    done = kept.of(exercise.number)
    done.hints = min(done.hints + 1, len(exercise.hints))
    state.write(kept)

    shown = notebooks.hints(exercise)[: done.hints]
    lines = [f"{say(f'Hint {place} of 3')}: {text}" for place, text in enumerate(shown, 1)]
    return _Text("\n".join(lines))


class _Text(str):
    """A text that a notebook shows as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def progress() -> Progress:
    """The exercises, what each teaches, and how far this learner has come; each is a link to the
    learner's own copy, made where there is none yet.
    """
    chinese = notebooks.speaks_chinese()
    copies = [notebooks.started(exercise, chinese) for exercise in catalogue().values()]
    return Progress(rows(), copies)


def rows() -> list[Row]:
    """A row for each exercise, as ``goemo learn`` lists them."""
    kept = state.read()
    return [_row(exercise, kept.of(number)) for number, exercise in catalogue().items()]


def _row(exercise: Exercise, done: state.Done) -> Row:
    return Row(
        exercise=exercise.number,
        title=exercise.title,
        teaches=exercise.teaches,
        minutes=exercise.minutes,
        tries=done.tries,
        hints=done.hints,
        solved=done.solved,
    )


def reset(number: Any) -> str:
    """Restore an exercise's notebook from the package's own and forget its progress; its hidden
    part is drawn anew.
    """
    exercise = exercise_of(number)
    path = notebooks.restore(exercise)

    kept = state.read()
    done = kept.of(exercise.number)
    kept.exercises[exercise.number] = state.Done(draw=done.draw + 1)
    state.write(kept)
    return _Text(
        say(f"{path.name} is as it was at first. In Lab: File, then Reload Notebook from Disk.")
    )


def seed_of(number: Any) -> int:
    """This learner's seed for an exercise, as its hidden part is drawn now."""
    exercise = exercise_of(number)
    return state.read().seed_of(exercise.number)


def material(number: Any) -> Any:
    """What an exercise gives to work on, drawn by the learner's seed.

    Raises ParamsError where it gives nothing.
    """
    exercise = exercise_of(number)
    if exercise.material is None:
        raise ParamsError(
            f"Exercise {exercise.number} hides nothing, so it has no material; expected an exercise"
            " whose notebook calls material. Go on without it."
        )
    # Loading a model shows no bar here, so that widgets are absent does not matter.
    warnings.filterwarnings("ignore", message="IProgress not found")
    return exercise.material(seed_of(number))
