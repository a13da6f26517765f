"""Show the runs and their verdicts, the newest last."""

import argparse
from pathlib import Path
from typing import Any

from goemo_utils.boundary.terminal import json_text, visible
from goemo_utils.errors import GoemoError
from goemo_utils.records.manifest import is_held
from goemo_utils.report import numbers as n
from goemo_utils.report.locate import add_root, root, run_folders
from goemo_utils.report.read import Run, read_run
from goemo_utils.report.verdict import overall

COLUMNS = ("run", "started", "model", "device", "texts", "verdict", "steps")


def rows(folder: Path) -> list[dict[str, Any]]:
    """One row a run in ``folder``, oldest first; one that cannot be read says why as verdict."""
    found = [_row(path) for path in run_folders(folder)]
    return sorted(found, key=lambda row: (row["started"] or "", row["run"]))


def _row(path: Path) -> dict[str, Any]:
    try:
        run = read_run(path)
    except GoemoError as error:
        return {
            "run": path.name,
            "started": None,
            "model": None,
            "device": None,
            "texts": None,
            "verdict": f"unreadable: {error}",
            "simulated": None,
            "steps": None,
            "state": None,
        }

    done = sum(state.status == "ok" for state in run.states.values())

    return {
        "run": path.name,
        "started": run.manifest["started"],
        "model": run.model.get("id") or run.params.get("model"),
        "device": run.device.get("name") if not run.simulated else "rehearsal",
        "texts": run.of("03_parity").get("n_texts"),
        "verdict": overall(run),
        "simulated": run.simulated,
        "steps": f"{done}/{len(run.states)}",
        "state": _state(run),
    }


def _state(run: Run) -> str:
    """Whether the run's process is alive: running, killed (it says that it runs, and nobody holds
    its folder), or ended.
    """
    steps = [step for step in run.manifest.get("steps") or [] if isinstance(step, dict)]
    if is_held(run.folder):
        return "running"
    unfinished = any(step.get("status") == "running" for step in steps)
    return "killed" if unfinished else "ended"


def text(found: list[dict[str, Any]]) -> str:
    """The rows as aligned columns; what was simulated says so."""
    cells = [COLUMNS] + [tuple(_cell(row, column) for column in COLUMNS) for row in found]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(row: dict[str, Any], column: str) -> str:
    found = row[column]
    if found is None:
        return "–"
    if column == "started":
        try:
            return n.moment(found)
        except ValueError:
            return str(found)
    if column == "verdict":
        marks = [", SIMULATED"] if row["simulated"] else []
        marks += [f", {row['state']}"] if row["state"] in ("running", "killed") else []
        return visible(str(found)) + "".join(marks)
    return f"{found:,}" if isinstance(found, int) else visible(str(found))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``goemo list``."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``goemo list``; always 0, also when there is no run."""
    folder = root(args.outputs)
    found = rows(folder)
    if args.json:
        print(json_text(found))
    else:
        print(text(found) if found else f"No runs in {folder} yet: `goemo run` makes one.")
    return 0
