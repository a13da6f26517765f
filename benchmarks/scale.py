"""Ray with two one-thread workers, and a stream, beside ``goemo predict`` in one process.

    python benchmarks/scale.py --rounds 1 --few 100000 --many 300000
    python benchmarks/scale.py --model base --few 200 --many 600

Each way answers few texts and many, in turns, so that a busy machine slows all of them; the rate
is that of the texts between, (many - few) / (time of many - time of few), in which starting falls
out. Memory is the largest of any process of the way that holds a classifier. The ways on Ray and
Quix are left out where these are not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
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
class Measured:
    """Seconds by number of texts, and the largest memory in MiB of a process with a classifier."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    memory: float = 0.0


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


def run(words: list[str], model: str) -> tuple[float, float]:
    """Seconds and memory of one command."""
    command = [sys.executable, "-m", "goemo_utils.cli", *words, "--model_path", model]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
    )
    peak = [0.0]
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(process.pid, peak, stop))
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return seconds, peak[0]


def patiently(words: list[str], model: str) -> tuple[float, float]:
    """As ``run``; on a busy machine Ray may not start, which is tried again."""
    for _ in range(TRIES - 1):
        with suppress(RuntimeError):
            return run(words, model)
    return run(words, model)


def watch(process: int, peak: list[float], stop: threading.Event) -> None:
    """The largest memory that the process, or a worker of Ray, ever had."""
    while not stop.wait(0.5):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                peak[0] = max(peak[0], held(folder, process))


def held(folder: Path, process: int) -> float:
    """The peak in MiB of what holds a classifier; 0 for any other process."""
    try:
        words = (folder / "cmdline").read_bytes()
        if folder.name != str(process) and not words.startswith(b"ray::MapWorker(MapBatches(W"):
            return 0.0
        status = (folder / "status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def rate(measured: Measured, few: int, many: int) -> float:
    """Texts a second between few and many, by the medians."""
    times = {rows: statistics.median(seconds) for rows, seconds in measured.seconds.items()}
    return (many - few) / (times[many] - times[few])


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
            seconds, memory = patiently(ways[name](texts[rows], model, folder), model)
            measured[name].seconds.setdefault(rows, []).append(seconds)
            measured[name].memory = max(measured[name].memory, memory)
            print(f"{name:8s} {rows:9,} texts {seconds:7.1f} s {memory:6.0f} MiB", flush=True)
    return measured


def show(measured: dict[str, Measured], few: int, many: int) -> None:
    """A line a way: its rate, and rate and memory beside those of one process."""
    base = rate(measured["predict"], few, many)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}")
    for name, one in measured.items():
        own = rate(one, few, many)
        memory = one.memory / measured["predict"].memory
        print(
            f"| {name} | {own:,.0f} texts/s | {own / base:.2f} | {one.memory:.0f} MiB |"
            f" {memory:.2f} |"
        )


if __name__ == "__main__":
    main()
