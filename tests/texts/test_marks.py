"""Which label lists are marks, and which are ids."""

import pytest

from goemo_utils.texts.marks import are_marks, ids_of


@pytest.mark.parametrize(
    ("rows", "marks"),
    [
        ([[1, 0, 0], [0, 1, 0]], True),
        ([[1.0, 0.0], [0.0, 0.0]], True),
        ([[0, 0, 0], []], True),
        ([[0], [1]], False),
        ([[0], [1, 0]], False),
        ([[3, 1]], False),
        ([[], []], False),
        ([["joy"]], False),
    ],
)
def test_marks_repeat_a_value_or_are_all_of_one_length(rows: list, marks: bool) -> None:
    assert are_marks(rows) is marks


def test_the_ids_of_marks_are_their_positions() -> None:
    assert ids_of([0, 1.0, True, 0]) == [1, 2]
