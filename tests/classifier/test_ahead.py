"""One item ahead: the answers are those of one after the other, and errors stand in their place."""

import threading
from collections.abc import Iterator

import pytest

from goemo_utils.classifier.ahead import one_ahead


def numbers(until: int) -> Iterator[int]:
    """0, 1, … and then a reading that fails."""
    yield from range(until)
    raise OSError("the disk is gone")


def test_the_answers_are_those_of_one_after_the_other() -> None:
    assert list(one_ahead(str, range(5))) == ["0", "1", "2", "3", "4"]
    assert list(one_ahead(str, [])) == []


def test_the_next_item_is_under_way_while_an_answer_is_held() -> None:
    begun = [threading.Event() for _ in range(3)]
    answers = one_ahead(lambda item: begun[item].set(), range(3))
    next(answers)
    assert begun[1].wait(10)
    answers.close()
    assert not begun[2].is_set()


@pytest.mark.parametrize("until", [0, 1, 2, 3])
def test_what_was_read_before_a_failed_reading_is_answered_first(until: int) -> None:
    taken = []
    with pytest.raises(OSError, match="disk"):
        for answer in one_ahead(str, numbers(until)):
            taken.append(answer)
    assert taken == [str(number) for number in range(until)]


def test_a_failed_item_is_raised_behind_the_answers_before_it() -> None:
    taken = []
    with pytest.raises(ZeroDivisionError):
        for answer in one_ahead(lambda item: 1 // item, [1, 1, 0, 1]):
            taken.append(answer)
    assert taken == [1, 1]


def test_no_thread_stays() -> None:
    before = threading.active_count()
    answers = one_ahead(str, range(5))
    next(answers)
    answers.close()
    assert threading.active_count() == before
