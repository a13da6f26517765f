"""Options that several commands take in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parameters(command: argparse.ArgumentParser, default: Path | None, about: str) -> None:
    """``-f FILE`` and ``-p KEY VALUE``: a file of parameters, and single ones that win over it.

    ``default`` is the file where none is given; ``about`` says in the help what the file is.
    """
    command.add_argument("-f", "--file", type=Path, default=default, metavar="YAML", help=about)
    command.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="set one parameter; repeatable, wins over the file",
    )
