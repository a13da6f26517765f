"""Find a run by its folder or its name."""

import argparse
from pathlib import Path

from goemo_utils.params import Params
from goemo_utils.report.read import ReportError

MANIFEST = "manifest.json"


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the runs lie."""
    parser.add_argument(
        "--outputs",
        type=Path,
        default=None,
        metavar="DIR",
        help="folder that holds the runs (default: outputs/ of the project)",
    )


def root(given: Path | None) -> Path:
    """The folder that holds the runs: the one given, or where ``goemo run`` puts them."""
    return given if given is not None else Path(Params.load(None, {}).output_root)


def run_folders(folder: Path) -> list[Path]:
    """Folders of runs in ``folder``, by name; ``latest`` is a link and not counted twice."""
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if not path.is_symlink() and (path / MANIFEST).is_file()
    )


def find_run(name: str, outputs: Path | None = None) -> Path:
    """Return the folder of a run given as a path, as a name, or as ``latest``.

    Raises ReportError naming the runs there are.
    """
    places = [Path(name), root(outputs) / name]
    for place in places:
        if (place / MANIFEST).is_file():
            return place

    there = [path.name for path in run_folders(root(outputs))]
    known = f"the runs are {', '.join(there[-5:])}" if there else f"{root(outputs)} holds no run"
    raise ReportError(
        f"There is no run {name!r}: expected a run's folder or name, and {known}. `goemo list`"
        " shows them."
    )
