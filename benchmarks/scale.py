"""Ray with two one-thread workers, and a stream, beside ``goemo predict`` in one process.

    python benchmarks/scale.py --rounds 3 --few 100000 --many 300000 --kept embedded.jsonl
    python benchmarks/scale.py --model base --few 4096 --many 8192 --longest 40

Each way answers few texts and many, in turns, so that a busy machine slows all of them; the rate
is that of the texts between, (many - few) / (time of many - time of few), in which starting falls
out: by the clock, and by the processor seconds of all processes of the way, which neighbours
disturb less. Memory is the largest of any process that holds a classifier: its resident pages
without what it shares with Ray's store. Few texts are to be two lists of 2,048 at least, one for
each worker. Ray is left out where it is not installed. What --kept holds is not measured again,
and --minutes ends a piece in time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

from sample import real_texts

from goemo_utils.throughput.bench import _model as model_of_size
from tests.stream import broker

PARTITIONS, TRIES = 2, 4
WAYS = ("predict", "stream", "ray")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


@dataclass
class Run:
    """One command: seconds by the clock and of its processors; in MiB the memory of its largest
    process with a classifier, and the same with pages that others share.
    """

    seconds: float = 0.0
    processor: float = 0.0
    memory: float = 0.0
    shared: float = 0.0


@dataclass
class Round:
    """A way's runs of one round, by their number of texts."""

    runs: dict[int, Run] = field(default_factory=dict)

    def rate(self, what: str) -> float:
        """Texts a second between few and many, by ``what``."""
        few, many = sorted(self.runs)
        between = getattr(self.runs[many], what) - getattr(self.runs[few], what)
        return (many - few) / between

    def largest(self, what: str) -> float:
        """The larger memory of both runs, in MiB."""
        return max(getattr(one, what) for one in self.runs.values())


def predict(texts: Path, folder: Path) -> list[str]:
    """One process, as many threads as there are cores."""
    return ["predict", "--batch_file", str(texts), "--output", str(folder / "local.parquet")]


def on_ray(texts: Path, folder: Path) -> list[str]:
    """A worker a core, one thread each."""
    out = ["--output", str(folder / "ray.parquet"), "--from-scratch"]
    return ["predict", "--batch_file", str(texts), *out, "--engine", "ray"]


@contextmanager
def broker_with(texts: Path, folder: Path) -> Iterator[str]:
    """A broker that holds these texts in a topic of the file's name."""
    with broker.running(folder / "broker.log") as address:
        broker.make_topic(address, texts.stem, PARTITIONS)
        lines = texts.read_text(encoding="utf-8").splitlines()
        messages = [(f"user-{i % 50}", line.encode(), i) for i, line in enumerate(lines)]
        broker.send(address, texts.stem, messages, PARTITIONS)
        yield address


def stream(address: str, texts: Path, folder: Path) -> list[str]:
    """A stream, which reads its topic to the end and waits ten seconds for more."""
    topics = ["--input", texts.stem, "--output", "answers", "--state", str(folder / "state")]
    return ["stream", "--brokers", address, *topics, "--idle", "10s"]


def run(words: list[str], model: str) -> Run:
    """One command; its processes are known by a mark in their environment, which they inherit."""
    command = [sys.executable, "-m", "goemo_utils.cli", *words, "--model_path", model]
    mark = f"GOEMO_BENCHMARK={time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **QUIET, name: value},
    )
    seen: dict[int, Run] = {}
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(mark.encode(), seen, stop))
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")

    others = sum(one.processor for pid, one in seen.items() if pid != process.pid)
    memory, shared = (
        max(getattr(one, what) for one in seen.values()) for what in ("memory", "shared")
    )
    return Run(seconds, used.ru_utime + used.ru_stime + others, memory, shared)


def patiently(words: list[str], model: str) -> Run:
    """As ``run``; on a busy machine Ray may not start, which is tried again."""
    for _ in range(TRIES - 1):
        with suppress(RuntimeError):
            return run(words, model)
    return run(words, model)


def watch(mark: bytes, seen: dict[int, Run], stop: threading.Event) -> None:
    """What each process with this mark has used so far."""
    strange: set[str] = set()  # without the mark, which no process gets later
    while not stop.wait(0.5):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and folder.name not in strange:
                with suppress(OSError, IndexError, ValueError):
                    if mark in (folder / "environ").read_bytes():
                        look(folder, seen)
                    else:
                        strange.add(folder.name)


