"""``goemo init``: lay out a working copy of the notebooks and params in a folder of your own.

Inside it, ``goemo run`` and JupyterLab use the copy's notebooks, and runs go to its ``outputs/``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from goemo_utils import __version__
from goemo_utils.errors import ParamsError
from goemo_utils.params.home import MARK, SHIPPED

FOLDERS = {"notebooks": "*.ipynb", "params": "*.yaml"}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo init``."""
    command.add_argument("folder", type=Path, help="the folder to lay out; it is made when missing")


def run(args: argparse.Namespace) -> int:
    """Lay the folder out and say what to do there."""
    copied = lay_out(args.folder)
    print(f"{args.folder} holds {copied} notebooks and params files of goemo {__version__}.")
    print(f"Next: cd {args.folder} && goemo run, or jupyter lab notebooks/start.ipynb")
    return 0


def lay_out(folder: Path) -> int:
    """Copy goemo's notebooks and params into ``folder``; how many files there are now.

    Raises ParamsError where the folder is a file or holds notebooks or params already: nothing of a
    person's is ever overwritten.
    """
    taken = [name for name in (*FOLDERS, MARK) if (folder / name).exists()]
    if taken or folder.is_file():
        held = f"it holds {', '.join(taken)} already" if taken else "it is a file"
        raise ParamsError(
            f"{folder} cannot be laid out: {held}, and nothing is overwritten. Expected a new"
            " folder, or one without notebooks and params. Name another folder."
        )

    copied = 0
    for name, pattern in FOLDERS.items():
        for path in sorted((SHIPPED / name).rglob(pattern)):
            if ".ipynb_checkpoints" in path.parts:
                continue
            target = folder / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            copied += 1
    (folder / MARK).write_text(f"goemo {__version__}\n", encoding="utf-8")

    return copied
