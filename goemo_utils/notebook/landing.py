"""The landing notebook: the state of the newest run, and where its report lies.

``python -m goemo_utils.notebook.landing`` writes it where runs are kept, which `make lab` opens:
JupyterLab saves what a notebook shows into its file, and the ones of the project stay as committed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records.manifest import read_manifest
from goemo_utils.records.record import ROOT, STEPS, read_record, write_text

pd.set_option("display.max_colwidth", None)
NOTEBOOKS = ROOT / "notebooks"
# The maps of the project, and what they are called beside the runs.
MAPS = {"start.ipynb": "start.ipynb", "zh/start.ipynb": "start.zh.ipynb"}
LINK = re.compile(r"\]\(([^)#:]+\.ipynb)\)")
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


def write_maps(folder: Path) -> list[Path]:
    """Write the landing notebooks into ``folder``, with links that lead back to the project's."""
    written = []
    for source, name in MAPS.items():
        original = NOTEBOOKS / source
        notebook = json.loads(original.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = _led_back("".join(cell["source"]), original.parent, folder)
                cell["source"] = text.splitlines(keepends=True)

        write_text(folder / name, json.dumps(notebook, ensure_ascii=False, indent=1) + "\n")
        written.append(folder / name)
    return written


def _led_back(text: str, home: Path, folder: Path) -> str:
    """Prose of a map that lay in ``home``, with its links as they are from ``folder``: to the
    other copy, or to a notebook of the project.
    """
    copies = {(NOTEBOOKS / source).resolve(): name for source, name in MAPS.items()}

    def link(found: re.Match[str]) -> str:
        meant = (home / found[1]).resolve()
        path = copies.get(meant) or os.path.relpath(meant, folder)
        return f"]({Path(path).as_posix()})"

    return LINK.sub(link, text)


def main() -> int:
    """Write the maps beside the runs and print where the first one lies."""
    folder = Path(Params().output_root)
    written = write_maps(folder)
    print(os.path.relpath(written[0], ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
