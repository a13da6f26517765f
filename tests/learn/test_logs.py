"""The logs of exercise 12: one line is the cause, and the doctor alone does not find it."""

from __future__ import annotations

import re
from random import Random

import pytest

from goemo_utils.learn import logs
from goemo_utils.learn.exercises.e12_read_the_log import ACTIONS, KINDS, MEANING

SEEDS = range(5)
KNOWN = sorted(set(logs.stories()) - {*logs.UNKNOWN, "retried"})
STAMP = re.compile(r"^INFO (\d\d-\d\d \d\d:\d\d:\d\d) \[(\d+)\]")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_doctors_first_finding_is_the_answer_in_one_log_of_four(seed: int) -> None:
    right = [logs.by_doctor(log) for log in logs.drawn(seed, 4)]
    assert sum(right) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_has_one_line_that_tells_the_cause_among_many(seed: int) -> None:
    for log in logs.drawn(seed, 4):
        assert [line.kind for line in log.lines].count("root") == 1
        assert len(log.lines) > 15
        assert "{" not in log.text


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_line_is_has_words_where_it_is_not_the_cause(seed: int) -> None:
    for log in logs.drawn(seed, 4):
        assert {line.kind for line in log.lines} <= {"root", *KINDS}
        assert log.case in MEANING
        assert log.action in ACTIONS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_tells_its_time_in_order_and_no_more_after_its_failure(seed: int) -> None:
    for log in logs.drawn(seed, 4):
        last: dict[str, str] = {}
        failed: set[str] = set()
        for line in log.lines:
            if "ERROR " in line.text[:6]:
                failed.add(line.text.split("[")[1].split("]")[0])
            if stamp := STAMP.match(line.text):
                assert stamp[2] not in failed
                assert last.get(stamp[2], "") <= stamp[1]
                last[stamp[2]] = stamp[1]


@pytest.mark.parametrize("seed", range(20))
def test_the_service_answers_after_an_older_failure_and_after_a_second_try(seed: int) -> None:
    for case in ("older", "retried"):
        log = logs._log(Random(seed), case)
        moments = [line.text[5:19] for line in log.lines if " answered" in line.text]
        over = [line.text for line in log.lines if line.kind == case]
        times = [
            found[0] for text in over if (found := re.findall(r"\d\d-\d\d \d\d:\d\d:\d\d", text))
        ]
        assert max(moments) > max(times)


@pytest.mark.parametrize("name", KNOWN)
def test_the_doctor_finds_the_cause_of_a_failure_that_stands_alone(name: str) -> None:
    rows = logs._failure(
        Random(1),
        logs.Process("serve.py", 4711, 0, logs.datetime(2026, 3, 1)),
        name,
        logs.datetime(2026, 3, 1),
    )
    assert logs.by_doctor(logs.Log("plain", name, "", 4711, tuple(rows)))


def test_there_is_more_to_choose_than_can_be_right() -> None:
    assert {story.action for story in logs.stories().values()} < set(ACTIONS)


def test_another_seed_moves_the_lines() -> None:
    assert logs.drawn(1, 4) != logs.drawn(2, 4)
