"""Run a command with the genuine torch_npu on a SIMULATED CANN: goemo cann -- COMMAND.

Every Python process of the command finds torch_npu and stand-ins for CANN's libraries. Nothing that
it prints is evidence about a real card.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from goemo_utils.cann import build, wheel
from goemo_utils.cann.start import NAME, environment, refuse_where_real

BANNER = (
    f"{NAME}: the genuine torch_npu, kernels in Python on the CPU. No Ascend device takes part."
)


def main(argv: list[str]) -> int:
    """Entry of ``goemo cann``; returns the exit code of the command."""
    own, _, command = _split(argv)
    parser = argparse.ArgumentParser(prog="goemo cann", description=__doc__)
    parser.add_argument(
        "--fetch", action="store_true", help="download the wheel of torch_npu into the cache, once"
    )
    parser.add_argument(
        "--devices", type=int, default=None, metavar="N", help="how many devices there are (1)"
    )
    parser.add_argument(
        "--where", action="store_true", help="say where the wheel and the stand-ins are, and stop"
    )
    arguments = parser.parse_args(own)
    refuse_where_real()
    if arguments.fetch:
        wheel.fetch()
    if not command and not arguments.where and not arguments.fetch:
        parser.error(
            "expected a command after --, for example: goemo cann -- goemo run -p device npu:0"
        )

    variables = environment()
    if arguments.where or not command:
        print(f"torch_npu {wheel.wanted()}: {wheel.package()}")
        print(f"stand-ins: {build.folder(wheel.package() or wheel.site())}")
        return 0
    if arguments.devices:
        variables["GOEMO_CANN_DEVICES"] = str(arguments.devices)
    print(BANNER, file=sys.stderr, flush=True)
    return _run(command, variables)


def _split(argv: list[str]) -> tuple[list[str], str, list[str]]:
    if "--" not in argv:
        return argv, "", []
    place = argv.index("--")
    return argv[:place], "--", argv[place + 1 :]


def _run(command: list[str], variables: dict[str, str]) -> int:
    try:
        return subprocess.run(command, env=variables).returncode
    except FileNotFoundError:
        print(
            f"goemo: the command {command[0]!r} was not found; expected a program on the PATH"
            f" ({os.environ.get('PATH', '')[:80]}…).",
            file=sys.stderr,
        )
        return 2
