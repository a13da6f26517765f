"""The landing notebook: the state of the newest run, and where its report lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records.manifest import read_manifest
from goemo_utils.records.record import STEPS, read_record

pd.set_option("display.max_colwidth", None)
NO_RUN = "There is no run yet. Open 00_environment and run all cells."


def newest(root: Path | None = None) -> Path | None:
    """The folder of the run that was written to last; None where there is none that can be read."""
    folder = root or Path(Params().output_root)
    found: list[tuple[str, Path]] = []
    for path in folder.glob("*/manifest.json"):
        if path.parent.is_symlink():
            continue
        try:
            found.append((read_manifest(path.parent)["updated"], path.parent))
        except (RecordError, KeyError):
            continue
    return max(found)[1] if found else None


def latest_run(root: Path | None = None) -> pd.DataFrame | str:
    """What became of each step of the newest run, and which notebook comes next; a sentence where
    there is no run.
    """
    folder = newest(root)
    if folder is None:
        return NO_RUN
    rows = [_step(folder, step) for step in STEPS]
    table = pd.DataFrame(rows).set_index("notebook")
    return table.rename_axis(f"run {folder.name}")


def _step(folder: Path, step: str) -> dict[str, Any]:
    try:
        record = read_record(folder / f"{step}.json")
    except RecordError:
        return {"notebook": step, "state": "not run yet", "verdict": "", "seconds": ""}
    seconds = "" if record.seconds is None else f"{record.seconds:.1f}"
    said = record.verdict or record.reason or ""
    return {"notebook": step, "state": record.status, "verdict": said, "seconds": seconds}


def report_link(root: Path | None = None) -> Any:
    """A link to the newest run's report, from the folder of the notebooks; a sentence without
    one.
    """
    folder = newest(root)
    if folder is None or not (folder / "report.html").is_file():
        return "The newest run has no report yet: 05_report writes it."

    from IPython.display import FileLink

    page = folder / "report.html"
    path = Path("..") / page.relative_to(page.parents[2])
    return FileLink(str(path))  # type: ignore[no-untyped-call]  # IPython has no types here
