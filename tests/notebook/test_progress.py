"""What a notebook says while a child process works."""

import pytest

from goemo_utils.notebook.exercise import check
from goemo_utils.notebook.progress import Progress, duration


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_that_counts_tells_the_time_left() -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    clock.now += 10
    assert progress.left("gold: 20 of 100 texts") == "about 40 s left"


def test_the_next_job_counts_anew() -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    clock.now += 1000
    progress.job()
    clock.now += 10
    assert progress.left("candidate: 5 of 10 texts") == "about 10 s left"


def test_without_counts_the_last_time_of_the_step_tells_it() -> None:
    clock = Clock()
    progress = Progress(last_time=90.0, clock=clock)
    clock.now += 20
    assert progress.left("timing in turns") == "about 1 min 10 s left"
    clock.now += 100
    assert progress.left("timing in turns") == "2 min 0 s so far"


def test_without_either_the_time_spent_is_said() -> None:
    clock = Clock()
    progress = Progress(clock=clock)
    clock.now += 3
    assert progress.left("warming up: cpu") == "3 s so far"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s")]
)
def test_seconds_are_told_for_a_reader(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_unsolved_exercise_is_not_wrong() -> None:
    assert "in place of None" in check(None, 7, "a hint")


def test_a_right_guess_is_right_and_hears_what_it_means() -> None:
    assert check(7, 7, "a hint", meaning="All seven.") == "Right. All seven."
    assert check(1.009, 1.0, "a hint", within=0.01) == "Right."


def test_a_wrong_guess_hears_the_hint_and_not_the_answer() -> None:
    said = check(3, 299, "solve for n")
    assert said == "Not yet: solve for n"
    assert "299" not in said


def test_a_word_is_compared_with_a_number_without_an_error() -> None:
    assert check("seven", 7, "a number").startswith("Not yet")
