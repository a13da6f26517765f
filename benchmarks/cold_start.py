"""Cold starts, each in a new process and taken in turn: goemo's commands, and the script with
transformers.pipeline that anybody would write.

    python benchmarks/cold_start.py --rounds 11

Prints the medians of wall-clock and processor time, and each ratio to the script with the interval
that holds 90 % of the ratios of the same round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

from goemo_utils.records.step import EMBEDDED

TEXT = "I love it"
SCRIPT = (
    "from transformers import pipeline\n"
    f"classify = pipeline('text-classification', model={str(EMBEDDED)!r}, top_k=None)\n"
    f"print(classify([{TEXT!r}])[0][0])"
)
GOEMO = [sys.executable, "-m", "goemo_utils.cli"]
COMMANDS = {
    "pipeline script": [sys.executable, "-c", SCRIPT],
    "goemo predict --text": [*GOEMO, "predict", "--text", TEXT],
    "import torch": [sys.executable, "-c", "import torch"],
    "goemo --help": [*GOEMO, "--help"],
    "goemo list": [*GOEMO, "list"],
    "goemo doctor --help": [*GOEMO, "doctor", "--help"],
}
BASELINE = "pipeline script"


@dataclass
class Times:
    """Seconds of each run of a command."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def run(command: list[str], times: Times) -> None:
    """Run ``command`` once in a process of its own."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    times.wall.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    times.processor.append(
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def ratio(these: list[float], those: list[float]) -> str:
    """Ratio of medians, and the interval of the middle 90 % of the rounds' own ratios."""
    rounds = sorted(a / b for a, b in zip(these, those, strict=True))
    cut = int(0.05 * len(rounds))
    middle = statistics.median(these) / statistics.median(those)
    return f"{middle:.3f} ({rounds[cut]:.3f} to {rounds[-1 - cut]:.3f})"


def main() -> int:
    """Measure, and print a line a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=11, help="runs of each command (default 11)")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    measured = {name: Times() for name in COMMANDS}
    for command in COMMANDS.values():  # files come into the page cache, byte code onto disk
        run(command, Times())
    for number in range(options.rounds):
        names = list(COMMANDS)
        for name in names if number % 2 else reversed(names):
            run(COMMANDS[name], measured[name])

    base = measured[BASELINE]
    print(f"{options.rounds} rounds, {os.cpu_count()} cores; medians in seconds")
    for name, times in measured.items():
        print(
            f"{name:22s} wall {statistics.median(times.wall):6.2f}"
            f"  processor {statistics.median(times.processor):6.2f}"
            f"  wall / script {ratio(times.wall, base.wall)}"
            f"  processor / script {ratio(times.processor, base.processor)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
