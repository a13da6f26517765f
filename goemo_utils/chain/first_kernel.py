"""The kernel of a run's first step, in an interpreter of its own: what that step's notebook imports
is imported while the chain is still importing its own, and nothing of torch.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from goemo_utils.forward import lean

PRELOAD = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "goemo_utils.environment.checkup",
    "goemo_utils.notebook.exercise",
    "goemo_utils.notebook.tables",
    "goemo_utils.params.cell",
    "goemo_utils.records.step",
)


def main() -> None:
    """Be the kernel that the command line asks for."""
    with lean.uncollected():
        for name in PRELOAD:
            import_module(name)
    if sys.path[0] in ("", os.getcwd()):  # as ipykernel's own launcher; IPython puts it back
        del sys.path[0]
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