def look(folder: Path, seen: dict[int, Run]) -> None:
    """Take down one process. proc(5) has the fields."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    one = seen.setdefault(int(folder.name), Run())
    one.processor = max(one.processor, ticks / os.sysconf("SC_CLK_TCK"))

    words = (folder / "cmdline").read_bytes()
    if b"goemo_utils.cli" in words or words.startswith(b"ray::MapWorker(MapBatches(W"):
        status = (folder / "status").read_text()
        kinds = dict(re.findall(r"(\w+):\s+(\d+) kB", status))
        # The pages of Ray's store count for every process that looked at them, and are there once.
        own = (int(kinds["RssAnon"]) + int(kinds["RssFile"])) / 1024
        one.memory = max(one.memory, own)
        one.shared = max(one.shared, int(kinds["VmHWM"]) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded", help="embedded, or base: random weights")
    parser.add_argument("--few", type=int, default=100_000)
    parser.add_argument("--many", type=int, default=300_000)
    parser.add_argument("--longest", type=int, default=1000, metavar="N", help="bytes of a text")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--kept", type=Path, help="a file of what was measured, and will be")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after these")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="goemo-scale-") as scratch:
        folder = Path(scratch)
        kept = args.kept or folder / "kept.jsonl"
        texts = {rows: folder / f"texts-{rows}.txt" for rows in (args.few, args.many)}
        short = [text for text in real_texts() if len(text.encode()) <= args.longest]
        for rows, file in texts.items():
            lines = [" ".join(text.split()) for text in islice(cycle(short), rows)]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with model_of_size(args.model) as model:
            in_turn(args, texts, model, folder, kept)
        show(read(kept), args.ways)


def in_turn(
    args: argparse.Namespace, texts: dict[int, Path], model: str, folder: Path, kept: Path
) -> None:
    """Every way on few texts and on many, forwards and backwards; what was measured is kept."""
    end = time.monotonic() + 60 * args.minutes
    order = [(way, rows) for rows in texts for way in args.ways]
    for number in range(args.rounds):
        for way, rows in order if number % 2 == 0 else reversed(order):
            have = read(kept).get((way, number))
            if (have and rows in have.runs) or time.monotonic() > end:
                continue
            one = measured(way, texts[rows], model, folder)
            line = {"way": way, "round": number, "texts": rows, **asdict(one)}
            print(line, flush=True)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def measured(way: str, texts: Path, model: str, folder: Path) -> Run:
    if way == "ray":
        return patiently(on_ray(texts, folder), model)
    if way == "predict":
        return run(predict(texts, folder), model)
    with (
        tempfile.TemporaryDirectory(prefix="goemo-scale-") as fresh,
        broker_with(texts, Path(fresh)) as address,
    ):
        return run(stream(address, texts, Path(fresh)), model)


def read(kept: Path) -> dict[tuple[str, int], Round]:
    """What was measured, by way and round."""
    rounds: dict[tuple[str, int], Round] = {}
    if kept.exists():
        for line in map(json.loads, kept.read_text(encoding="utf-8").splitlines()):
            way, number, texts = (line.pop(name) for name in ("way", "round", "texts"))
            rounds.setdefault((way, number), Round()).runs[texts] = Run(**line)
    return {key: rounds[key] for key in sorted(rounds)}


def show(rounds: dict[tuple[str, int], Round], ways: list[str]) -> None:
    """A line a way: its rates, and rates and memory beside those of one process in the same round,
    as the median of all rounds, with the smallest and the largest.
    """
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}")
    whole = {key: one for key, one in rounds.items() if len(one.runs) == 2}
    for way in ways:
        pairs = [
            (one, whole["predict", number])
            for (name, number), one in whole.items()
            if name == way and ("predict", number) in whole
        ]
        if not pairs:
            continue
        cells = [way, f"{len(pairs)} rounds"]
        for what in ("seconds", "processor"):
            rate = statistics.median(one.rate(what) for one, _ in pairs)
            cells += [f"{rate:,.0f}", spread([a.rate(what) / b.rate(what) for a, b in pairs])]
        for what in ("memory", "shared"):
            cells.append(f"{max(one.largest(what) for one, _ in pairs):.0f} MiB")
            cells.append(spread([a.largest(what) / b.largest(what) for a, b in pairs]))
        print(f"| {' | '.join(cells)} |")


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
