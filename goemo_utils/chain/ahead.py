"""Kernels of steps to come: started and answering while an earlier step is at work.

A kernel takes a second until it answers, most of it waiting. So while a step runs, those of the two
steps after it are started; two, and none while 04_throughput runs, so that nothing starts beside
what it measures. A kernel that is never used ends with the run.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.parts import replacing
from goemo_utils.chain import kernels
from goemo_utils.forward.worker import START_SECONDS

if TYPE_CHECKING:
    from goemo_utils.params import Params

STEPS_AHEAD, MEASURING = 2, "04_throughput"
SETTINGS = ("--HistoryManager.hist_file=:memory:",)  # as nbclient starts a kernel
LOOK = 0.05
# Seconds that the server of forks is waited for: a kernel with its imports takes about as long.
PATIENCE = 10.0
ENDING = 5.0  # seconds that the end of a kernel, or of its start, is waited for


class _Unused(Exception):
    """Ends the block of a log that is not to be."""


@dataclass
class Ready:
    """A kernel, and its client once it answers. What its process prints lies beside ``log``, and
    takes that name in one move when the kernel is used.
    """

    manager: Any
    log: ExitStack
    client: Any = None

    async def answers(self) -> None:
        """Wait until both channels answer, as jupyter_client does, which then waits for a fifth of
        a second in which nothing comes: nbclient leaves alone what belongs to no cell of its own.

        Raises RuntimeError where the kernel ends first.
        """
        while await self.manager.is_alive():
            self.client.kernel_info()
            with suppress(Empty):
                await self.client.get_shell_msg(timeout=1)
                await self.client.get_iopub_msg(timeout=0.2)
                return
        raise RuntimeError("The kernel ended before it answered.")

    def use(self) -> None:
        """Let the log take its name."""
        self.log.close()

    async def gone(self) -> None:
        """End the kernel, and wait until it has."""
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)

    async def end(self) -> None:
        """End a kernel that is not used, and leave nothing of it."""
        if self.client is not None:
            self.client.stop_channels()
        await self.gone()
        with suppress(_Unused), self.log:
            raise _Unused


@dataclass
class Ahead:
    """The kernels of ``steps``, those that are to run, on their way; ``logs`` is the folder of
    their logs.
    """

    params: Params
    logs: Path
    steps: Sequence[str]
    begun: dict[str, Ready] = field(default_factory=dict)
    waiting: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    retired: list[Ready] = field(default_factory=list)

    def start_first(self) -> None:
        """Start the kernel of the first step: its process begins now."""
        first = self.steps[0]
        with suppress(Exception):  # it starts as ever, and then says why it cannot
            _until(self._begin(first))
            self.waiting[first] = loop().create_task(self._answers(first))

    @contextmanager
    def kernel(self, step: str) -> Iterator[Ready | None]:
        """The kernel of ``step`` while its notebook runs, None where it is to start as ever; those
        of later steps start meanwhile.
        """
        ready = self._take(step)
        self._start_after(step)
        if ready is None:
            yield None
            return
        ready.use()
        try:
            yield ready
        finally:
            self._retire(ready)

    def _start_after(self, step: str) -> None:
        """Start kernels for the steps that follow: they come up while the notebook of ``step``
        runs.
        """
        later = [name for name in self.steps if name > step and step != MEASURING]
        for name in later[:STEPS_AHEAD]:
            if name not in self.waiting:
                self.waiting[name] = loop().create_task(self._at_its_turn(name))

    def _take(self, step: str) -> Ready | None:
        """The kernel of ``step``, once it answers; None where none could be started ahead."""
        waiting = self.waiting.pop(step, None)
        if waiting is None:
            return None
        try:
            if step not in self.begun:
                _until(asyncio.wait_for(_server_listens(self.params), PATIENCE))
            _until(waiting)
            if _until(self.begun[step].manager.is_alive()):
                return self.begun.pop(step)
        except Exception:  # it starts as ever, and then says why it cannot
            cancel(waiting)
        if step in self.begun:
            _until(self.begun.pop(step).end())
        return None

    def _retire(self, ready: Ready) -> None:
        """Kill a kernel that was used. That it has gone is waited for when the run ends: nothing of
        it is needed until then.
        """
        with suppress(Exception):
            ready.client.stop_channels()
            _until(ready.manager.signal_kernel(signal.SIGKILL))
        self.retired.append(ready)

    def close(self) -> None:
        """End what was not used, and wait for what was."""
        while self.retired:
            _ended(loop().create_task(self.retired.pop().gone()))
        while self.waiting:
            _, waiting = self.waiting.popitem()
            cancel(waiting)
        while self.begun:
            _, ready = self.begun.popitem()
            _ended(loop().create_task(ready.end()))

    async def _at_its_turn(self, step: str) -> None:
        await _server_listens(self.params)
        await self._begin(step)
        await self._answers(step)

    async def _begin(self, step: str) -> None:
        """Start the process of a step's kernel."""
        from jupyter_client.manager import AsyncKernelManager

        kind = kernels.manager(self.params).get("kernel_manager_class", AsyncKernelManager)
        ready = Ready(kind(kernel_name="python3"), ExitStack())
        self.logs.mkdir(parents=True, exist_ok=True)
        log = ready.log.enter_context(replacing(self.logs / f"{step}.log"))
        self.begun[step] = ready
        with open(log, "ab") as stream:
            await ready.manager.start_kernel(extra_arguments=list(SETTINGS), stderr=stream)

    async def _answers(self, step: str) -> None:
        """Wait until a kernel answers."""
        ready = self.begun[step]
        ready.client = ready.manager.client()
        # no heartbeat, a thread of its own: whether the kernel lives is asked of its manager
        ready.client.start_channels(hb=False)
        await asyncio.wait_for(ready.answers(), START_SECONDS)
        ready.client.allow_stdin = False


async def _server_listens(params: Params) -> None:
    """Wait until a kernel would begin as it should."""
    while not kernels.can_begin(params):
        await asyncio.sleep(LOOK)


def loop() -> asyncio.AbstractEventLoop:
    """The loop in which nbclient runs a notebook here."""
    from jupyter_core.utils import ensure_event_loop

    running: asyncio.AbstractEventLoop = ensure_event_loop()
    return running


def _until(work: asyncio.Task[Any] | Coroutine[Any, Any, Any]) -> Any:
    return loop().run_until_complete(work)


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    _ended(task)


def _ended(task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended, but not for ever: an interrupt from the keyboard may have taken
    from the loop the very step that would end it.
    """
    done, _ = _until(asyncio.wait([task], timeout=ENDING))
    for one in done:
        if not one.cancelled():
            one.exception()  # looked at: what it was is of no use any more
