"""What a notebook says while a child process works: what it does, how far it is, how long it takes.

One line that changes in place and is gone at the end, so that an executed page keeps only results.
"""

from __future__ import annotations

import html
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import RecordError
from goemo_utils.records.record import read_record

if TYPE_CHECKING:
    from goemo_utils.records.step import Step

# A line is told at most this often, in seconds: a front end redraws each time.
TELL_SECONDS = 0.3
COUNTED = re.compile(r"(\d[\d,]*) of (\d[\d,]*)")


class Progress:
    """Hears the progress lines of a step's jobs and shows the newest, with the time left.

    The time left comes from the line itself where it counts (``20 of 100 texts``), else from how
    long the step took the last time it ran in this folder; where neither is known, the time spent.
    """

    def __init__(
        self, last_time: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.last_time, self.clock = last_time, clock
        self.began = self.job_began = clock()
        self._told = float("-inf")
        self._shown: Any = None

    @classmethod
    def of(cls, step: Step) -> Progress:
        """The progress of a step whose last record, if there is one, says how long it took."""
        try:
            record = read_record(step.dir / f"{step.name}.json")
        except RecordError:
            return cls()
        return cls(record.seconds if record.status == "ok" else None)

    def job(self) -> Progress:
        """Begin the next job: its counts start anew."""
        self.job_began = self.clock()
        return self

    def __call__(self, line: str) -> None:
        """Hear one line, and tell it when the last telling is old enough."""
        if self.clock() - self._told < TELL_SECONDS:
            return
        self._told = self.clock()
        self._tell(f"{line}, {self.left(line)}")

    def left(self, line: str) -> str:
        """The time left, in words; the time spent where that is all that is known."""
        counted = COUNTED.search(line)
        if counted:
            done, total = (int(number.replace(",", "")) for number in counted.groups())
            spent = self.clock() - self.job_began
            if 0 < done <= total:
                return f"about {duration(spent * (total - done) / done)} left"

        spent = self.clock() - self.began
        if self.last_time is None or spent > self.last_time:
            return f"{duration(spent)} so far"
        return f"about {duration(self.last_time - spent)} left"

    def close(self) -> None:
        """Take the line away."""
        if self._shown is not None:
            self._tell("")

    def _tell(self, words: str) -> None:
        from IPython import get_ipython

        if get_ipython() is None:
            print(f"\r{words}", end="", file=sys.stderr, flush=True)
            return

        from IPython.display import HTML, display

        text = f"<small>{html.escape(words)}</small>" if words else ""
        line = HTML(text)  # type: ignore[no-untyped-call]  # IPython has no types here
        if self._shown is None:
            self._shown = display(line, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(line)


def duration(seconds: float) -> str:
    """Seconds for a reader: ``8 s``, ``2 min 5 s``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
