"""Kernels of the chain's notebooks as forks of a process that has imported what notebooks use.

A kernel of its own interpreter imports for two to four seconds, in every step. The chain's fork
server forks a second one, which imports ipykernel and the notebooks' modules beside it, touches no
device and runs no cell; jobs never come from there. A kernel is a fresh fork of it: nothing of one
notebook is in another. Where it does not answer yet, the first notebook's kernel is an interpreter
of its own that begins with its imports; on devices that need such a one, kernels start as ever.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from goemo_utils.boundary.signals import die_with_parent
from goemo_utils.chain import asked_kernel
from goemo_utils.forward import lean
from goemo_utils.forward.guard import ADDRESS
from goemo_utils.forward.server import attend, listen

if TYPE_CHECKING:
    from goemo_utils.params import Params

SERVE = "goemo_utils.chain.kernels:serve"
DEVICES = ("cpu", "rehearsal")
PRELOAD = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "tornado.platform.asyncio",
    "sqlite3",
    "pandas",
    "pandas.io.formats.html",
    "goemo_utils.notebook.exercise",
    "goemo_utils.notebook.tables",
    "goemo_utils.params.cell",
    "goemo_utils.records.step",
)
LATER = (
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "goemo_utils.classifier.classifier",
    "goemo_utils.notebook.comparison",
    "goemo_utils.notebook.cutoff",
    "goemo_utils.notebook.plots",
    "goemo_utils.notebook.cards",
    "goemo_utils.parity.judgement",
    "goemo_utils.report.notebooks",
    "goemo_utils.report.page",
    "goemo_utils.report.summary",
    "goemo_utils.report.view",
    "goemo_utils.training.labelled",
    "nbconvert.filters.markdown_mistune",
)
"""What 01_load does without: imported when its kernel has been forked."""

UNUSED = ("scipy",)
"""What seaborn uses, where it finds it, for figures that no notebook has."""

LAUNCHER = ("-m", "ipykernel_launcher")
FIRST = "goemo_utils.chain.first_kernel"


def can_begin(params: Params) -> bool:
    """Whether a kernel begins as it should now: not while the server of its forks is importing."""
    address = kernels_of(os.environ.get(ADDRESS, ""))
    return params.opened_as not in DEVICES or not address or os.path.exists(address)


def manager(params: Params) -> dict[str, Any]:
    """What papermill is told beside a notebook, so that its kernel is a fork where one can be, and
    begins with its imports where one cannot be yet.
    """
    address = kernels_of(os.environ.get(ADDRESS, ""))
    if params.opened_as not in DEVICES or not address:
        return {}

    from jupyter_client.manager import AsyncKernelManager

    class Started(AsyncKernelManager):
        """Starts another program in the place of ipykernel's launcher."""

        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            return instead(super().format_kernel_cmd(extra_arguments), address)

    return {"kernel_manager_class": Started}


def instead(command: list[str], address: str) -> list[str]:
    """The command that asks for a fork in the place of one that starts this interpreter's kernel,
    or, where nobody listens yet, of one that imports first; another command stays as it is.
    """
    if command[:3] != [sys.executable, *LAUNCHER]:
        return command
    if not os.path.exists(address):
        return [sys.executable, "-m", FIRST, *command[3:]]
    return [sys.executable, "-I", "-S", str(Path(asked_kernel.__file__)), address, *command[3:]]


def kernels_of(address: str) -> str:
    """Where kernels are forked, beside the fork server at ``address``."""
    return address and f"{address}-kernels"


def serve(address: str) -> None:
    """In a child of the fork server: import what notebooks use, then fork a kernel an asker."""
    # what ipykernel sets before a notebook can import matplotlib
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    _import(PRELOAD)
    listen(kernels_of(address), _supervise, lambda: _import(LATER))


def _import(names: Sequence[str]) -> None:
    with lean.uncollected(), lean.hidden(*lean.FORMATS, *UNUSED):
        for name in names:
            import_module(name)


def _supervise(connection: socket.socket) -> None:
    """In a child: run the kernel in a grandchild, and end it when its asker goes away."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 2)
    with connection.makefile("r", encoding="utf-8") as lines:
        request = json.loads(lines.readline() or "null")
    if request is None or len(streams) != 2:
        os._exit(0)
    attend(connection, lambda supervisor: _run(supervisor, request, streams))


def _run(supervisor: int, request: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the grandchild: be the kernel."""
    os.setsid()
    die_with_parent(supervisor)
    for stream, target in zip(streams, (1, 2), strict=True):
        os.dup2(stream, target)
        os.close(stream)

    os.environ.clear()
    os.environ.update(request["environment"], JPY_PARENT_PID=str(supervisor))
    os.chdir(request["folder"])
    # ipykernel ends when this process is no longer its parent; it read the variable when imported
    parent = f"--IPKernelApp.parent_handle={supervisor}"
    sys.argv[:] = ["ipykernel_launcher", *request["arguments"], parent]
    code = 1
    try:
        from ipykernel import kernelapp

        kernelapp.launch_new_instance()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
