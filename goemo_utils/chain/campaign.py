"""``goemo selftest faults``: kills runs, fills disks, kills workers, starts runs twice and sets the
clock back, and says what stayed behind and whether the runs went on to the same end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from goemo_utils.boundary.parts import scratch
from goemo_utils.chain import faults
from goemo_utils.chain.faults import Course, Place, Trial

PER_RUN = 10  # signals to one run at most, before it may come to its end
QUICKER = 0.7  # by how much waiting is shortened when a run had ended before its moment came
TRIES = 3  # how often a moment is tried that came after a run's end
SHORT = ("-p", "limit", "4")  # texts enough for every step, and as few as leave it its meaning
KINDS = ("kill", "write", "term", "full", "worker", "twice", "clock")
WORDS = {
    "kill": "the run killed at a random moment (SIGKILL)",
    "write": "a process of the run killed in the middle of a write",
    "term": "the run ended by SIGTERM at a random moment",
    "full": "the disk full from a write on",
    "worker": "every worker killed as it comes",
    "twice": "a second run on the same folder meanwhile",
    "clock": "the clock set back by an hour meanwhile",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="goemo selftest faults", description=" ".join((__doc__ or "").split())
    )
    top.add_argument("--kills", type=int, default=6, help="kills at random moments (default 6)")
    top.add_argument("--each", type=int, default=2, help="trials of every other fault (default 2)")
    top.add_argument("--only", choices=KINDS, help="this fault alone")
    top.add_argument("--seed", type=int, default=0, help="seed of the random moments")
    top.add_argument("--output", type=Path, metavar="FILE", help="also write the table there")
    top.add_argument(
        "--trials",
        type=Path,
        metavar="FILE",
        help="also write every trial as JSON; signals that it holds already are not sent again",
    )
    top.add_argument("--most", type=int, metavar="N", help="stop after so many runs of signals")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run the campaign and print its table; 1 when anything was torn, stayed or ended otherwise."""
    options = parser().parse_args(argv)
    trials = _earlier(options.trials)
    with scratch("goemo-faults-") as folder:
        place = Place(folder, SHORT)
        try:
            for trial in campaign(place, options, list(trials)):
                trials.append(trial)
                print(f"  {line(trial)}", flush=True)
                _keep(trial, trials, options.trials, options.output)
        finally:
            faults.end_all(place)

    print(f"\n{table(trials)}\n\n{places(trials)}")
    return 0 if trials and all(good(trial) for trial in trials) else 1


def _keep(trial: Trial, trials: list[Trial], lines: Path | None, page: Path | None) -> None:
    """Write down what is known so far: a campaign of an hour may be cut short."""
    if lines:
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")
    if page:
        page.write_text(f"{table(trials)}\n\n{places(trials)}\n", encoding="utf-8")


def _earlier(lines: Path | None) -> list[Trial]:
    """The trials that a campaign before this one left."""
    if lines is None or not lines.is_file():
        return []
    rows = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    courses = [row.get("course") and Course(**row["course"]) for row in rows]
    return [Trial(**{**row, "course": course}) for row, course in zip(rows, courses, strict=True)]


def campaign(place: Place, options: argparse.Namespace, earlier: list[Trial]) -> Iterator[Trial]:
    """Every trial as it is done: first a run that nobody disturbs, to know its time, its steps and
    its end.
    """
    first = next((trial for trial in earlier if trial.fault == "none"), None)
    if first is None:
        first = _undisturbed(place)
        yield first

    act = Acts(place, first, random.Random(options.seed), options.most)
    act.sent = {trial.share for trial in earlier}
    for kind in KINDS:
        count = options.kills if kind == "kill" else options.each
        if options.only in (None, kind):
            yield from act.of(kind, count)


def _undisturbed(place: Place) -> Trial:
    """A run that nobody disturbs."""
    code, said, course = faults.watched(place, "undisturbed")
    where = f"{course.seconds:.1f} s"
    ended = faults.verdict(place.runs / "undisturbed")
    return Trial(
        "none", where, code, same=code in (0, 1), said=said[-300:], course=course, ended=ended
    )


