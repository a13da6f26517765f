"""The logs of exercise 12: the doctor finds the line that the judge asks for, whatever the seed."""

from __future__ import annotations

import pytest

from goemo_utils.environment import explain
from goemo_utils.learn import logs
from goemo_utils.learn.exercises.e12_read_the_log import ACTIONS

SEEDS = range(6)
EVERY = len(logs.stories())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_doctor_puts_the_line_of_the_cause_first(seed: int) -> None:
    for log in logs.drawn(seed, EVERY):
        evidence = explain(log.text)[0]["evidence"]
        shown = [at for at, line in enumerate(log.lines, 1) if evidence in line]
        assert shown == log.roots, log.story


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_has_one_line_that_tells_the_cause_among_many(seed: int) -> None:
    for log in logs.drawn(seed, EVERY):
        assert len(log.roots) == 1
        assert len(log.lines) > 20
        assert "{" not in log.text


def test_every_log_has_something_to_do_about_it_and_there_is_more_to_choose() -> None:
    assert {story.action for story in logs.stories().values()} < set(ACTIONS)


def test_another_seed_moves_the_lines() -> None:
    assert logs.drawn(1, EVERY) != logs.drawn(2, EVERY)
