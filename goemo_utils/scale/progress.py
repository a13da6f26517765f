"""How far the workers are: rows, rate, time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 2.0  # seconds between two looks on a terminal
LOGGED = 30.0  # seconds between two lines in a log


@contextmanager
def shown(committed: Callable[[], int], total: int) -> Iterator[None]:
    """Tell on standard error how far it is, while the block runs: over one line on a terminal, a
    line every half a minute in a log.
    """
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(committed, total, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(EVERY)


def line(done: int, before: int, total: int, seconds: float) -> str:
    """Rows so far, the rate of those behind ``before``, and the time that the rest takes at it."""
    rate = (done - before) / seconds if seconds > 0 else 0.0
    if rate <= 0:
        return f"{done:,} of {total:,} texts"
    return f"{done:,} of {total:,} texts, {rate:,.0f} a second, {_left((total - done) / rate)} left"


def _watch(committed: Callable[[], int], total: int, stop: threading.Event) -> None:
    terminal = sys.stderr.isatty()
    began, before, last = time.monotonic(), committed(), 0.0
    while not stop.wait(EVERY if terminal else LOGGED):
        try:
            done = committed()
        except OSError:
            continue  # a file that a worker was just moving
        now = time.monotonic() - began
        text = line(done, before, total, now)
        print(text, end="\r" if terminal else "\n", file=sys.stderr, flush=True)
        last = now
    if terminal and last:
        print(file=sys.stderr)


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
