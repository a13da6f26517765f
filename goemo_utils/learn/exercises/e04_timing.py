"""Exercise 04: warm-up and synchronisation, and a timing that looks ten times faster."""

from __future__ import annotations

import math
import random
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.exercise import (
    Answers,
    Exercise,
    Point,
    as_number,
    called,
    number_near,
    point,
)
from goemo_utils.learn.hidden import Pace, Queue

WITHIN = 0.03
SHARE = 0.01


def pace_of(seed: int) -> Pace:
    """A batch is launched about ten times as fast as it is computed."""
    draw = random.Random(seed)
    work = draw.uniform(3e-3, 6e-3)
    return Pace(
        launch=work / draw.uniform(7, 16),
        work=work,
        compile=draw.uniform(0.4, 0.9),
        cold=draw.randint(2, 4),
        wait=work * draw.uniform(0.02, 0.45),
    )


def material(seed: int) -> Queue:
    """The learner's own device."""
    return Queue(pace_of(seed))


def _others(seed: int) -> list[Pace]:
    """Other devices: one that compiles longer, one that is launched slower than it computes."""
    draw = random.Random(seed + 1)
    work = draw.uniform(1e-3, 2e-3)
    return [
        pace_of(seed + 1),
        Pace(launch=work / 10, work=work, compile=1.0, cold=10, wait=work / 20),
        Pace(launch=work * 2, work=work, compile=0.5, cold=3, wait=work / 20),
    ]


def enough(pace: Pace) -> int:
    """The fewest calls of a block in which the first launch and the last wait are at most ``SHARE``
    of the work. Launching is faster than working: the block takes one launch, the work, one wait.
    """
    return math.ceil((pace.launch + pace.wait) / (SHARE * pace.work))


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge three numbers of the learner's own device, and a function on other devices."""
    return [
        point(
            "true_ms",
            lambda: _wrong_ms(answers["true_ms"], seed),
            "that is what a batch costs when the device is kept busy.",
            guessable=True,
        ),
        point(
            "times_too_fast",
            lambda: _wrong_times(answers["times_too_fast"], seed),
            "so much faster looked the one who timed how quickly work can be asked for.",
            guessable=True,
        ),
        point(
            "calls",
            lambda: _wrong_calls(answers["calls"], seed),
            "so long a block has to be before its two ends hide behind the work.",
            guessable=True,
        ),
        point(
            "milliseconds",
            lambda: _wrong_function(answers["milliseconds"], seed),
            "warmed up, emptied, timed in one block, emptied again: it holds for other devices"
            " too, and where the host is the slower one.",
        ),
    ]


def _wrong_ms(answer: Any, seed: int) -> str | None:
    answer, pace = as_number(answer), pace_of(seed)
    true = pace.steady * 1e3
    each_waited = (pace.launch + pace.work + pace.wait) * 1e3

    if number_near(answer, true / 1e3, WITHIN):
        return "that is in seconds; milliseconds were asked for."
    if number_near(answer, pace.launch * 1e3, WITHIN):
        return "that is the time to launch a batch: the clock was stopped before the device was."
    if number_near(answer, each_waited, WITHIN):
        return (
            "you waited after every call, so nothing was queued and each call paid for the"
            " launch and the wait. Time a block of calls."
        )
    if answer > true * (1 + WITHIN):
        return "too slow: is the compilation of the first calls, or their backlog, in your time?"
    if not number_near(answer, true, WITHIN):
        return "too fast: some of the work was still in the queue when you read the clock."
    return None


def _wrong_times(answer: Any, seed: int) -> str | None:
    answer, pace = as_number(answer), pace_of(seed)
    times = pace.work / pace.launch
    if number_near(answer, 1 / times, WITHIN * 2):
        return "the other way round: how many times faster did it look than it is?"
    if not number_near(answer, times, WITHIN * 2):
        return (
            "that is not the true time divided by the colleague's. Both are times of one batch,"
            " after a warm-up."
        )
    return None


def _wrong_calls(answer: Any, seed: int) -> str | None:
    pace = pace_of(seed)
    right = enough(pace)
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise ParamsError("a whole number of calls was expected.")
    if abs(answer - right) <= 1:
        return None

    if answer < right:
        return f"in a block of {answer} calls the two ends still add more than 1 % to the work."
    return f"in a block of {answer} calls they add less: fewer calls are enough for 1 %."


def _wrong_function(milliseconds: Any, seed: int) -> str | None:
    for pace in _others(seed):
        queue = Queue(pace)
        answer = called(milliseconds, queue)
        true = pace.steady * 1e3
        if number_near(answer, true / 1e3, WITHIN):
            return "it gives seconds; milliseconds were asked for."
        if not number_near(answer, true, WITHIN):
            off = "more" if answer < true else "less"
            return _diagnosed(queue.events, pace.cold) or f"on another device {off} was true."
    return None


def _diagnosed(events: list[str], cold: int) -> str | None:
    """The mistake that the order of events shows; None where they show none."""
    if events.count("clock") < 2:
        return "the clock was not read twice: use the queue's own clock, not the computer's."

    start = events.index("clock")
    end = len(events) - 1 - events[::-1].index("clock")
    warm_up, timed = events[:start], events[start:end]
    if "run" not in timed:
        return "no call was made between the two readings of the clock."
    if timed[-1] != "synchronize":
        return "the clock was stopped while the device was still at work."
    if warm_up.count("run") < cold:
        return (
            f"this device compiles during its first {cold} calls, and {warm_up.count('run')} were"
            " made before the clock was started."
        )
    if warm_up[-1] != "synchronize":
        return "the clock was started while the device was still busy with the warm-up."
    if timed.count("synchronize") > 1:
        return "it waits after every call, so nothing is ever queued: wait once, at the end."
    return "so few calls were timed that launching the first and waiting at the end count."


EXERCISE = Exercise(
    number="04",
    name="timing",
    title="Warm-up, synchronisation, and ten times too fast",
    teaches="timing a device that works later than it is called",
    minutes=20,
    answers={
        "true_ms": "milliseconds a batch on your device",
        "times_too_fast": "how many times faster the colleague's timing looks",
        "calls": "how many calls a block needs, so that its ends add 1 % at most",
        "milliseconds": "a function of a queue that gives milliseconds a batch",
    },
    hints=(
        "run() returns at once. What did the clock of the colleague measure: the work, or the"
        " asking for it?",
        "Before the clock starts, two things must be over: what happens only in the first calls,"
        " and whatever those calls left in the queue.",
        "Time many calls as one block with one wait at its end, and none in between. A block of n"
        " takes n times the work and two ends, whatever n is: two blocks of different n tell both"
        " apart.",
    ),
    judge=judge,
    material=material,
)
