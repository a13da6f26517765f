"""Options that several commands take in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parameters(command: argparse.ArgumentParser, about: str) -> None:
    """``-f FILE`` and ``-p KEY VALUE``: a file of parameters, and single ones that win over it.

    ``about`` says in the help what the file is, and which one is read where none is given.
    """
    command.add_argument("-f", "--file", type=Path, metavar="YAML", help=about)
    command.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="set one parameter; repeatable, wins over the file",
    )
