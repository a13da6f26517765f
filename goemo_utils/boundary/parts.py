"""Files and folders on their way: unfinished files beside their target, and scratch folders.

Each is locked as long as its process lives. So whoever comes later can tell what a killed process
left from what a living one still writes, and clears only the former.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".goemo-lock"
_SCRATCH = re.compile(r"goemo-(?:[a-z]+-)?[a-z0-9_]{8}")
_CONNECTION = re.compile(r"tmp[a-z0-9_]{8}\.json")
_LONGEST = 100


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new file beside ``target`` that takes its name in one move when the block ends well.

    A kill at any moment leaves the old file or the new one under that name, never a part. Its name
    cannot be foreseen, and it is created, never opened through a link.
    """
    handle, name = _locked_file(target)

    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _umask() -> int:
    """The permissions that this user withholds from new files; only setting it reads it."""
    withheld = os.umask(0o077)
    os.umask(withheld)
    return withheld


def _locked_file(target: Path) -> tuple[int, str]:
    """A new unfinished file of ``target``: its handle, which holds its lock, and its path."""
    prefix = f".{target.name[:_LONGEST]}."
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=".part")
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Somebody who was clearing may have met it between its making and its locking.
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def clear_parts(folder: Path, of: str | None = None) -> None:
    """Remove what killed processes left unfinished in ``folder``: files ``.NAME.*.part`` that
    nobody holds, of one target or of any.
    """
    pattern = re.compile(
        rf"\.{re.escape(of[:_LONGEST]) if of else '.+'}\.[a-z0-9_]{{8}}\.part", re.DOTALL
    )
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if pattern.fullmatch(entry.name):
                _clear_file(Path(entry.path))


def _clear_file(path: Path) -> None:
    with suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            with _abandoned(path / LOCK) as abandoned:
                if abandoned:
                    shutil.rmtree(path, ignore_errors=True)
            return
        with _abandoned(path) as abandoned:
            if abandoned:
                path.unlink()


@contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Whether a regular file of ours is there and no process holds its lock; ours in the block."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        facts = os.fstat(handle)
        ours = facts.st_uid == os.getuid() and stat.S_ISREG(facts.st_mode)
        yield ours and _take(handle)
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Scratch:
    """A folder for this process alone, removed by ``close``, and cleared by the next process that
    makes one when this process was killed.
    """

    def __init__(
        self, prefix: str = "goemo-", parent: Path | None = None, suffix: str = ""
    ) -> None:
        if parent is None:
            clear_scratch()
        self.path = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=parent))
        # It gets its name when it is locked: whoever clears meets either none or a held one.
        self._handle, name = _locked_file(self.path / LOCK)
        os.rename(name, self.path / LOCK)

    def release(self) -> Path:
        """Take the lock's file out of the folder, which is now any folder; returns it."""
        (self.path / LOCK).unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1
        return self.path

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@contextmanager
def scratch(prefix: str = "goemo-") -> Iterator[Path]:
    """A scratch folder until the block ends."""
    folder = Scratch(prefix)
    try:
        yield folder.path
    finally:
        folder.close()


def clear_scratch() -> None:
    """Remove the scratch folders that killed processes of this user left among the temporary files.

    A folder counts as one by its name and by the lock in it that nobody holds; or, as earlier
    versions left them, by holding nothing but the socket of a server that is gone, or the files of
    kernels that began after their run was killed.
    """
    with suppress(OSError):
        for entry in list(os.scandir(tempfile.gettempdir())):
            if not _SCRATCH.fullmatch(entry.name):
                continue
            _clear_file(Path(entry.path))
            with suppress(OSError):
                if _old_server(entry.path) or _late_kernel(entry.path):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _late_kernel(folder: str) -> bool:
    """Whether a folder without a lock holds nothing but connection files of kernels."""
    facts = os.lstat(folder)
    ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    names = os.listdir(folder) if ours else []
    return bool(names) and all(_CONNECTION.fullmatch(name) for name in names)


def _old_server(folder: str) -> bool:
    """Whether a folder holds only the socket of a fork server that answers no more."""
    import socket

    facts = os.lstat(folder)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
        return False
    names = os.listdir(folder)
    address = os.path.join(folder, "worker")
    if names != ["worker"] or not stat.S_ISSOCK(os.lstat(address).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        try:
            asker.connect(address)
        except ConnectionRefusedError:
            return True
    return False
