"""Batches on several cores at once: whole batches side by side lose less to waiting than the
threads inside every single product do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock, Semaphore, Thread
from typing import Generic, TypeVar

import torch

from goemo_utils.forward import threads

Answer = TypeVar("Answer")
# Python runs one thread at a time, so more batches than this at once would wait for it; each then
# has several threads inside.
MOST = 8
# Tokens of the smallest batches that are worth a thread of their own: products of fewer rows are
# slower.
SMALLEST = 256


def at_once() -> int:
    """How many batches run at once where there are enough of them, by the number of threads that
    torch may use here.
    """
    threads.begin()
    return min(torch.get_num_threads(), MOST)


def workers(tokens: int) -> int:
    """How many batches of ``tokens`` in all are worth running at once."""
    return max(1, min(at_once(), tokens // SMALLEST))


def each(run: Callable[[list[int]], Answer], batches: Sequence[list[int]]) -> list[Answer]:
    """``run`` of every batch, in their order; side by side where torch may use several threads and
    there are several batches.

    ``run`` must be safe to call from several threads. torch's threads are shared out among them;
    the caller's own setting stays as it was. Where no thread can be begun, as when the program is
    ending, the batches run one after the other.
    """
    number = torch.get_num_threads()
    together = min(at_once(), len(batches))
    answers = _Shared(run, batches, number, together).answers() if together > 1 else None
    return [run(batch) for batch in batches] if answers is None else answers


class _Shared(Generic[Answer]):
    """Batches that ``together`` threads take one after the other, each on its share of ``number``.

    No thread waits for another to begin, as those of a pool must: on a busy machine that is a
    tenth of a small call.
    """

    def __init__(
        self,
        run: Callable[[list[int]], Answer],
        batches: Sequence[list[int]],
        number: int,
        together: int,
    ) -> None:
        self.run, self.number, self.share = run, number, number // together
        self.left = deque(enumerate(batches))
        self.done: dict[int, Answer] = {}
        self.error: BaseException | None = None
        self.setting, self.begun, self.ended = Lock(), Semaphore(0), Event()
        self.threads = [Thread(target=self._work, name=f"goemo-batch_{i}") for i in range(together)]

    def answers(self) -> list[Answer] | None:
        """The answers in the order of the batches; None where a thread could not be begun."""
        started = []
        try:
            for thread in self.threads:
                thread.start()
                started.append(thread)
            for _ in started:
                self.begun.acquire()
            # the number is each thread's own, but one begun later anywhere takes the one set last
            torch.set_num_threads(self.number)
            for thread in started:
                thread.join()
        except RuntimeError:  # only beginning a thread raises it: what run raises is kept
            return None
        finally:
            # Also where Ctrl-C came before all threads had begun: they must not set their number
            # after this, nor take another batch.
            with self.setting:
                self.ended.set()
                torch.set_num_threads(self.number)
            for thread in started:
                thread.join()

        if self.error is not None:
            raise self.error
        return [self.done[place] for place in range(len(self.done))]

    def _work(self) -> None:
        # else the thread's first product would take the number that was set last anywhere
        torch.get_num_threads()
        with self.setting:
            if not self.ended.is_set():
                torch.set_num_threads(self.share)
        self.begun.release()

        while not self.ended.is_set():
            try:
                place, batch = self.left.popleft()
            except IndexError:
                return
            try:
                self.done[place] = self.run(batch)
            except BaseException as error:
                self.error = error
                self.ended.set()
