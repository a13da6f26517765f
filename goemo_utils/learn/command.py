"""The exercises of the course: list them, open one in JupyterLab, check or reset it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError, RecordError
from goemo_utils.learn import course, headless, notebooks
from goemo_utils.learn.catalogue import catalogue, exercise_of
from goemo_utils.learn.exercise import Exercise

EPILOG = """\
Without an exercise: the list, with your progress. With one (goemo learn 04): your own copy, opened
in JupyterLab. --check runs a notebook from top to bottom and judges it.

exit codes: 0 solved, or done as asked; 1 not solved; 2 could not run; 3 stopped from outside
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo learn``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("exercise", nargs="?", metavar="NN", help="the exercise to open, such as 04, or next")
    add(
        "--check",
        metavar="NN",
        help="run your notebook of an exercise without a browser, and judge it; all: each of them",
    )
    add("--reset", metavar="NN", help="put your notebook back as it was, and forget its progress")
    add(
        "--notebook",
        type=Path,
        metavar="PATH",
        help="with --check: the notebook to judge (default: your own copy)",
    )
    add("--chinese", action="store_true", help="open the Chinese notebook")
    add("--path", action="store_true", help="print where the notebook is, and open nothing")
    add("--json", action="store_true", help="print JSON, for a class or a program")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code is 1 where a checked notebook is not solved."""
    asked = [args.exercise, args.check, args.reset]
    if sum(value is not None for value in asked) > 1:
        raise ParamsError(
            "goemo learn was asked to open, check or reset at once; expected one of them. Give one"
            " of NN, --check NN and --reset NN."
        )
    if args.notebook is not None and args.check in (None, "all"):
        raise ParamsError(
            f"--notebook {args.notebook} was given without the exercise that it is of; expected"
            " --check NN beside it. Add it."
        )

    if args.check is not None:
        return _check(args)
    if args.reset is not None:
        return _reset(args)
    if args.exercise is not None:
        return _open(args)
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    rows = course.rows()
    if args.json:
        return _print_json({"exercises": [asdict(row) for row in rows]})

    for row in rows:
        print(f"{row.mark or ' '} {row.exercise}  {row.title} ({row.minutes} min)")
        print(f"      {row.teaches}")
    solved = sum(row.solved is not None for row in rows)
    following = _next()
    then = f" Next: goemo learn {following.number}" if following else ""
    print(f"{solved} of {len(rows)} solved.{then}")
    return 0


def _next() -> Exercise | None:
    """The first exercise that is not solved yet."""
    left = [row.exercise for row in course.rows() if row.solved is None]
    return exercise_of(left[0]) if left else None


def _open(args: argparse.Namespace) -> int:
    first = next(iter(catalogue().values()))
    exercise = (_next() or first) if args.exercise == "next" else exercise_of(args.exercise)
    path = notebooks.started(exercise, args.chinese)
    if args.json:
        return _print_json({"exercise": exercise.number, "notebook": str(path)})

    print(path)
    if args.path or find_spec("jupyterlab") is None:
        return 0
    return subprocess.run([sys.executable, "-m", "jupyterlab", str(path)], check=False).returncode


def _reset(args: argparse.Namespace) -> int:
    exercise = exercise_of(args.reset)
    said = course.reset(exercise.number)
    if args.json:
        path = notebooks.of_learner(exercise)
        return _print_json({"exercise": exercise.number, "notebook": str(path)})
    print(said)
    return 0


def _check(args: argparse.Namespace) -> int:
    """Judge one notebook or all. One that cannot be read is refused alone, and among all counts as
    not solved.
    """
    if args.check == "all":
        outcomes = [_among_all(exercise) for exercise in catalogue().values()]
    else:
        exercise = exercise_of(args.check)
        path = args.notebook or notebooks.of_learner(exercise)
        outcomes = [headless.judge_notebook(exercise, path, _telling(exercise))]

    if args.json:
        _print_json({"exercises": [outcome.row() for outcome in outcomes]})
    else:
        for outcome in outcomes:
            print(f"{outcome.exercise.number} {outcome.exercise.title}")
            print(outcome.said)
    return 0 if all(outcome.solved for outcome in outcomes) else 1


def _telling(exercise: Exercise) -> Callable[[str], None]:
    """Says how far the judging of an exercise is, on standard error: some take minutes."""

    def tell(line: str) -> None:
        print(f"{exercise.number} · {line}", file=sys.stderr, flush=True)

    return tell


def _among_all(exercise: Exercise) -> headless.Outcome:
    path = notebooks.of_learner(exercise)
    try:
        return headless.judge_notebook(exercise, path, _telling(exercise))
    except RecordError as error:
        return headless.Outcome(exercise, path, False, str(error))


def _print_json(value: dict[str, Any]) -> int:
    print(json.dumps(value, ensure_ascii=False, indent=1))
    return 0
