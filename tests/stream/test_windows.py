"""Windows of counts and shares: pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.errors import ParamsError
from goemo_utils.stream.windows import Span, add, begin, is_new, row


class State(dict):
    """What Quix hands to a function that keeps something, by key."""

    def set(self, name: str, value: int) -> None:
        self[name] = value

    def get(self, name: str, default: int | None = None) -> int | None:
        return super().get(name, default)


def answer(*labels: str, id: str = "in/0/0") -> dict:
    return {"id": id, "labels": [{"label": label, "probability": 0.9} for label in labels]}


@pytest.mark.parametrize(
    ("text", "ms"), [("5s", 5000), ("500ms", 500), ("1m", 60_000), ("2h", 7_200_000), ("0s", 0)]
)
def test_a_length_of_time_has_a_unit(text: str, ms: int) -> None:
    assert Span.parse(text, "--late", 0).ms == ms


@pytest.mark.parametrize("text", ["5", "s", "-5s", "5 s", "1.5s", "0s", "", "5S", "9999999999s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match="--window is"):
        Span.parse(text, "--window")


@given(st.lists(st.sets(st.sampled_from("abc")), min_size=1))
def test_counts_are_those_of_all_answers(several: list[set[str]]) -> None:
    held = begin(answer(*several[0]))
    for labels in several[1:]:
        held = add(held, answer(*labels))
    assert held["texts"] == len(several)
    for label in "abc":
        assert held["labels"].get(label, 0) == sum(label in labels for labels in several)


def test_a_row_has_shares_of_all_texts_of_its_window() -> None:
    held = add(add(begin(answer("joy")), answer("joy", "love")), answer())
    assert row("user", 0, 5000, held) == {
        "key": "user",
        "start": 0,
        "end": 5000,
        "texts": 3,
        "labels": {
            "joy": {"count": 2, "share": 0.666667},
            "love": {"count": 1, "share": 0.333333},
        },
    }


def test_an_answer_that_comes_again_is_counted_once() -> None:
    state = State()
    ids = ["in/0/5", "in/0/6", "in/0/5", "in/0/6", "in/0/7", "in/1/5"]
    counted = [is_new(answer(id=id), state) for id in ids]
    assert counted == [True, True, False, False, True, True]