class Acts:
    """The faults, each a generator of trials. ``undisturbed`` says how such a run ends, and when it
    came to which step; ``most`` is how many runs get signals at most, ``sent`` the shares of a run
    at which they were sent already.
    """

    def __init__(
        self, place: Place, undisturbed: Trial, rng: random.Random, most: int | None = None
    ) -> None:
        self.place, self.rng, self.most = place, rng, most
        self.course = undisturbed.course or Course({}, 0.0)
        self.expected = undisturbed.exit_code, undisturbed.ended
        self.sent: set[float | None] = set()
        self.pace = 1.0
        self._names = (f"r{number}" for number in range(1, 10**6))

    def of(self, kind: str, count: int) -> Iterator[Trial]:
        """``count`` trials of a kind."""
        if kind in ("kill", "term"):
            number = signal.SIGKILL if kind == "kill" else signal.SIGTERM
            yield from self._moments(kind, number, count)
            return

        hour_back = self.course.seconds / 40
        acts: dict[str, Callable[[int], Trial]] = {
            "write": lambda nth: self._injected("write", f"kill:{nth}"),
            "full": lambda nth: self._injected("full", f"full:{nth}"),
            "clock": lambda nth: self._injected("clock", f"clock:{hour_back * nth:.1f}"),
            "worker": lambda nth: self._worker(),
            "twice": lambda nth: self._twice(),
        }
        # Thirty writes and more: the trials are spread over them.
        for index in range(count):
            yield acts[kind](1 + index * 30 // max(count, 1))

    def _moments(self, kind: str, number: int, count: int) -> Iterator[Trial]:
        """Send a signal at random moments that are spread evenly over a whole run, a few to each
        run, and let each run come to its end.
        """
        spread = [(index + self.rng.random()) / max(count, 1) for index in range(count)]
        spread = [share for share in spread if share not in self.sent]
        runs = -(-len(spread) // PER_RUN)
        late: list[float] = []
        for start in range(runs)[: self.most]:
            late += yield from self._one_run(kind, number, spread[start::runs])
        # A run that was faster than the undisturbed one had ended already.
        for _ in range(TRIES):
            if late:
                late = yield from self._one_run(kind, number, late)

    def _one_run(
        self, kind: str, number: int, shares: list[float]
    ) -> Generator[Trial, None, list[float]]:
        """One run with a signal at each share of its course, and then to its end; returns the
        shares that it did not live to see.
        """
        name, hit = next(self._names), []
        late: list[float] = []
        for index, share in enumerate(shares):
            process = faults.start(self.place, name)
            moment = self.course.at(share)
            moment = replace(moment, seconds=moment.seconds * self.pace)
            if not faults.reach(process, self.place.runs / name, moment):
                late, self.pace = shares[index:], self.pace * QUICKER
                break
            where = f"{share:.1%} of a run, in {faults.running_step(self.place.runs / name)}"
            hit.append(self._hit(process, name, kind, number, where))
            hit[-1].share = share
        else:
            process = faults.start(self.place, name)

        ended = self._as_expected(name, *faults.finish(process))
        left = len(faults.litter(self.place))
        for trial in hit:
            trial.same, trial.litter = ended, left
            yield trial
        return late

    def _hit(
        self, process: subprocess.Popen[str], name: str, kind: str, number: int, where: str
    ) -> Trial:
        os.kill(process.pid, number)
        code, said = faults.finish(process)
        trial = Trial(kind, where, code, said=said[-300:])
        trial.orphans = faults.orphans(self.place)
        trial.torn = faults.torn(self.place.runs / name)
        return trial

    def _injected(self, kind: str, inject: str) -> Trial:
        """A run with a fault inside; then the same run without it, unless it has ended well."""
        name = next(self._names)
        code, said = faults.finish(faults.start(self.place, name, inject))
        trial = Trial(kind, inject, code, said=said[-300:])
        trial.orphans = faults.orphans(self.place)
        trial.torn = faults.torn(self.place.runs / name)
        if code not in (0, 1):
            code, said = faults.finish(faults.start(self.place, name))
        trial.same = self._as_expected(name, code, said)
        trial.litter = len(faults.litter(self.place))
        return trial

    def _worker(self) -> Trial:
        """Kill whatever computes, as a machine without memory does: one that was begun early is
        begun again when it is asked for, so one kill alone would stop nothing.
        """
        name = next(self._names)
        process = faults.start(self.place, name)
        killed = 0
        while process.poll() is None:
            for pid in filter(_computes, faults.family(self.place, (process.pid,))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.01)
        code, said = faults.finish(process)

        trial = Trial("worker", f"{killed} killed", code, said=said[-600:])
        trial.orphans = faults.orphans(self.place)
        trial.torn = faults.torn(self.place.runs / name)
        ended = faults.finish(faults.start(self.place, name))
        named = code == 3 and "SIGKILL" in said and "memory" in said
        trial.same = named and self._as_expected(name, *ended)
        trial.litter = len(faults.litter(self.place))
        return trial

    def _twice(self) -> Trial:
        """A second run on the same folder is refused, one beside it is not, and all end well."""
        name, other = next(self._names), next(self._names)
        first, beside = faults.start(self.place, name), faults.start(self.place, other)
        while not (self.place.runs / name / "manifest.json").is_file() and first.poll() is None:
            time.sleep(0.05)
        code, said = faults.finish(faults.start(self.place, name))

        trial = Trial("twice", name, code, said=said[-300:])
        refused = code == 2 and "another process" in said
        ends = [self._as_expected(name, *faults.finish(first))]
        ends.append(self._as_expected(other, *faults.finish(beside)))
        trial.same = refused and all(ends)
        trial.orphans = faults.orphans(self.place)
        trial.torn = faults.torn(self.place.runs / name) + faults.torn(self.place.runs / other)
        trial.litter = len(faults.litter(self.place))
        return trial

    def _as_expected(self, name: str, code: int, said: str) -> bool:
        del said
        return (code, faults.verdict(self.place.runs / name)) == self.expected


def _computes(pid: int) -> bool:
    """Whether a process is a worker: it leads a session of its own, a supervisor, the server and
    its guard are above it, and above them the run. Above a kernel is one server more.
    """
    try:
        above = [pid]
        for _ in range(4):
            above.append(_parent(above[-1]))
        words = [Path(f"/proc/{one}/cmdline").read_bytes() for one in above]
        leads = os.getsid(pid) == pid
    except OSError:
        return False
    ours = [b"goemo_utils.forward.guard" in said for said in words]
    return leads and ours == [True, True, True, True, False]


def _parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(stat.rsplit(")", 1)[1].split()[1])


def good(trial: Trial) -> bool:
    """Whether a fault left nothing torn, nobody alive and no litter, and the run ended alike."""
    return trial.same and not (trial.torn or trial.orphans or trial.litter)


def line(trial: Trial) -> str:
    """A trial in a line, with what was printed where something was wrong."""
    wrong = [f"torn: {', '.join(trial.torn)}"] if trial.torn else []
    wrong += [f"{trial.orphans} orphans"] if trial.orphans else []
    wrong += [f"{trial.litter} left over"] if trial.litter else []
    wrong += [] if trial.same else [f"it ended otherwise: {' '.join(trial.said.split())[-200:]}"]
    return f"{trial.fault:7s} {trial.where}: exit {trial.exit_code}; {'; '.join(wrong) or 'good'}"


def table(trials: list[Trial]) -> str:
    """The campaign as a Markdown table, one row a fault."""
    head = (
        "| fault | trials | exit codes | files torn | alive after 2 s | left over | same end |\n"
        "|---|---|---|---|---|---|---|"
    )
    rows = []
    for kind in KINDS:
        mine = [trial for trial in trials if trial.fault == kind]
        if mine:
            codes = ", ".join(sorted({str(trial.exit_code) for trial in mine}))
            torn, alive = sum(len(t.torn) for t in mine), sum(t.orphans for t in mine)
            left, same = sum(t.litter for t in mine), sum(t.same for t in mine)
            cells = (WORDS[kind], len(mine), codes, torn, alive, left, f"{same} of {len(mine)}")
            rows.append("| " + " | ".join(map(str, cells)) + " |")

    return "\n".join([head, *rows])


def places(trials: list[Trial]) -> str:
    """In which steps the signals met the runs, a line a kind."""
    lines = []
    for kind in ("kill", "term"):
        met = Counter(t.where.partition(", in ")[2] for t in trials if t.fault == kind)
        if met:
            told = ", ".join(f"{step} ({count})" for step, count in sorted(met.items()))
            lines.append(f"{WORDS[kind]}: {told}")
    return "\n".join(lines)
