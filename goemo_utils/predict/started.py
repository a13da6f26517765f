"""The folder beside a file of answers in which its rows are kept until it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from goemo_utils.boundary.parts import LOCK
from goemo_utils.boundary.terminal import visible
from goemo_utils.errors import ParamsError

SETTINGS = "settings.json"


class Started:
    """``.NAME.ending`` beside the file of answers ``NAME``, held by one process at a time.

    Raises ParamsError where another process holds it, or where it is no folder of this user.
    """

    def __init__(self, target: Path, ending: str = "started") -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.{ending}")
        self._lock = self._held()

    def close(self, keep: bool) -> None:
        """Let go of the folder; with ``keep`` it stays for another time."""
        if not keep:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def release(self) -> None:
        """Let go of the folder as it is."""
        os.close(self._lock)

    def empty(self) -> None:
        """Remove what an earlier process left in it."""
        for path in self.path.iterdir():
            if path.name == LOCK:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def remember(self, settings: Mapping[str, Any]) -> None:
        """Write down what decides a row."""
        (self.path / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")

    def compare(self, settings: Mapping[str, Any], rows: int) -> None:
        """Raise ParamsError where the kept ``rows`` were made with other settings."""
        before: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            before = json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))

        other = [
            visible(f"{name} {before.get(name)}, now {value}")
            for name, value in json.loads(json.dumps(settings)).items()
            if before.get(name) != value
        ]
        if other:
            raise ParamsError(
                f"--output '{self.target}' was begun with other settings ({'; '.join(other)}), and"
                f" {rows:,} rows of it are kept: expected the same. Give those to go on, or"
                " --from-scratch to begin anew."
            )

    def _held(self) -> int:
        """The handle of the folder's lock. The folder is this user's own, and no link."""
        self.path.mkdir(exist_ok=True)
        facts = self.path.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid():
            raise ParamsError(
                f"'{self.path}' is not a folder of yours: rows of --output are kept there until"
                " it is whole. Remove it, or give another --output."
            )

        handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the folder since it was opened here.
            free = os.fstat(handle).st_nlink > 0
        except OSError:
            free = False
        if not free:
            os.close(handle)
            raise ParamsError(
                f"--output '{self.target}' is being written by another goemo predict: expected one"
                " at a time. Wait until it has ended, or give another name."
            ) from None
        return handle
