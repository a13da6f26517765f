"""Ray with two one-thread workers, and a stream, beside ``goemo predict`` in one process.

    python benchmarks/scale.py --rounds 1 --few 100000 --many 300000
    python benchmarks/scale.py --model base --few 200 --many 600

Each way answers few texts and many, in turns, so that a busy machine slows all of them; the rate
is that of the texts between, (many - few) / (time of many - time of few), in which starting falls
out: by the clock, and by the processor seconds of all processes of the way, which neighbours
disturb less. Memory is the largest of any process that holds a classifier. Ray is left out where it
is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from sample import real_texts

from goemo_utils.throughput.bench import _model as model_of_size
from tests.stream import broker

PARTITIONS, TRIES = 2, 4
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


@dataclass
class Run:
    """One command: seconds by the clock and of its processors, memory in MiB."""

    seconds: float = 0.0
    processor: float = 0.0
    memory: float = 0.0


@dataclass
class Measured:
    """The runs of a way by their number of texts."""

    runs: dict[int, list[Run]] = field(default_factory=dict)

    def rate(self, what: str, few: int, many: int) -> float:
        """Texts a second between few and many, by the medians of ``what``."""
        times = {
            rows: statistics.median(getattr(one, what) for one in runs)
            for rows, runs in self.runs.items()
        }
        return (many - few) / (times[many] - times[few])

    @property
    def memory(self) -> float:
        """The largest memory of all runs."""
        return max(one.memory for runs in self.runs.values() for one in runs)


def predict(texts: Path, model: str, folder: Path) -> list[str]:
    """One process, as many threads as there are cores."""
    return ["predict", "--batch_file", str(texts), "--output", str(folder / "local.parquet")]


def on_ray(texts: Path, model: str, folder: Path) -> list[str]:
    """A worker a core, one thread each."""
    out = ["--output", str(folder / "ray.parquet"), "--from-scratch"]
    return ["predict", "--batch_file", str(texts), *out, "--engine", "ray"]


@contextmanager
def broker_with(texts: dict[int, Path], folder: Path) -> Iterator[str]:
    """A broker that holds a topic for each number of texts."""
    with broker.running(folder / "broker.log") as address:
        for rows, file in texts.items():
            broker.make_topic(address, f"texts-{rows}", PARTITIONS)
            lines = file.read_text(encoding="utf-8").splitlines()
            messages = [(f"user-{i % 50}", line.encode(), i) for i, line in enumerate(lines)]
            broker.send(address, f"texts-{rows}", messages, PARTITIONS)
        yield address


def on_kafka(address: str) -> Callable[[Path, str, Path], list[str]]:
    """A stream, which reads its topic to the end and waits ten seconds for more."""

    def words(texts: Path, model: str, folder: Path) -> list[str]:
        group = f"group-{time.monotonic_ns()}"
        topics = ["--input", texts.stem, "--output", f"{group}-out", "--group", group]
        return ["stream", "--brokers", address, *topics, "--idle", "10s"]

    return words


def run(words: list[str], model: str) -> Run:
    """One command, in a session of its own, by which its processes are known."""
    command = [sys.executable, "-m", "goemo_utils.cli", *words, "--model_path", model]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )
    seen: dict[int, Run] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, seen, stop))
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")

    others = sum(one.processor for pid, one in seen.items() if pid != process.pid)
    memory = max((one.memory for one in seen.values()), default=0.0)
    return Run(seconds, used.ru_utime + used.ru_stime + others, memory)


def patiently(words: list[str], model: str) -> Run:
    """As ``run``; on a busy machine Ray may not start, which is tried again."""
    for _ in range(TRIES - 1):
        with suppress(RuntimeError):
            return run(words, model)
    return run(words, model)


def watch(session: int, seen: dict[int, Run], stop: threading.Event) -> None:
    """What each process of a session has used so far."""
    while not stop.wait(0.25):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError, IndexError, ValueError):
                    look(folder, session, seen)


def look(folder: Path, session: int, seen: dict[int, Run]) -> None:
    """Take down one process, if it belongs to the session. proc(5) has the fields."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    if int(fields[3]) != session:
        return
    ticks = int(fields[11]) + int(fields[12])
    one = seen.setdefault(int(folder.name), Run())
    one.processor = max(one.processor, ticks / os.sysconf("SC_CLK_TCK"))

    words = (folder / "cmdline").read_bytes()
    if int(folder.name) == session or words.startswith(b"ray::MapWorker(MapBatches(W"):
        peaks = re.findall(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
        one.memory = max(one.memory, *(int(peak) / 1024 for peak in peaks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or base: random weights")
    parser.add_argument("--few", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="goemo-scale-") as scratch:
        folder = Path(scratch)
        texts = {rows: folder / f"texts-{rows}.txt" for rows in (args.few, args.many)}
        for rows, file in texts.items():
            lines = [" ".join(text.split()) for text in islice(cycle(real_texts()), rows)]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with model_of_size(args.model) as model, broker_with(texts, folder) as address:
            ways = {"predict": predict, "stream": on_kafka(address)}
            if importlib.util.find_spec("ray"):
                ways["ray"] = on_ray
            show(in_turn(ways, texts, model, folder, args.rounds), args.few, args.many)


def in_turn(
    ways: dict[str, Callable[[Path, str, Path], list[str]]],
    texts: dict[int, Path],
    model: str,
    folder: Path,
    rounds: int,
) -> dict[str, Measured]:
    """Every way on few texts and on many, forwards and backwards."""
    measured = {name: Measured() for name in ways}
    order = [(name, rows) for rows in texts for name in ways]
    for number in range(rounds):
        for name, rows in order if number % 2 == 0 else reversed(order):
            one = patiently(ways[name](texts[rows], model, folder), model)
            measured[name].runs.setdefault(rows, []).append(one)
            print(
                f"{name:8s} {rows:9,} texts {one.seconds:7.1f} s, of processors"
                f" {one.processor:7.1f} s {one.memory:6.0f} MiB",
                flush=True,
            )
    return measured


def show(measured: dict[str, Measured], few: int, many: int) -> None:
    """A line a way: its rates, and rates and memory beside those of one process."""
    base = measured["predict"]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}")
    for name, one in measured.items():
        cells = [name]
        for what in ("seconds", "processor"):
            own = one.rate(what, few, many)
            cells += [f"{own:,.0f}", f"{own / base.rate(what, few, many):.2f}"]
        cells += [f"{one.memory:.0f} MiB", f"{one.memory / base.memory:.2f}"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
