"""Ending on request: Ctrl-C, a scheduler's SIGTERM and a closed terminal's SIGHUP are one thing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
INTERRUPTED = 3
_PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal that this process gets when its parent ends
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: children whose parent ends become this process's
_WORDS = {"SIGINT": "It was interrupted from the keyboard."}
_received: list[int] = []


class Ended(KeyboardInterrupt):
    """A signal asked the program to end. It is a KeyboardInterrupt, so that whoever cleans up after
    Ctrl-C cleans up after this.
    """


def how_ended() -> str | None:
    """How the program was asked to end, in a sentence; None when nobody asked."""
    if not _received:
        return None
    name = signal.Signals(_received[0]).name
    return _WORDS.get(name, f"It was ended by {name}.")


def forget() -> None:
    """Forget signals of an earlier command in the same process."""
    _received.clear()


@contextmanager
def at_once() -> Iterator[None]:
    """While a command is still importing and has begun nothing: a signal ends the process cleanly.

    An exception would not: raised inside an import, it can come out as any other.
    """
    with _handled(_leave):
        yield


@contextmanager
def as_interrupt() -> Iterator[None]:
    """While a command works: the first signal raises Ended, which records and tidies. Further ones
    are ignored, but Ctrl-C is not: who presses it twice is in a hurry.
    """
    forget()
    with _handled(_interrupt):
        yield


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"goemo: interrupted.\n")
    os._exit(INTERRUPTED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    again = bool(_received)
    _received.append(number)
    if not again or number == signal.SIGINT:
        raise Ended(signal.Signals(number).name)


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """Install a handler for the signals that end; one ignored, as under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    kept = {number: signal.getsignal(number) for number in ENDING}
    taken = [number for number, old in kept.items() if old not in (signal.SIG_IGN, None)]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, kept[number])


def die_with_parent(parent: int) -> None:
    """Let the system end this process when ``parent``, which started it, ends; where the system
    cannot, nothing happens.
    """
    import ctypes

    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before it could be told
        os._exit(1)


def adopt_orphans() -> None:
    """Let the children of children that end become this process's, so that it can wait for them;
    where the system cannot, nothing happens.
    """
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
