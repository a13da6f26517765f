"""Who does the CPU's share of an analysis: this process when it is asked, or one beside it.

A rehearsed device computes on the same cores as gold and the reference, and one after the other
they leave cores idle: products of few rows use a second one poorly. So a large model's share is
done in a child process, each with half of the threads. The child is forked before this process has
a second thread, and loads the model itself. Pieces are done in the order in which they were asked
for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from queue import Queue
from typing import Any, NoReturn, Protocol

import torch

from goemo_utils.boundary.signals import die_with_parent
from goemo_utils.errors import WorkerError
from goemo_utils.forward.server import death
from goemo_utils.parity.message import read, written
from goemo_utils.parity.share import Share
from goemo_utils.rehearsal.kept import KEPT

ON_THESE_CORES = frozenset({"cpu", "rehearsal"})
"""Devices that compute on the cores on which gold and the reference do."""
AHEAD = 100
"""Pieces that wait in the child at most; whoever asks for more waits until it takes one."""
TASKS = Path("/proc/self/task")
"""The threads of this process, where the system tells them."""


class Doer(Protocol):
    """Does the CPU's share."""

    apart: bool
    """Whether it goes on while whoever asked does something else."""
    seconds: dict[str, float]
    """What pieces took that were done elsewhere, by their names."""

    def ask(self, name: str, *args: Any) -> Callable[[], Any]:
        """Ask for a piece; what is given waits for its result."""


class Here:
    """Does each piece where it is asked for."""

    apart = False

    def __init__(self, share: Share) -> None:
        self.share = share
        self.seconds: dict[str, float] = {}

    def ask(self, name: str, *args: Any) -> Callable[[], Any]:
        """The piece is done now."""
        result = getattr(self.share, name)(*args)
        return lambda: result


class Child:
    """Has the pieces done by a child process."""

    apart = True

    def __init__(
        self, pid: int, connection: Connection, progress: Callable[[str], None] = lambda line: None
    ) -> None:
        self.pid, self.connection, self.progress = pid, connection, progress
        self.seconds: dict[str, float] = {}
        self._end = ""
        self._names: list[str] = []
        self._results: list[dict[str, Any]] = []
        self._answers: Queue[dict[str, Any]] = Queue()
        # a large answer must not keep the child from its next piece
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, name: str, *args: Any) -> Callable[[], Any]:
        """The piece is sent. Raises WorkerError where the child has ended."""
        number = len(self._names)
        self._names.append(name)
        try:
            self.connection.send_bytes(written((name, args)))
        except ConnectionError:
            self._ended()
        return lambda: self._result(number)

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._answers.put(read(self.connection.recv_bytes()))
        self._answers.put({"ended": True})

    def _result(self, number: int) -> Any:
        while len(self._results) <= number:
            if not self.pid:
                self._ended()
            answer = self._answers.get()
            if "ended" in answer:
                self._ended()
            if "progress" in answer:
                self.progress(answer["progress"])
                continue
            name = self._names[len(self._results)]
            self.seconds[name] = self.seconds.get(name, 0.0) + answer["seconds"]
            self._results.append(answer)

        answer = self._results[number]
        if "error" in answer:
            raise answer["error"]
        return answer["result"]

    def _ended(self) -> NoReturn:
        """Say how the child ended."""
        if self.pid:
            _, status = os.waitpid(self.pid, 0)
            self.pid, self._end = 0, death(os.waitstatus_to_exitcode(status))
        raise WorkerError(
            f"The process that computes gold and the reference {self._end}. Run again."
        )

    def close(self) -> None:
        """End the child, which has nothing to tidy."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


@contextmanager
def begun(
    wanted: bool, made: Callable[[Callable[[str], None]], Share], progress: Callable[[str], None]
) -> Iterator[Child | None]:
    """A child that does the share that ``made`` makes in it; None where none is wanted, or where
    this process has other threads already, whose locks a fork would copy.
    """
    if not wanted or not _single():
        yield None
        return

    threads = max(1, torch.get_num_threads() // 2)
    ours, theirs = Pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _live(parent, theirs, threads, made)
    theirs.close()
    child = Child(pid, ours, progress)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield child
    finally:
        child.close()
        torch.set_num_threads(before)


def _single() -> bool:
    """Whether this process has one thread alone; false where the system does not tell."""
    return TASKS.is_dir() and len(list(TASKS.iterdir())) == 1


def _live(
    parent: int,
    connection: Connection,
    threads: int,
    made: Callable[[Callable[[str], None]], Share],
) -> NoReturn:
    """In the child: do what is asked until nobody asks, and end without tidying."""
    try:
        die_with_parent(parent)
        torch.set_num_threads(threads)
        pieces: Queue[bytes] = Queue(AHEAD)
        threading.Thread(target=_receive, args=(connection, pieces), daemon=True).start()
        _serve(connection, pieces, made)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(1)


def _receive(connection: Connection, pieces: Queue[bytes]) -> None:
    """Take what is asked as it comes, and end the process when nobody can ask any more."""
    with suppress(EOFError, OSError):
        while True:
            pieces.put(connection.recv_bytes())
    os._exit(0)


def _serve(
    connection: Connection,
    pieces: Queue[bytes],
    made: Callable[[Callable[[str], None]], Share],
) -> NoReturn:
    def send(answer: dict[str, Any]) -> None:
        connection.send_bytes(written(answer))

    with torch.no_grad():
        share = made(lambda line: send({"progress": line}))
        with KEPT.keeping(share.twins.weights()):
            while True:
                name, args = read(pieces.get())
                started = time.perf_counter()
                try:
                    answer = {"result": getattr(share, name)(*args)}
                except Exception as error:
                    traceback.print_exc()
                    answer = {"error": error}
                send({**answer, "seconds": time.perf_counter() - started})
