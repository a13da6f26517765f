"""Batches on several cores at once: whole batches side by side lose less to waiting than the
threads inside every single product do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Event, Lock
from typing import TypeVar

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
    answers = _side_by_side(run, batches, number, together) if together > 1 else None
    return [run(batch) for batch in batches] if answers is None else answers


def _side_by_side(
    run: Callable[[list[int]], Answer], batches: Sequence[list[int]], number: int, together: int
) -> list[Answer] | None:
    """The answers; None where a thread could not be begun."""
    started, setting, ended = Barrier(together + 1), Lock(), Event()

    def start() -> None:
        # else the thread's first product would take the number that was set last anywhere
        torch.get_num_threads()
        with setting:
            if not ended.is_set():
                torch.set_num_threads(number // together)
        with suppress(BrokenBarrierError):
            started.wait()

    pool = ThreadPoolExecutor(together, thread_name_prefix="goemo-batch", initializer=start)
    try:
        try:
            answers = pool.map(run, batches)
        except RuntimeError:  # pool.map only begins threads: what run raises comes with the answers
            return None
        started.wait()
        torch.set_num_threads(
            number
        )  # the number is each thread's own, but one begun later anywhere takes the one set last
        return list(answers)
    finally:
        # Also where Ctrl-C came before all threads had begun: the others must not wait for them,
        # nor set their number after this.
        with setting:
            ended.set()
            torch.set_num_threads(number)
        started.abort()
        pool.shutdown(cancel_futures=True)
