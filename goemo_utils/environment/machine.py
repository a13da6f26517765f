"""The machine a probe looks at: a root directory, an environment, a command runner. A fixture
replaces any of them to replay a machine.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from goemo_utils.environment.torch_npu import original


@dataclass(frozen=True)
class Output:
    """What a command left. ``rc`` is None when it was not found or ran out of time; a negative
    ``rc`` is the signal that killed it.
    """

    rc: int | None
    out: str = ""
    err: str = ""
    missing: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.rc == 0


Runner = Callable[[Sequence[str], float, Mapping[str, str]], Output]


def run_command(argv: Sequence[str], timeout: float, environ: Mapping[str, str]) -> Output:
    """Run ``argv`` for at most ``timeout`` seconds, in a session of its own so that a hung child is
    killed with all it started.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        return Output(None, err=str(error), missing=True)

    try:
        out, err = process.communicate(timeout=timeout)
        return Output(process.returncode, _text(out), _text(err))
    except subprocess.TimeoutExpired:
        _kill_session(process)
        try:
            out, err = process.communicate(timeout=2)
        except (
            subprocess.TimeoutExpired
        ):  # a process in uninterruptible sleep (a wedged driver call) cannot be reaped; leave it
            out, err = b"", b""
        return Output(None, _text(out), _text(err), timed_out=True)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _groups() -> frozenset[int]:
    return frozenset((*os.getgroups(), os.getegid())) if hasattr(os, "getgroups") else frozenset()


@dataclass(frozen=True)
class Machine:
    """Where probes look. The defaults are this machine; ``root`` prefixes every absolute path that
    a probe opens.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: original(os.environ))
    run: Runner = run_command
    python: str = sys.executable
    sys_path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    cwd: Path = field(default_factory=Path.cwd)
    system: str = field(default_factory=platform.system)
    architecture: str = field(default_factory=platform.machine)
    description: str = field(default_factory=platform.platform)
    python_version: str = field(default_factory=platform.python_version)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    uid: int = field(default_factory=lambda: os.geteuid() if hasattr(os, "geteuid") else 0)
    groups: frozenset[int] = field(default_factory=_groups)

    def path(self, absolute: str | Path) -> Path:
        """The place of an absolute path of this machine, under its root."""
        return self.root / str(absolute).lstrip("/")

    def read(self, absolute: str | Path, limit: int = 1_000_000) -> str | None:
        """The text of a file, or None when it is absent or unreadable."""
        try:
            with open(self.path(absolute), encoding="utf-8", errors="replace") as file:
                return file.read(limit)
        except OSError:
            return None

    def exists(self, absolute: str | Path) -> bool:
        try:
            return self.path(absolute).exists()
        except OSError:
            return False

    def glob(self, absolute_pattern: str) -> list[str]:
        """Absolute paths of this machine that match, sorted."""
        return sorted(
            "/" + str(path.relative_to(self.root))
            for path in self.root.glob(absolute_pattern.lstrip("/"))
        )

    def command(
        self, argv: Sequence[str], timeout: float, extra: Mapping[str, str] | None = None
    ) -> Output:
        return self.run(argv, timeout, {**self.environ, **(extra or {})})
