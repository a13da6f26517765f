"""Whether a stream of a million texts needs more memory than a short one: ``python -m
goemo_utils.throughput.memory``.

Writes files of short texts, runs ``goemo predict`` on each in a fresh process, from file to file,
and prints the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OPENINGS = (
    "I am so happy",
    "This is awful",
    "Thank you",
    "Why would anyone say",
    "I can't wait to hear",
    "So sorry to hear",
)
ENDINGS = ("today!", "again.", "for this", "about it?", "my friend, and I mean it", "lol")
ALLOWED = 200 * 2**20  # bytes by which the longest stream may exceed the shortest


def short_text(number: int) -> str:
    """A short text, different for every number."""
    return (
        f"{OPENINGS[number % len(OPENINGS)]} {ENDINGS[number // len(OPENINGS) % len(ENDINGS)]}"
        f" {number}"
    )


def peak_of(command: list[str]) -> tuple[int, float]:
    """Peak resident bytes and seconds of a command in a process of its own. Raises
    CalledProcessError when it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    # Popen is told here that its process has been waited for.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)

    return (
        usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        time.perf_counter() - started,
    )


def main(argv: list[str] | None = None) -> int:
    """Print a line for each number of texts; 1 when the last needs over ALLOWED more than the
    first.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--texts",
        type=int,
        nargs="+",
        default=[10_000, 1_000_000],
        metavar="N",
        help="numbers of texts (default 10000 1000000)",
    )

    parser.add_argument("--model_path", default="embedded")
    parser.add_argument("--output", default="jsonl", choices=("jsonl", "csv", "parquet"))
    args = parser.parse_args(argv)
    peaks = []

    with tempfile.TemporaryDirectory(prefix="goemo-memory-") as folder:
        for count in args.texts:
            source, target = Path(folder) / f"{count}.txt", Path(folder) / f"{count}.{args.output}"
            with source.open("w", encoding="utf-8") as file:
                file.writelines(f"{short_text(i)}\n" for i in range(count))
            peak, seconds = peak_of(
                [
                    sys.executable,
                    "-m",
                    "goemo_utils.cli",
                    "predict",
                    "--batch_file",
                    str(source),
                    "--output",
                    str(target),
                    "--model_path",
                    args.model_path,
                ]
            )

            peaks.append(peak)
            print(
                f"{count} texts: peak {peak / 2**20:.0f} MB, {seconds:.1f} s in all, output"
                f" {target.stat().st_size / 2**20:.0f} MB",
                flush=True,
            )

    difference = peaks[-1] - peaks[0]
    print(f"difference {difference / 2**20:.0f} MB, allowed {ALLOWED / 2**20:.0f} MB")
    return int(difference > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
