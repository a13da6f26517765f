"""Exercise 12: logs of failed runs, in the messages of a real card; the line that tells the cause
is asked, and what is to be done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from goemo_utils.learn.exercise import Answers, Exercise, Point, point
from goemo_utils.learn.logs import Log, drawn

NAMES = ("first", "second", "third", "fourth")
ACTIONS: dict[str, str] = {
    "card_taken": "find who holds the card, or take another one",
    "driver": "install driver and firmware of one release",
    "dtype": "give the operator a data type that it takes",
    "memory": "free the card's memory, or send smaller batches",
    "numpy": "install a numpy that this CANN can use",
    "ops_package": "install the ops package of this chip and this CANN",
    "reinstall": "install torch and torch_npu anew, as a pair",
    "set_env": "source CANN's set_env.sh in the process that starts Python",
    "spawn": "start worker processes by spawn",
    "to_device": "move the inputs to the device as well",
    "writable": "start in a folder where this user may write",
}
"""What can be done, by the word for it; more than there are logs."""


@dataclass(frozen=True)
class Material:
    """The logs by their names, and what can be done."""

    logs: dict[str, str]
    actions: dict[str, str]


def material(seed: int) -> Material:
    """Four logs."""
    texts = {name: log.text for name, log in logs(seed).items()}
    return Material(texts, ACTIONS)


def logs(seed: int) -> dict[str, Log]:
    """The four logs of a seed, with what each line is."""
    return dict(zip(NAMES, drawn(seed, len(NAMES)), strict=True))


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each log."""
    meaning = "the cause, and what removes it."
    return [
        point(name, partial(_mistake, answers[name], log), meaning, redraws=True)
        for name, log in logs(seed).items()
    ]


def _mistake(answer: Any, log: Log) -> str | None:
    """What is wrong with the line and the word for a log."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        return "a pair was expected: the number of a line, and a word."

    line, action = answer
    if isinstance(line, bool) or not isinstance(line, int) or not 1 <= line <= len(log.lines):
        return f"a line from 1 to {len(log.lines)} was expected."
    if line not in log.roots:
        return _about_line(log, line)
    if action == log.action:
        return None
    if action not in ACTIONS:
        return "the line is right; the word is none of the actions."
    return "the line is right. Would that remove what this very line says?"


def _about_line(log: Log, line: int) -> str:
    """What the chosen line is, where it is not the cause."""
    near = min(abs(line - root) for root in log.roots)
    if near == 1 and log.kinds[line - 1] in ("calm", "frame"):
        return "close: lines count from 1, and the line itself is asked that says what went wrong."
    return {
        "after": (
            "that line is a consequence: it tells that something failed, or who noticed, and not"
            " why. Look for what happened before it, by the clock and not by the place in the file."
        ),
        "last": (
            "torch_npu ends every failure with such an ERR line, whatever it was. It names the part"
            " that noticed, never the cause."
        ),
        "mild": "that warning stands in the logs of healthy runs too.",
        "frame": (
            "that is where Python noticed. Launches are asynchronous and processes many, so this"
            " line of code may have nothing to do with it."
        ),
        "calm": "nothing is wrong in that line.",
    }[log.kinds[line - 1]]


EXERCISE = Exercise(
    number="12",
    name="read_the_log",
    title="Read the log",
    teaches="the root before the consequence",
    minutes=20,
    answers={
        "first": "the line of the cause, from 1, and what is to be done",
        "second": "as first",
        "third": "as first",
        "fourth": "as first",
    },
    hints=(
        "Strike out what says nothing: ERR lines (they close every failure), warnings of healthy"
        " runs, helpers whose parent disappeared, and Python's frames. What is left is short.",
        "A code in brackets or in front (EL0004, EZ9999, 507015) tells the part of CANN that"
        " speaks: a sentence from below the surface goes before the number that came up. Compare"
        " the clock times and the process numbers: the earliest failure may stand last.",
        "`goemo doctor --explain FILE`, or goemo_utils.environment.explain(text), puts the finding"
        " nearest the root first and quotes its line. Compare it with yours, then look the line's"
        " number up.",
    ),
    judge=judge,
    material=material,
)
