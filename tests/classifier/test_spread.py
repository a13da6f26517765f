"""Batches side by side give the answers of one after the other, in order, and leave torch's threads
as they were.
"""

import logging
import threading
import time

import pytest
import torch

from goemo_utils.classifier import spread

pytestmark = pytest.mark.usefixtures("four_threads")


def test_answers_come_in_the_order_of_the_batches() -> None:
    def run(batch: list[int]) -> int:
        time.sleep(0.01 / batch[0])  # the first ones end last
        return batch[0]

    assert spread.each(run, [[n] for n in range(1, 20)]) == list(range(1, 20))


@pytest.mark.parametrize(("batches", "inside"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_the_threads_of_torch_are_shared_out(batches: int, inside: int) -> None:
    seen = spread.each(
        lambda batch: (torch.get_num_threads(), threading.get_ident()),
        [[n] for n in range(batches)],
    )
    assert {threads for threads, _ in seen} == {inside}
    assert (threading.get_ident() in {ident for _, ident in seen}) == (batches == 1)


def test_as_many_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(4)
    spread.each(
        lambda batch: together.wait(timeout=20), [[n] for n in range(4)]
    )  # a broken barrier raises


def test_one_thread_runs_them_one_after_the_other_itself() -> None:
    torch.set_num_threads(1)
    assert set(spread.each(lambda batch: threading.get_ident(), [[1], [2], [3]])) == {
        threading.get_ident()
    }


@pytest.mark.parametrize("fails", [True, False])
def test_the_callers_threads_and_those_begun_later_stay_as_they_were(fails: bool) -> None:
    def run(batch: list[int]) -> None:
        if fails:
            raise ZeroDivisionError

    if fails:
        with pytest.raises(ZeroDivisionError):
            spread.each(run, [[1], [2]])
    else:
        spread.each(run, [[1], [2]])
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert torch.get_num_threads() == 4
    assert later == [4]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("goemo-batch")]


def test_after_an_error_the_batches_that_wait_are_not_run() -> None:
    ran: list[int] = []

    def run(batch: list[int]) -> None:
        ran.append(batch[0])
        time.sleep(0.01)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spread.each(run, [[n] for n in range(200)])
    assert len(ran) < 200


@pytest.mark.parametrize(
    ("tokens", "expected"), [(0, 1), (511, 1), (512, 2), (1000, 3), (100_000, 4)]
)
def test_small_work_is_not_cut_up(tokens: int, expected: int) -> None:
    assert spread.workers(tokens) == expected


def test_no_more_than_most_run_at_once() -> None:
    torch.set_num_threads(64)
    assert spread.workers(10**6) == spread.MOST


def _begun_later() -> int:
    """The number of threads that torch gives a thread begun now."""
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return told[0]


@pytest.mark.parametrize("kind", [IndexError, KeyboardInterrupt])
def test_what_a_batch_raises_is_raised_to_the_caller(kind: type[BaseException]) -> None:
    def run(batch: list[int]) -> int:
        if batch[0] == 2:
            raise kind("of this batch")
        return batch[0]

    with pytest.raises(kind, match="of this batch"):
        spread.each(run, [[n] for n in range(9)])


@pytest.mark.parametrize(
    ("error", "begun"),
    [
        (RuntimeError("can't start new thread"), 2),
        (RuntimeError("can't start new thread"), 0),
        (KeyboardInterrupt(), 2),
    ],
)
def test_threads_that_cannot_all_be_begun_leave_no_trace(
    error: BaseException,
    begun: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start, started = threading.Thread.start, []

    def failing(self: threading.Thread) -> None:
        if len(started) == begun:
            raise error
        started.append(self)
        start(self)

    with caplog.at_level(logging.DEBUG), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", failing)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                spread.each(lambda batch: batch[0], [[n] for n in range(9)])
        else:
            assert spread.each(lambda batch: batch[0], [[n] for n in range(9)]) == list(range(9))
    assert torch.get_num_threads() == _begun_later() == 4
    assert not caplog.records
    assert not any(thread.is_alive() for thread in started)
