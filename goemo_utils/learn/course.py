"""The five words of an exercise's notebook: ``check``, ``hint``, ``progress``, ``reset`` and
``material``.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import notebooks, state
from goemo_utils.learn.catalogue import catalogue, exercise_of
from goemo_utils.learn.exercise import Exercise, Point, is_empty, plain
from goemo_utils.learn.progress_table import Progress, Row
from goemo_utils.learn.speech import say
from goemo_utils.learn.verdict import Verdict

TO_FILL = "not filled in yet. Fill its cell, marked “your turn”, run it, and check again."
DRAWN_ANEW = (
    "What was hidden has been drawn anew, so that trying the answers one by one does not help:"
    " run the notebook again from material(…) on."
)
ONCE_MORE = (
    "Once more: the same on another draw, so that luck does not pass. Run the notebook again from"
    " material(…) on."
)


def _pause_after(seconds: float) -> str:
    """What is said after a wrong guess, beside the hints."""
    return (
        f"The next check is judged in {duration(seconds)}: each wrong guess doubles the pause, and"
        " a new kernel or a reset does not end it."
    )


def not_yet(seconds: float) -> str:
    """What is said instead of a judgement while the pause after a wrong guess lasts."""
    return (
        f"The pause after a wrong guess lasts {duration(seconds)} more; nothing was judged, counted"
        " or drawn anew. Look once more at what the hint says of the answer."
    )


def duration(seconds: float) -> str:
    """A time to wait, rounded up: seconds, or minutes from two on."""
    whole = max(math.ceil(seconds), 1)
    return f"{whole} s" if whole < 120 else f"{math.ceil(whole / 60)} min"


def check(number: Any, **answers: Any) -> Verdict:
    """Judge the answers to an exercise, keep the progress, and say what is right and what is not.

    What is still empty is told so, and the rest is judged. Raises ParamsError for an unknown
    exercise or a keyword that it does not ask for.
    """
    exercise = exercise_of(number)
    _check_keywords(exercise, answers)
    given = {name: plain(answers.get(name)) for name in exercise.answers}
    empty = {name for name, answer in given.items() if is_empty(answer)}
    if len(empty) == len(given):
        return Verdict(exercise, tuple(Point(name, False, TO_FILL) for name in given))

    kept = state.read()
    if pause := kept.of(exercise.number).pause:
        return Verdict(exercise, (), (not_yet(pause),))

    judged = exercise.judge(given, kept.seed_of(exercise.number))
    points = tuple(
        Point(point.asked, False, TO_FILL) if point.asked in empty else point for point in judged
    )
    return _kept(exercise, points, kept)


def _kept(exercise: Exercise, points: tuple[Point, ...], kept: state.State) -> Verdict:
    """The verdict of a try, noted in the learner's progress."""
    done = kept.of(exercise.number)
    done.tries += 1
    notes = []
    due = max(exercise.in_a_row - done.row - 1, 0)
    verdict = Verdict(exercise, points, due=due)

    if verdict.solved:
        kept.solve(exercise.number)
    elif verdict.right:
        done.row += 1
        done.draw += 1
        notes.append(ONCE_MORE)

    if any(point.redraws and not point.right for point in points):
        done.draw += 1
        notes.append(DRAWN_ANEW)
    if any(point.missed for point in points):
        done.miss()
        notes.append(_pause_after(done.pause))

    state.write(kept)
    return replace(verdict, notes=tuple(notes))


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
    """Restore an exercise's notebook from the package's own and forget its progress, but no pause
    after a wrong guess; its hidden part is drawn anew.
    """
    exercise = exercise_of(number)
    path = notebooks.restore(exercise)

    kept = state.read()
    done = kept.of(exercise.number)
    kept.exercises[exercise.number] = state.Done(
        draw=done.draw + 1, misses=done.misses, judged_from=done.judged_from
    )
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
