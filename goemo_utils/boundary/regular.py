"""Regular files only: a named pipe, a socket or a device under a file's name would hang or flood
whoever opens it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class NotRegular(OSError):
    """A path is there and is no regular file; ``strerror`` says what it is instead."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def what_is(path: Path | str) -> str:
    """What lies at a path: "a regular file", "a folder", "a named pipe", "a socket", "a device",
    "a link to nothing", or "nothing".
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else "nothing"
    return _kind(mode)


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file for reading bytes, never waiting for anybody to write to it.

    Raises NotRegular, an OSError with the path and what lies there, or the OSError of the system.
    """
    if (lies := what_is(path)) not in ("a regular file", "nothing"):
        raise _refusal(path, lies)

    # The path may have been exchanged since: what was opened is asked again.
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    lies = _kind(os.fstat(handle).st_mode)
    if lies != "a regular file":
        os.close(handle)
        raise _refusal(path, lies)
    return os.fdopen(handle, "rb")


def read_regular(path: Path | str, limit: int | None = None) -> bytes:
    """The bytes of a file, at most ``limit`` of them. Raises as ``open_regular``."""
    with open_regular(path) as file:
        return file.read() if limit is None else file.read(limit)


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "a regular file")


def _refusal(path: Path | str, lies: str) -> NotRegular:
    return NotRegular(0, f"it is {lies}, expected a regular file", str(path))
