"""Small stand-ins for the notebooks, so that the chain's behaviour is tested in seconds; one step
can be given a cell that fails.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from goemo_utils.params import parameters_cell
from goemo_utils.records.record import STEPS

# Named for the failure they provoke.
FAILURES = {
    "exception": "raise ValueError('the soup is cold')",
    "refusal": (
        "from goemo_utils.errors import DeviceError\nraise DeviceError('Device npu:7 is not here.')"
    ),
    "timeout": "import time\ntime.sleep(600)",
    "dead_kernel": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "sysexit0": "import sys\nsys.exit(0)",
    "sysexit3": "import sys\nsys.exit(3)",
    "line_magic_error": "%no_such_magic",
    # no failure: what the real 05_report does to the page of an earlier end, which it writes anew
    "earlier_report_goes": (
        "from goemo_utils.records.step import run_dir\n"
        "for name in ('summary.json', 'report.html'):\n"
        "    (run_dir(params) / name).unlink(missing_ok=True)"
    ),
}


def write_notebooks(folder: Path, failing: str | None = None, failure: str | None = None) -> Path:
    """Six notebooks that begin a step, say where they are, and finish it; ``failing`` gets the cell
    named ``failure`` in between.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        cells = [
            nbformat.v4.new_code_cell(
                parameters_cell(), id="parameters", metadata={"tags": ["parameters"]}
            ),
            nbformat.v4.new_code_cell(
                "from goemo_utils.params import from_notebook\n\nparams = from_notebook()",
                id="params",
            ),
            nbformat.v4.new_code_cell(
                f"from goemo_utils.records.step import Step\n\nstep = Step.begin('{step}',"
                f" params)\nprint('inside {step}')",
                id="begin",
            ),
        ]
        if step == failing:
            cells.append(nbformat.v4.new_code_cell(FAILURES[failure], id="failing"))
        cells.append(
            nbformat.v4.new_code_cell(
                "step.finish('done', {'seed': params.seed}).verdict", id="finish"
            )
        )
        notebook = nbformat.v4.new_notebook(
            cells=cells,
            metadata={
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
            },
        )
        nbformat.write(notebook, folder / f"{step}.ipynb")
    return folder
