"""Batches across requests: what waits is run together, in one thread, in the classifier's own
batches.

Nobody waits for company who comes alone: an idle batcher begins at once, and only after a round
that several requests shared does it give them a moment to come back. A large request is cut into
pieces, so that small ones pass it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

Run = Callable[[list[list[int]]], np.ndarray]


class QueueFull(Exception):
    """More texts wait than may; the caller should come back later."""


class Closed(Exception):
    """The batcher takes nothing any more: its model is being replaced, or the server stops."""


@dataclass(frozen=True)
class Round:
    """What was run together: ``waited`` seconds of its oldest request, ``seconds`` of computing."""

    requests: int
    texts: int
    tokens: int
    waited: float
    seconds: float


@dataclass(eq=False)
class _Waiting:
    ids: Sequence[list[int]]
    future: Future[np.ndarray]
    since: float = field(default_factory=time.monotonic)
    rows: list[np.ndarray] = field(default_factory=list)
    taken: int = 0


@dataclass(frozen=True)
class _Piece:
    of: _Waiting
    ids: Sequence[list[int]]


class Batcher:
    """A queue of tokenised requests before ``run``, which gives a row a text.

    ``budget``: tokens of one round; ``queue``: texts that may wait; ``linger`` seconds to wait for
    company after a round that had some; ``alone``: held while ``run`` computes, shared by batchers
    on one device.
    """

    def __init__(
        self,
        run: Run,
        budget: int,
        queue: int,
        linger: float = 0.002,
        alone: threading.Lock | None = None,
        tell: Callable[[Round], None] = lambda round: None,
    ) -> None:
        self._run, self._budget, self._queue, self._linger = run, budget, queue, linger
        self._alone, self._tell = alone or threading.Lock(), tell
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.waiting_texts = 0
        self._thread = threading.Thread(target=self._work, name="goemo-batcher", daemon=True)

        self._thread.start()

    def submit(self, ids: Sequence[list[int]]) -> Future[np.ndarray]:
        """Queue one request; its future gives rows [n_texts, …] in its order.

        Raises QueueFull when too many texts wait, and Closed after ``close``.
        """
        waiting = _Waiting(ids, Future())
        with self._changed:
            if self._closed:
                raise Closed
            if self._waiting and self.waiting_texts + len(ids) > self._queue:
                raise QueueFull
            self._waiting.append(waiting)
            self.waiting_texts += len(ids)
            self._changed.notify()

        return waiting.future

    def close(self) -> None:
        """Take nothing more, answer what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        company = 1
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                if company > 1:
                    self._wait_for(company)
                pieces = self._take()

            if pieces:
                company = len(pieces)
                self._compute(pieces)

    def _wait_for(self, company: int) -> None:
        """Give as many requests as shared the last round a moment to come back."""
        self._changed.wait_for(
            lambda: len(self._waiting) >= company or self._closed, timeout=self._linger
        )

    def _take(self) -> list[_Piece]:
        """The pieces of the next round: whole requests in the order they came, but of one no more
        than half the budget while others wait.
        """
        pieces: list[_Piece] = []
        left = self._budget
        for _ in range(len(self._waiting)):
            if pieces and len(self._waiting[0].ids[self._waiting[0].taken]) > left:
                break
            waiting = self._waiting.popleft()
            if waiting.future.cancelled():
                self.waiting_texts -= len(waiting.ids) - waiting.taken
                continue
            most = left if not self._waiting else min(left, max(self._budget // 2, 1))
            ids = _within(waiting.ids[waiting.taken :], most)
            waiting.taken += len(ids)
            self.waiting_texts -= len(ids)
            left -= sum(map(len, ids))
            pieces.append(_Piece(waiting, ids))
            if waiting.taken < len(waiting.ids):
                self._waiting.append(waiting)

        return pieces

    def _compute(self, pieces: list[_Piece]) -> None:
        began = time.monotonic()
        waited = began - min(piece.of.since for piece in pieces)
        ids = [row for piece in pieces for row in piece.ids]
        try:
            with self._alone:
                rows = self._run(ids)
        except Exception as error:
            self._one_by_one(pieces, error)
            return

        seconds = time.monotonic() - began
        self._tell(Round(len(pieces), len(ids), sum(map(len, ids)), waited, seconds))
        at = 0
        for piece in pieces:
            _deliver(piece.of, rows[at : at + len(piece.ids)])
            at += len(piece.ids)

    def _one_by_one(self, pieces: list[_Piece], error: Exception) -> None:
        """After a failed round each request runs alone, so that one at fault takes none along."""
        for piece in pieces:
            try:
                if len(pieces) == 1:
                    raise error
                with self._alone:
                    rows = self._run(list(piece.ids))
            except Exception as own:
                self._give_up(piece.of, own)
            else:
                _deliver(piece.of, rows)

    def _give_up(self, waiting: _Waiting, error: Exception) -> None:
        with self._changed:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self.waiting_texts -= len(waiting.ids) - waiting.taken
        if waiting.future.set_running_or_notify_cancel():
            waiting.future.set_exception(error)


def _within(ids: Sequence[list[int]], tokens: int) -> Sequence[list[int]]:
    """As many of the first texts as fit into ``tokens``, at least one."""
    held = 0
    for number, row in enumerate(ids):
        held += len(row)
        if held > tokens and number:
            return ids[:number]
    return ids


def _deliver(waiting: _Waiting, rows: np.ndarray) -> None:
    waiting.rows.append(rows)
    is_whole = sum(map(len, waiting.rows)) == len(waiting.ids)
    if is_whole and waiting.future.set_running_or_notify_cancel():
        waiting.future.set_result(np.concatenate(waiting.rows))
