"""Several cards timed at once: they begin together, and what they do is set against each alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.errors import WorkerError
from goemo_utils.throughput.cards import meet, overlap, scaling

WINDOWS = {0: (0.0, 10.0), 1: (0.5, 10.5)}


def rate(median: float | None, spread: float = 0.0) -> dict[str, Any]:
    known = median is not None
    return {"median": median, "ci95": [median - spread, median + spread] if known else None}


def test_workers_that_meet_go_on_when_the_last_has_come(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(meet, tmp_path, str(card), 4, 60.0) for card in range(3)]
        assert not any(worker.done() for worker in waiting)
        meet(tmp_path, "3", 4, 60.0)
        assert [worker.result(60) for worker in waiting] == [None] * 3


def test_a_worker_that_never_comes_is_told_with_how_many_were_there(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="Only 1 of 4 cards were ready"):
        meet(tmp_path, "0", 4, timeout=0.0)


def test_the_efficiency_is_the_rate_at_once_over_the_sum_of_each_alone() -> None:
    told = scaling({0: rate(100), 1: rate(50)}, {0: rate(80), 1: rate(40)}, WINDOWS)
    assert told["value"] == pytest.approx(0.8)
    assert told["together"] == 120
    assert told["alone"] == 150
    assert told["reason"] is None


def test_its_interval_is_that_of_the_ends_of_the_cards_own() -> None:
    told = scaling({0: rate(100, 10), 1: rate(100, 10)}, {0: rate(90, 5), 1: rate(90, 5)}, WINDOWS)
    assert told["ci95"] == pytest.approx([170 / 220, 190 / 180])


@pytest.mark.parametrize(
    ("together", "windows", "reason"),
    [
        ({0: rate(80)}, WINDOWS, "not every card was timed"),
        ({0: rate(80), 1: rate(None)}, WINDOWS, "not every card was timed"),
        ({0: rate(80), 1: rate(40)}, {0: (0.0, 10.0), 1: (9.0, 19.0)}, "5% of the time"),
    ],
)
def test_no_efficiency_is_stated_of_cards_that_did_not_work_at_once(
    together: dict[int, Any], windows: dict[int, Any], reason: str
) -> None:
    told = scaling({0: rate(100), 1: rate(50)}, together, windows)
    assert told["value"] is None
    assert reason in told["reason"]


def test_one_card_and_simulated_ones_have_none() -> None:
    assert scaling({0: rate(100)}, {0: rate(90)}, WINDOWS)["reason"] == "there is one card"
    simulated = scaling({0: rate(9), 1: rate(9)}, {0: rate(9), 1: rate(9)}, WINDOWS, "simulated")
    assert simulated["value"] is None
    assert simulated["together"] is None


def test_the_overlap_is_the_share_of_the_time_in_which_all_worked() -> None:
    assert overlap({0: (0.0, 10.0), 1: (5.0, 15.0)}) == pytest.approx(1 / 3)
    assert overlap({0: (0.0, 1.0), 1: (2.0, 3.0)}) == 0.0
