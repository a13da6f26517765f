"""How papermill runs a notebook of the chain: written once, when it has ended, and in a kernel that
may have been started before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.log import logger

from goemo_utils.chain.ahead import cancel, loop

if TYPE_CHECKING:
    from goemo_utils.chain.ahead import Ready

NAME = "goemo"
CELLS = "NotebookClient."
"""Begins the names of the coroutines in which nbclient runs a cell."""


class WrittenOnce(NotebookExecutionManager):  # type: ignore[misc]  # papermill has no types
    """papermill writes and checks a notebook twice a cell; here that is done when it has ended,
    however it ended. What is half done is of no use: it lies among the temporary files.
    """

    def save(self, **options: Any) -> None:
        """Write the notebook if it has ended."""
        if self.end_time is not None:
            super().save(**options)


class Engine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """papermill's own engine, with ``WrittenOnce``, and with a kernel that is ready where the
    option ``ready`` has one.
    """

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any
    ) -> Any:
        """Run the cells, and write the executed notebook to ``output_path``."""
        for papermills in ("progress_bar", "autosave_cell_every", "input_path"):
            options.pop(papermills, None)
        manager = WrittenOnce(nb, output_path, progress_bar=False, autosave_cell_every=0)
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, **options)
        finally:
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        ready: Ready | None = None,
        **options: Any,
    ) -> Any:
        """Run the cells in ``ready``, which whoever gave it ends, or in a kernel that starts now
        and ends with them.
        """
        limits = {
            "timeout": options.pop("execution_timeout"),
            "startup_timeout": options.pop("start_timeout"),
        }
        client = PapermillNotebookClient(
            nb_man, kernel_name=kernel_name, log=logger, **limits, **options
        )
        if ready is not None:
            client.km, client.kc, client.owns_km = ready.manager, ready.client, False
        try:
            return client.execute()
        except KeyboardInterrupt:
            _give_up_cells()
            raise


def _give_up_cells() -> None:
    """End what an interrupt left of the cell that ran: its tasks would fail with the kernel later,
    and asyncio print that nobody had looked.
    """
    for task in asyncio.all_tasks(loop()):
        if getattr(task.get_coro(), "__qualname__", "").startswith(CELLS):
            cancel(task)


papermill_engines.register(NAME, Engine)
