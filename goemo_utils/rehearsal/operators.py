"""The operator table: PyTorch's operator database on the simulated device against the CPU, one
guarded process an operator.

    goemo selftest operators
    python -m goemo_utils.rehearsal.operators --only nn.functional.gelu matmul

Results are kept line by line, so that an interrupted run goes on where it stopped.
"""

import argparse
import difflib
import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import enable
from goemo_utils.rehearsal.table import AGREEMENT_FLOOR, agreement, markdown
from goemo_utils.rehearsal.trial import DTYPES, Trial, database, try_operator

_DTYPE_CHOICES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "complex64",
    "int64",
    "int32",
    "uint8",
    "bool",
)


def run_all(
    names: Iterable[str], jobs: int, samples: int, timeout: float, dtypes: Sequence[str] = DTYPES
) -> Iterator[Trial]:
    """Try each operator in a forked child; a child that dies or outlasts ``timeout`` seconds is a
    result, not an error.

    The device is switched on in the calling process, once for all children.
    """
    database()
    enable()
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    queue = iter(names)
    running: dict[Connection, tuple[str, Any, float]] = {}

    while True:
        while len(running) < jobs and (name := next(queue, None)) is not None:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(name, samples, dtypes, sender))
            process.start()
            sender.close()
            running[receiver] = (name, process, time.monotonic() + timeout)
        if not running:
            return
        soonest = min(deadline for _, _, deadline in running.values())
        ready = wait(list(running), timeout=max(0.0, soonest - time.monotonic()))
        for receiver in list(running):
            name, process, deadline = running[receiver]
            if receiver in ready or time.monotonic() >= deadline:
                del running[receiver]
                yield _collect(name, process, receiver, late=receiver not in ready)


def _child(name: str, samples: int, dtypes: Sequence[str], sender: Connection) -> None:
    """Whatever the operator prints goes nowhere; only the trial goes back."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    faulthandler.disable()
    sender.send(asdict(try_operator(name, samples, dtypes)))


def _collect(name: str, process: Any, receiver: Connection, late: bool) -> Trial:
    if late:
        process.kill()
        process.join()
        return Trial(name, "timeout", message="it ran past its time limit")
    try:
        fields = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        return Trial(name, "died", message=f"the process ended with {how}")
    process.join()
    return Trial(**fields)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goemo selftest operators",
        description="Try PyTorch's operators on the simulated device against the CPU.",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="operators to try, by their name in torch's op_db; default all",
    )
    parser.add_argument(
        "--samples", type=int, default=24, help="samples of each dtype an operator (default 24)"
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        default=DTYPES,
        choices=_DTYPE_CHOICES,
        help="dtypes of the samples (default: float32 int64)",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="seconds an operator may take (default 120)"
    )
    parser.add_argument(
        "--results", type=Path, help="a .jsonl file to keep results in and to go on from"
    )
    parser.add_argument("--markdown", type=Path, help="where to write the table")

    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the table. Returns 0 if at least 98 % agree and none is wrong or died, 1 if not, 2 if it
    could not run.
    """
    options = _parser().parse_args(argv)
    try:
        names = _chosen(options.only)
    except DeviceError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    settings = {
        "torch": torch.__version__,
        "samples": options.samples,
        "dtypes": list(options.dtypes),
    }
    done = _earlier(options.results, settings)
    trials = [done[name] for name in names if name in done]
    missing = [name for name in names if name not in done]

    # On a terminal only: a bar in a log file is noise.
    for trial in tqdm(
        run_all(missing, options.jobs, options.samples, options.timeout, options.dtypes),
        total=len(missing),
        disable=None,
    ):
        trials.append(trial)
        if options.results:
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"settings": settings, **asdict(trial)}) + "\n")
        if trial.verdict not in ("agrees", "not on the CPU"):
            tqdm.write(f"{trial.verdict:8s} {trial.name}: {trial.message}")

    result = agreement(trials)
    print(result.sentence)
    if options.markdown:
        options.markdown.write_text(
            markdown(trials, options.samples, options.dtypes), encoding="utf-8"
        )

    return 0 if result.share >= AGREEMENT_FLOOR and not result.harmful else 1


def _chosen(only: Sequence[str] | None) -> list[str]:
    known = database()
    unknown = [name for name in only or () if name not in known]
    if unknown:
        near = ", ".join(difflib.get_close_matches(unknown[0], known, n=4, cutoff=0.5)) or "matmul"
        raise DeviceError(
            f"The operator {unknown[0]!r} is not in PyTorch's operator database; expected one of"
            f" its {len(known)} names, such as {near}."
        )
    return list(only or known)


def _earlier(path: Path | None, settings: dict[str, Any]) -> dict[str, Trial]:
    """Results of an interrupted run, but none made with another torch or other samples."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["name"]: Trial(**row) for row in rows if row.pop("settings") == settings}


if __name__ == "__main__":
    sys.exit(main())
