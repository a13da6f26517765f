"""What the fault campaign does to runs, and what it looks for afterwards.

Every run is a process of its own, with its own folder for temporary files and a mark in its
environment, which all of its children inherit: so none is lost from sight.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goemo_utils.boundary.parts import LOCK
from goemo_utils.errors import GoemoError
from goemo_utils.forward.pack import read_pack
from goemo_utils.records.manifest import read_manifest
from goemo_utils.records.record import STEPS, read_json, read_record

MARK = "GOEMO_CAMPAIGN"
GRACE = 2.0  # seconds in which everything that a killed run started must be gone
LONGEST = 1800.0
LOOK = 0.02  # seconds between two looks at a run's manifest

# Runs in every Python process of a run before anything else, and counts the moments at which a file
# has been written and not yet been named. At the one that is asked for the process is killed, or
# the disk is full from then on; or the clock is an hour slow once the run is so many seconds old.
INJECTED = """
import fcntl, os, signal, time
kind, nth, counter = os.environ["GOEMO_INJECT"].split(":", 2)

def count():
    with open(counter, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("x")
        file.flush()
        return os.fstat(file.fileno()).st_size

fsync = os.fsync

def written(handle):
    n = count()
    if kind == "kill" and n == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "full" and n >= int(nth):
        raise OSError(28, os.strerror(28))
    return fsync(handle)

if kind in ("kill", "full"):
    os.fsync = written
elif kind == "clock":
    import datetime
    real, clock = datetime.datetime, time.time
    begun = os.stat(counter).st_mtime

    def back():
        return 3600 if clock() - begun > float(nth) else 0

    class SetBack(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) - datetime.timedelta(seconds=back())

    datetime.datetime = SetBack
    time.time = lambda: clock() - back()
"""


@dataclass(frozen=True)
class Place:
    """Where a campaign works: the runs, their temporary files, and what is injected into them.
    ``words`` are what every run is told on its command line, ``environment`` what it finds.
    """

    root: Path
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.root / "runs"

    @property
    def temporary(self) -> Path:
        """The folder of their temporary files."""
        return self.root / "tmp"


@dataclass(frozen=True)
class Moment:
    """A moment of a run: the step it is at ("" before the first), and seconds since that began."""

    step: str
    seconds: float


@dataclass(frozen=True)
class Course:
    """When an undisturbed run came to each step, in seconds after its start, and when it ended."""

    began: Mapping[str, float]
    seconds: float

    def at(self, share: float) -> Moment:
        """The moment after a share of the whole run."""
        after = share * self.seconds
        step = max(
            (name for name, start in self.began.items() if start <= after),
            key=lambda name: self.began[name],
            default="",
        )
        return Moment(step, after - self.began.get(step, 0.0))


@dataclass
class Trial:
    """One fault: what was done, and what was found after it. ``same`` says whether the run ended
    like one that nobody disturbed, once it was allowed to. ``share`` is the place of a signal in a
    whole run; ``course`` and ``ended`` are those of the run that nobody disturbed.
    """

    fault: str
    where: str
    exit_code: int | None
    torn: list[str] = field(default_factory=list)
    orphans: int = 0
    litter: int = 0
    same: bool = False
    said: str = ""
    share: float | None = None
    course: Course | None = None
    ended: list[Any] | None = None


def start(
    place: Place, name: str, inject: str | None = None, words: Iterable[str] = ()
) -> subprocess.Popen[str]:
    """Start ``goemo run`` as the run ``name``; ``inject`` is a fault of ``INJECTED``."""
    for folder in (place.runs, place.temporary):
        folder.mkdir(parents=True, exist_ok=True)

    environment = {
        **os.environ,
        **place.environment,
        MARK: place.mark,
        "TMPDIR": str(place.temporary),
        "OMP_NUM_THREADS": "1",
    }
    if inject:
        environment |= _injected(place, inject)

    given = ["-p", "output_root", str(place.runs), "-p", "run_id", name]

    return subprocess.Popen(
        [sys.executable, "-m", "goemo_utils.cli", "run", *place.words, *given, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env=environment,
        text=True,
        start_new_session=True,
    )


def _injected(place: Place, inject: str) -> dict[str, str]:
    """The environment of a run into which a fault is injected, its counter set to nothing."""
    folder = place.root / "injected"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(INJECTED, encoding="utf-8")
    counter = place.root / f"counter-{secrets.token_hex(4)}"
    counter.touch()
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {"GOEMO_INJECT": f"{inject}:{counter}", "PYTHONPATH": path}


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let a run end; its exit code and what it printed."""
    said, _ = process.communicate(timeout=LONGEST)
    return process.returncode, said


def watched(place: Place, name: str) -> tuple[int, str, Course]:
    """A run that nobody disturbs: its exit code, what it printed, and its course."""
    start_of_run = time.monotonic()
    process, began = start(place, name), dict[str, float]()
    while process.poll() is None:
        step = running_step(place.runs / name)
        if step in STEPS:
            began.setdefault(step, time.monotonic() - start_of_run)
        time.sleep(LOOK)
    seconds = time.monotonic() - start_of_run
    return *finish(process), Course(began, seconds)


def reach(process: subprocess.Popen[str], folder: Path, moment: Moment) -> bool:
    """Wait until a run that was just started has come to a moment, or past it; False when it ended
    before. What an earlier start of the run left in its manifest does not count.
    """
    earlier = _stamp(folder)
    while process.poll() is None:
        now_at = running_step(folder) if _stamp(folder) != earlier else "the start"
        if not moment.step or _place(now_at) >= _place(moment.step):
            try:
                process.wait(moment.seconds)
            except subprocess.TimeoutExpired:
                return True
        time.sleep(LOOK)
    return False


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What tells a manifest from the one that replaces it."""
    try:
        facts = (folder / "manifest.json").stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _place(step: str) -> int:
    """How far a run is by the step that ``running_step`` names."""
    if step in STEPS:
        return STEPS.index(step)
    return len(STEPS) if step == "the end" else -1


def family(place: Place, but: Iterable[int] = ()) -> list[int]:
    """The living processes of this campaign's runs, by the mark that they inherited."""
    found = []
    wanted = f"{MARK}={place.mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = wanted in (entry / "environ").read_bytes()
            state = (entry / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if marked and state not in "ZX" and int(entry.name) not in but:
            found.append(int(entry.name))
    return sorted(found)


def orphans(place: Place) -> int:
    """How many processes of runs that were killed are alive when the grace is over."""
    end = time.monotonic() + GRACE
    while family(place) and time.monotonic() < end:
        time.sleep(0.05)
    return len(family(place))


def end_all(place: Place) -> None:
    """Kill what is left of the campaign's runs."""
    for pid in family(place):
        os.kill(pid, signal.SIGKILL)


def litter(place: Place) -> list[str]:
    """What lies among the temporary files and unfinished in the runs and is nobody's."""
    left = []
    if place.temporary.is_dir():
        left = [path.name for path in place.temporary.iterdir() if not _held(path / LOCK)]
    parts = [path for path in place.runs.rglob(".*.part") if not _held(path)]
    return left + [path.name for path in parts]


def _held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def torn(folder: Path) -> list[str]:
    """The files of a run that are neither absent nor whole."""
    found = []
    checks: list[tuple[Path, Callable[[Path], Any]]] = []
    checks += [(folder / "manifest.json", lambda path: read_manifest(path.parent))]
    checks += [(folder / f"{step}.json", read_record) for step in STEPS]
    checks += [(folder / f"{step}.ipynb", read_json) for step in STEPS]
    checks += [(folder / "summary.json", read_json)]
    checks += [(path, read_pack) for path in folder.glob("packs/*.json") if ".job" not in path.name]
    for path, read in checks:
        try:
            if path.is_file():
                read(path)
        except GoemoError:
            found.append(path.name)

    report = folder / "report.html"
    if report.is_file() and not report.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        found.append(report.name)
    return found


def verdict(folder: Path) -> list[Any]:
    """How a run ended: the verdict of its summary and the result of each gate; without a summary,
    the states of its steps.
    """
    if (folder / "summary.json").is_file():
        summary = read_json(folder / "summary.json")
        return [summary["verdict"], *([gate["id"], gate["result"]] for gate in summary["gates"])]
    records = [folder / f"{step}.json" for step in STEPS]
    return [read_record(path).status for path in records if path.is_file()]


def running_step(folder: Path) -> str:
    """The step that a run says it is at; "the start" before the first, "the end" after the last."""
    try:
        steps = read_manifest(folder)["steps"]
    except GoemoError:
        return "the start"
    states: dict[str, str] = {step["step"]: step["status"] for step in steps}
    begun = [step for step, status in states.items() if status != "not-run"]
    if not begun:
        return "the start"
    is_over = len(begun) == len(states) and states[begun[-1]] != "running"
    return "the end" if is_over else begun[-1]
