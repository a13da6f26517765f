"""Commands in turn, each in a new process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SHARE = 0.9
"""The part of the rounds' own ratios that an interval holds."""


@dataclass
class Times:
    """Seconds of each run of a command, and the largest memory of any of its processes in MiB."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Command:
    """What is run: words, and what its environment has beside ours."""

    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    codes: tuple[int, ...] = (0,)


def in_tree(tree: str, *words: str, python: str) -> Command:
    """A command of the goemo in ``tree``, whatever is installed."""
    return Command([python, "-m", "goemo_utils.cli", *words], {"PYTHONPATH": tree}, tree)


def start(command: Command) -> subprocess.Popen[bytes]:
    """``command`` in a process of its own, unheard."""
    return subprocess.Popen(
        command.words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **command.environment},
        cwd=command.folder,
    )


def run(command: Command, times: Times) -> None:
    """Run ``command`` once; raises where it ends with another code."""
    started = time.perf_counter()
    child = start(command)
    _, status, used = os.wait4(child.pid, 0)
    times.wall.append(time.perf_counter() - started)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in command.codes:
        raise SystemExit(f"{' '.join(command.words)} ended with {child.returncode}")

    times.processor.append(used.ru_utime + used.ru_stime)
    times.memory.append(used.ru_maxrss / 1024)


def in_turn(commands: Mapping[str, Command], rounds: int) -> dict[str, Times]:
    """``rounds`` runs of each command, forwards and backwards, after one that is not counted."""
    for command in commands.values():  # files come into the page cache, byte code onto disk
        run(command, Times())

    measured = {name: Times() for name in commands}
    for number in range(rounds):
        names = list(commands)
        for name in names if number % 2 else reversed(names):
            run(commands[name], measured[name])
    return measured


def ratio(these: Sequence[float], those: Sequence[float]) -> str:
    """Ratio of medians, and the interval of the middle 90 % of the rounds' own ratios."""
    rounds = sorted(a / b for a, b in zip(these, those, strict=True))
    cut = int((1 - SHARE) / 2 * len(rounds))
    middle = statistics.median(these) / statistics.median(those)
    return f"{middle:.3f} ({rounds[cut]:.3f} to {rounds[-1 - cut]:.3f})"


def show(measured: Mapping[str, Times], baseline: str) -> None:
    """A line a command: medians, and the ratios to ``baseline``."""
    base, load = measured[baseline], os.getloadavg()[1]
    rounds = len(base.wall)
    print(f"{rounds} rounds, {os.cpu_count()} cores, load {load:.1f}; medians in seconds")
    for name, times in measured.items():
        print(
            f"{name:22s} wall {statistics.median(times.wall):6.2f}"
            f"  processor {statistics.median(times.processor):6.2f}"
            f"  memory {statistics.median(times.memory):5.0f} MiB"
            f"  wall / {baseline} {ratio(times.wall, base.wall)}"
            f"  processor / {baseline} {ratio(times.processor, base.processor)}"
        )
