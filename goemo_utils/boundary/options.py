"""Options that several commands take in the same words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


def tell_keys(command: argparse.ArgumentParser, about: str, params: type[BaseModel]) -> None:
    """Let ``--help`` say what a command is ``about``, and every key of its parameters with its
    default.
    """
    keys = (
        f"  {key:20s} {'none' if field.default is None else field.default!s:10s}"
        f" {field.description}"
        for key, field in params.model_fields.items()
    )
    command.description = "\n".join(
        (about.rstrip(), "", "Keys for -p and the file, with their defaults:", "", *keys)
    )


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
