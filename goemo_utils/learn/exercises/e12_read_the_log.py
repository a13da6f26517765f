"""Exercise 12: logs of services that stopped, in the messages of a real card; the line that tells
why, the process that failed first and what is to be done are asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import speech
from goemo_utils.learn.exercise import Answers, Exercise, Point, point
from goemo_utils.learn.logs import Log, drawn

NAMES = ("first", "second", "third", "fourth")
ACTIONS: dict[str, str] = {
    "card_taken": "find who holds the card, or take another one",
    "disk": "make room on the disk that holds the caches",
    "driver": "install driver and firmware of one release",
    "dtype": "give the operator a data type that it takes",
    "host_memory": "give the process more of the machine's own memory, or load less into it",
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
    return Material(texts, {word: speech.say(meaning) for word, meaning in ACTIONS.items()})


def logs(seed: int) -> dict[str, Log]:
    """The four logs of a seed, with what each line is."""
    return dict(zip(NAMES, drawn(seed, len(NAMES)), strict=True))


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each log."""
    return [
        point(name, partial(_mistake, answers[name], log), MEANING[log.case], redraws=True)
        for name, log in logs(seed).items()
    ]


MEANING = {
    "older": (
        "the older failure was over before this service began; the doctor, who reads no clock, may"
        " put it first."
    ),
    "neighbour": "the other failure is another program's: its process number says so.",
    "retried": "what a second try answers stops nothing, however alarming its sentence.",
    "restart": "a process that was started after the stop cannot have caused it.",
    "unknown": "the doctor does not know that line; all that it knows here came of it.",
    "plain": "here the doctor is right: one failure, and its consequences above and below it.",
}
"""What a log shows, by what stands beside its failure."""


def _mistake(answer: Any, log: Log) -> str | None:
    """What is wrong with the line, the process number and the word for a log."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 3:
        raise ParamsError(
            "three things were expected: the number of a line, a process number, and a word."
        )

    line, pid, action = answer
    if isinstance(line, bool) or not isinstance(line, int) or not 1 <= line <= len(log.lines):
        raise ParamsError(f"a line from 1 to {len(log.lines)} was expected.")
    if isinstance(pid, bool) or not isinstance(pid, int):
        raise ParamsError("the number of a process was expected behind the line.")
    if not isinstance(action, str) or action not in ACTIONS:
        raise ParamsError("the word is none of the actions.")

    if line != log.root:
        return _about_line(log, line)
    if action not in _remedies(log):
        return "the line is right. Would that remove what this very line says?"
    if pid != log.pid:
        return (
            "line and word are right, and it was another process that failed first: the number in"
            " brackets above such a line, or in it, says whose it is; a helper has its own."
        )
    return None


def _remedies(log: Log) -> set[str]:
    """The words that are right: the doctor gives a missing kernel two causes."""
    return {"ops_package", "dtype"} if log.action == "ops_package" else {log.action}


def _about_line(log: Log, line: int) -> str:
    """What the chosen line is, where it is not the cause."""
    kind = log.lines[line - 1].kind
    if abs(line - log.root) == 1 and kind in ("calm", "frame"):
        return "close: lines count from 1, and the line itself is asked that says what went wrong."
    return KINDS[kind]


KINDS = {
    "after": (
        "that line is a consequence: it tells that something failed, or who noticed, and not why."
        " Look for what happened before it, by the clock and not by the place in the file."
    ),
    "last": (
        "torch_npu ends every failure with such an ERR line, whatever it was. It names the part"
        " that noticed, never the cause."
    ),
    "mild": "that warning stands in the logs of healthy runs too.",
    "frame": (
        "that is where Python noticed. Launches are asynchronous and processes many, so this line"
        " of code may have nothing to do with it."
    ),
    "calm": "nothing is wrong in that line.",
    "older": (
        "that failure was over: what was started after it, and what was answered by what was"
        " started? The service stopped once more, later."
    ),
    "neighbour": (
        "whose line is that? The supervisor says which program has which process number, and only"
        " one of them is the service."
    ),
    "retried": "the same process answered that very request later, and many after it.",
    "restart": (
        "that process was started after the service had stopped answering. What it met is a second"
        " trouble, and not why the first one stopped."
    ),
}
"""What a line is that is not the cause."""


EXERCISE = Exercise(
    number="12",
    name="read_the_log",
    title="Read the log",
    teaches="the root before the consequence",
    minutes=30,
    answers={
        "first": "the line of the cause, from 1, the process that failed first, and what to do",
        "second": "as first",
        "third": "as first",
        "fourth": "as first",
    },
    hints=(
        "Strike out what says nothing: ERR lines (they close every failure), warnings of healthy"
        " runs, helpers whose parent disappeared, and Python's frames. Of what is left, ask of each"
        " line: whose is it, when was it, and what did the service still do afterwards?",
        "Make yourself a table of moments: what the supervisor started, what was answered last, and"
        " each failure with its process number. The stop is the first failure of the service's own"
        " processes after its last answer. Lines of several processes reach one file in any order.",
        "A code in brackets or in front (EL0004, EZ9999, 507015) tells the part of CANN that"
        " speaks: a sentence from below the surface goes before the number that came up. The doctor"
        " puts the finding nearest the root first, over the whole text: cut the text to the right"
        " process and moment, and ask it again. Plain Linux errors it does not know.",
    ),
    judge=judge,
    material=material,
    in_a_row=2,
)
