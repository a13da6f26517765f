"""Executes a learner's notebook in a kernel of its own, and tells how far it is."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from goemo_utils.errors import GoemoError, first_line

SECONDS = 1800  # a cell: exercise 13's runs the whole chain, on a busy machine too
BEAT = 30.0
"""Seconds after which a cell that says nothing is named again."""


class Stopped(GoemoError):
    """The execution of a notebook was ended from outside: by Ctrl-C, a scheduler, a time limit."""

    exit_code = 3


class Client(NotebookClient):
    """A client that passes on what a cell writes to standard error, and that can be stopped.

    nbclient ends its kernel at a signal, and again when the execution has failed by that; the
    second time there is none any more.
    """

    heard: Callable[[str], None]

    async def _async_cleanup_kernel(self) -> None:
        if self.km is not None:
            await super()._async_cleanup_kernel()

    @property
    def stopped(self) -> bool:
        """Whether a signal ended it."""
        return hasattr(self, "_async_cleanup_kernel_future")

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: Any) -> Any:
        """Take an output of a cell, as nbclient does."""
        content = msg["content"]
        if content.get("name") == "stderr":
            self.heard(str(content.get("text", "")))
        return super().output(outs, msg, display_id, cell_index)


class Teller:
    """Says which cell runs, what it says of its own steps, and that it still runs."""

    def __init__(self, tell: Callable[[str], None], cells: int) -> None:
        self.tell = tell
        self.cells = cells
        self.place = 0
        self.began = time.monotonic()
        self.spoke = self.began

    def begin(self, cell: Any, **_: Any) -> None:
        """A cell begins."""
        self.place += 1
        self.began = time.monotonic()
        code = (line.strip() for line in cell.source.splitlines())
        first = next((line for line in code if line and not line.startswith("#")), "")
        self._say(f"{self.where}: {first[:60]}")

    def hear(self, text: str) -> None:
        """A cell wrote to standard error; of a line that is written over, each state is said."""
        for line in filter(None, map(str.strip, re.split(r"[\r\n]+", text))):
            self._say(f"    {line[:100]}")

    @property
    def where(self) -> str:
        """The cell that runs, of how many."""
        return f"cell {self.place} of {self.cells}"

    def _say(self, line: str) -> None:
        self.spoke = time.monotonic()
        self.tell(line)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Within this context a cell that has said nothing for a while is named again."""
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(over,), daemon=True)
        beat.start()
        try:
            yield
        finally:
            over.set()
            beat.join()

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(1.0):
            if time.monotonic() - self.spoke >= BEAT:
                seconds = time.monotonic() - self.began
                self._say(f"    {self.where} still runs, {seconds:.0f} s so far")


def execute(
    notebook: Any,
    folder: str,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
    log: Any,
) -> str | None:
    """Execute a notebook in place, its kernel working in ``folder``; what stopped it, in a
    sentence, or None. Raises Stopped where the execution was ended from outside.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    teller = Teller(tell, len(code))
    client = Client(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}})
    client.on_cell_execute = teller.begin
    client.heard = teller.hear

    try:
        with teller.beating():
            client.execute(env=dict(environment), stdout=log, stderr=log)
    except CellExecutionError as error:
        return f"The notebook stopped: {error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        if not client.stopped:
            return f"The notebook stopped: {first_line(error)}"
    if client.stopped:
        raise Stopped(
            f"The check was stopped from outside, in {teller.where}; nothing was judged and no try"
            " was counted. Run it again, with more time."
        )
    return None
