"""What a machine ran out of, and what helps: a full disk, a quota, memory, open files."""

from __future__ import annotations

import errno
import os
import re

# The numbers of Linux: OSError and the Rust of safetensors name them, torch and the C library say
# them in words.
_KNOWN = (
    (
        rf"\[Errno {errno.ENOSPC}\]|os error {errno.ENOSPC}\b|No space left on device",
        "The disk is full",
        "Free some space, or choose a folder on another disk",
    ),
    (
        rf"\[Errno {errno.EDQUOT}\]|os error {errno.EDQUOT}\b|Disk quota exceeded",
        "The disk quota is used up",
        "Remove files of yours, or choose a folder on another disk",
    ),
    (
        r"MemoryError|[Oo]ut ?[Oo]f ?[Mm]emory|can't allocate memory|Cannot allocate memory"
        rf"|std::bad_alloc|\[Errno {errno.ENOMEM}\]",
        "Memory ran out",
        "Lower batch_size or max_length, or end other programs",
    ),
    (
        rf"\[Errno {errno.EMFILE}\]|Too many open files",
        "Too many files are open",
        "Raise the limit with `ulimit -n`",
    ),
    (
        rf"\[Errno {errno.EROFS}\]|Read-only file system",
        "The file system is read-only",
        "Choose a folder that can be written",
    ),
)
KILLED = "usually for want of memory: lower batch_size or max_length, or end other programs"


def shortage(text: str, where: str | None = None) -> str | None:
    """A sentence on what ran out and what helps, if ``text`` (an error's type and message) tells of
    that; ``where`` is the folder that was written to.
    """
    for pattern, what, remedy in _KNOWN:
        if re.search(pattern, text):
            place = f" ({where})" if where and "disk" in what.lower() else ""
            return f"{what}{place}. {remedy}."
    return None


def of_error(error: BaseException, where: str | None = None) -> str | None:
    """``shortage`` of an exception. An OSError is known by its number, whatever its language."""
    number = error.errno if isinstance(error, OSError) and error.errno else None
    coded = f"[Errno {number}] {os.strerror(number)}" if number else ""
    place = where or getattr(error, "filename", None)
    return shortage(f"{coded} {type(error).__name__}: {error}", str(place) if place else None)
