"""Batches across requests: in order, without waiting alone, and nobody falls with another."""

import threading
import time
from concurrent.futures import Future, wait

import numpy as np
import pytest

from goemo_utils.serve.batcher import Batcher, Closed, QueueFull, Round

SOON = 20  # seconds; nothing here takes one


def rows_of(ids: list[list[int]]) -> np.ndarray:
    """A row a text that says which text it was."""
    return np.array([[row[0], len(row)] for row in ids], dtype=np.float32)


class Held:
    """A computation that begins when ``go`` is set, and tells what it was given."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.rounds: list[list[list[int]]] = []

    def __call__(self, ids: list[list[int]]) -> np.ndarray:
        self.rounds.append(ids)
        self.begun.set()
        assert self.go.wait(SOON)
        return rows_of(ids)


def behind(held: Held, batcher: Batcher) -> Future[np.ndarray]:
    """A first request that keeps the batcher busy."""
    first = batcher.submit([[0]])
    assert held.begun.wait(SOON)
    return first


def test_what_waits_is_computed_together_and_every_request_gets_its_own_rows() -> None:
    held = Held()
    batcher = Batcher(held, budget=100, queue=100)
    first = behind(held, batcher)
    futures = [batcher.submit([[10 * n], [10 * n + 1, 0]]) for n in range(1, 5)]
    held.go.set()
    for n, future in enumerate(futures, 1):
        assert future.result(SOON).tolist() == [[10 * n, 1], [10 * n + 1, 2]]
    assert first.result(SOON).tolist() == [[0, 1]]
    assert [len(ids) for ids in held.rounds] == [1, 8]
    batcher.close()


def test_who_comes_alone_does_not_wait_for_company() -> None:
    batcher = Batcher(rows_of, budget=100, queue=100, linger=SOON)
    for n in range(5):
        began = time.monotonic()
        batcher.submit([[n]]).result(SOON)
        assert time.monotonic() - began < SOON / 2, "it waited for others who never came"
    batcher.close()


def test_a_round_holds_its_budget_of_tokens_and_a_longer_text_runs_alone() -> None:
    held = Held()
    batcher = Batcher(held, budget=10, queue=100)
    behind(held, batcher)
    futures = [batcher.submit([[n] * 4]) for n in range(4)] + [batcher.submit([[9] * 30])]
    held.go.set()
    wait(futures, SOON)
    sizes = [[len(row) for row in ids] for ids in held.rounds[1:]]
    assert sum(map(len, sizes)) == 5
    assert all(sum(size) <= 10 or len(size) == 1 for size in sizes)
    batcher.close()


def test_a_small_request_passes_a_large_one() -> None:
    held = Held()
    batcher = Batcher(held, budget=10, queue=1000)
    behind(held, batcher)
    large = batcher.submit([[1]] * 200)
    small = batcher.submit([[2]])
    held.go.set()
    assert small.result(SOON).tolist() == [[2, 1]]
    place = next(n for n, ids in enumerate(held.rounds) if [2] in ids)
    assert place <= 2
    assert large.result(SOON).shape == (200, 2)
    batcher.close()


def test_a_request_at_fault_takes_no_other_along() -> None:
    held = Held()

    def run(ids: list[list[int]]) -> np.ndarray:
        if [13] in ids:
            raise RuntimeError("a text that breaks the model")
        return held(ids)

    batcher = Batcher(run, budget=100, queue=100)
    behind(held, batcher)
    good, bad, better = batcher.submit([[1]]), batcher.submit([[13]]), batcher.submit([[2]])
    held.go.set()
    assert good.result(SOON).tolist() == [[1, 1]]
    assert better.result(SOON).tolist() == [[2, 1]]
    with pytest.raises(RuntimeError, match="breaks the model"):
        bad.result(SOON)
    assert batcher.submit([[3]]).result(SOON).tolist() == [[3, 1]]
    assert batcher.waiting_texts == 0
    batcher.close()


def test_a_full_queue_refuses_and_takes_again_when_there_is_room() -> None:
    held = Held()
    batcher = Batcher(held, budget=100, queue=3)
    behind(held, batcher)
    kept = batcher.submit([[1], [2], [3]])
    with pytest.raises(QueueFull):
        batcher.submit([[4]])
    held.go.set()
    kept.result(SOON)
    assert batcher.submit([[5]]).result(SOON).tolist() == [[5, 1]]
    batcher.close()


def test_a_request_that_was_given_up_is_not_computed() -> None:
    held = Held()
    batcher = Batcher(held, budget=100, queue=100)
    behind(held, batcher)
    lost, kept = batcher.submit([[1]]), batcher.submit([[2]])
    assert lost.cancel()
    held.go.set()
    kept.result(SOON)
    assert [[2]] in held.rounds
    assert batcher.waiting_texts == 0
    batcher.close()


def test_closing_answers_what_waits_and_takes_nothing_more() -> None:
    held = Held()
    batcher = Batcher(held, budget=1, queue=100)
    behind(held, batcher)
    futures = [batcher.submit([[n]]) for n in range(5)]
    held.go.set()
    batcher.close()
    assert [int(future.result(0)[0, 0]) for future in futures] == list(range(5))
    with pytest.raises(Closed):
        batcher.submit([[1]])


def test_a_round_is_told_with_its_sizes() -> None:
    told: list[Round] = []
    batcher = Batcher(rows_of, budget=100, queue=100, tell=told.append)
    batcher.submit([[1], [2, 2]]).result(SOON)
    batcher.close()
    assert [(r.requests, r.texts, r.tokens) for r in told] == [(1, 2, 3)]


def test_many_threads_get_their_own_answers() -> None:
    batcher = Batcher(rows_of, budget=50, queue=10_000)
    wrong = []

    def work(me: int) -> None:
        for n in range(50):
            sent = [[me * 1000 + n + i] * (1 + i) for i in range(3)]
            if batcher.submit(sent).result(SOON).tolist() != rows_of(sent).tolist():
                wrong.append((me, n))

    threads = [threading.Thread(target=work, args=(me,)) for me in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    batcher.close()
    assert wrong == []
