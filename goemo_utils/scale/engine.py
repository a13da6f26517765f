"""Which engine answers a file of texts, as the command line asks for it."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from goemo_utils.errors import ParamsError

CARDS = {"npu": "NPU", "cuda": "GPU"}
"""The resource of Ray that stands for a card of a device."""

EPILOG = """\
Many cards and hosts. --engine ray answers with workers of Ray (pip install 'goemo[scale]'): on this
machine, or with --address on a cluster where goemo is installed on every host. --output is a folder
NAME.parquet of parts; index.json in it says which rows each part holds. Every row has its "index",
the place of its text; parts are not in order. After a kill the same command goes on behind the rows
that were committed, as without Ray. This machine reads the texts and writes the parts, so that no
disk need be shared.
"""


@dataclass(frozen=True)
class Engine:
    """A cluster's address (None: this machine), how many workers (None: as many as have room), and
    what each takes of Ray's resources beside a CPU.
    """

    address: str | None
    workers: int | None
    resources: Mapping[str, float]

    @property
    def cpus(self) -> float:
        """CPUs of a worker."""
        return self.resources.get("CPU", 1)

    @property
    def threads(self) -> int:
        """Threads with which a worker computes."""
        return max(1, math.floor(self.cpus))

    @property
    def needs(self) -> dict[str, float]:
        """All that a worker takes, by Ray's names."""
        return {"CPU": 1, **self.resources}

    def options(self) -> dict[str, object]:
        """The needs as options of a task or an actor."""
        own = {name: n for name, n in self.needs.items() if name not in ("CPU", "GPU")}
        gpus = self.needs.get("GPU", 0)
        return {"num_cpus": self.cpus, "num_gpus": gpus, "resources": own}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that choose the engine."""
    group = parser.add_argument_group("many cards and hosts")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): this process; ray: workers of Ray, here or on a cluster",
    )
    group.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="a running cluster of Ray, or auto for the one of this machine (default: a new one)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="classifiers at once (default: as many as the cluster has room for)",
    )
    group.add_argument(
        "--resources",
        action="append",
        metavar="NAME=N",
        help=(
            "what a worker takes of Ray's resources, such as NPU=1 (default with --device npu) or"
            " CPU=4 for four threads; may be given more than once"
        ),
    )


def engine(args: argparse.Namespace) -> Engine | None:
    """The engine that was asked for; None for this process. Raises ParamsError for options that
    contradict each other.
    """
    given = {
        "--address": args.address,
        "--workers": args.workers,
        "--resources": args.resources,
    }
    if args.engine == "local":
        for option, value in given.items():
            if value is not None:
                raise ParamsError(
                    f"{option} belongs to --engine ray, and --engine is local: expected both or"
                    " neither. Add --engine ray, or leave it out."
                )
        return None

    _check(args)
    resources = _resources(args.resources or [])
    card = CARDS.get(args.device.partition(":")[0])
    if card:
        resources.setdefault(card, 1)
    return Engine(args.address, args.workers, resources)


def _check(args: argparse.Namespace) -> None:
    """Refuse what only one process can do."""
    if not args.batch_file or "-" in args.batch_file:
        raise ParamsError(
            "--engine ray reads files of texts, and was given none: expected --batch_file FILE."
            " Leave --engine out for a text or a pipe."
        )
    if not str(args.output or "").endswith(".parquet"):
        raise ParamsError(
            f"--engine ray writes a folder of parts, and --output is {args.output or 'not given'}:"
            " expected a name that ends in .parquet."
        )
    if args.workers is not None and args.workers < 1:
        raise ParamsError(f"--workers is {args.workers}: expected 1 or more.")
    if args.device.partition(":")[2] and args.device.partition(":")[0] in CARDS:
        raise ParamsError(
            f"--device {args.device} names one card, and Ray gives each worker its own: expected"
            f" --device {args.device.partition(':')[0]}."
        )


def _resources(given: list[str]) -> dict[str, float]:
    resources: dict[str, float] = {}
    for word in ",".join(given).split(",") if given else []:
        name, _, amount = word.strip().partition("=")
        try:
            number = float(amount)
        except ValueError:
            number = math.nan
        # Ray deals out parts of a card too, and a worker needs a whole one.
        whole = name not in CARDS.values() or number.is_integer()
        if not (name and 0 < number < math.inf and whole):
            raise ParamsError(
                f"--resources has '{word}': expected NAME=N with a number above 0, and whole cards,"
                " such as NPU=1."
            )
        resources[name] = number
    return resources


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
