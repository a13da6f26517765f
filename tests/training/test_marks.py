"""Lists of 0 and 1 mark labels; without names, or of another length, they are refused."""

import numpy as np
import pandas as pd
import pytest

from goemo_utils.errors import TextsError
from goemo_utils.training.data import read_split
from goemo_utils.training.labels import Vocabulary, mark, parse_names
from goemo_utils.training.table import Table

NAMES = ("joy", "anger", "neutral")


def table(cells: list) -> Table:
    places = [f"line {i + 1}" for i in range(len(cells))]
    return Table("t.jsonl", ["text"] * len(cells), cells, places)


@pytest.mark.parametrize(
    "cells",
    [
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]],
        [[1, 0, 0], [0, 0, 0], [0, 1, 1]],
        [[True, False, False], [False, False, False], [False, True, True]],
        ["[1, 0, 0]", "[0, 0, 0]", "[0, 1, 1]"],
        ["[1. 0. 0.]", "[0. 0. 0.]", "[0. 1. 1.]"],
        [np.array([1.0, 0, 0]), np.zeros(3), np.array([0, 1.0, 1.0])],
    ],
)
def test_rows_of_zeros_and_ones_mark_the_labels_in_their_order(cells: list) -> None:
    targets, vocabulary, task = mark(table(cells), NAMES, "auto")
    assert targets.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert vocabulary.names == NAMES
    assert task == "multi_label"


def test_marks_of_one_label_a_text_stay_a_task_of_lists() -> None:
    assert mark(table([[1, 0, 0], [0, 1, 0]]), NAMES, "auto")[2] == "multi_label"


def test_a_dev_table_is_read_by_the_labels_of_train() -> None:
    known = Vocabulary(NAMES, "of train", True)
    assert mark(table([[0, 0, 1]]), None, "multi_label", known)[0].tolist() == [[0, 0, 1]]


def test_marks_without_names_are_refused() -> None:
    with pytest.raises(TextsError, match=r"3 marks of 0 and 1, and nothing names them.*`labels`"):
        mark(table([[1, 0, 0], [0, 1, 0]]), None, "auto")


def test_a_row_with_another_number_of_marks_is_refused_with_its_place() -> None:
    with pytest.raises(TextsError, match=r"line 2: holds 2 marks .* there are 3 labels"):
        mark(table([[1, 0, 0], [0, 0]]), NAMES, "auto")


def test_marks_of_another_length_than_the_labels_are_refused() -> None:
    with pytest.raises(TextsError, match=r"line 1: holds 4 marks .* there are 3 labels"):
        mark(table([[1, 0, 0, 0]]), NAMES, "auto")


def test_ids_of_the_first_two_labels_stay_ids() -> None:
    targets, _, _ = mark(table([[0], [1], [0, 1], []]), NAMES, "multi_label")
    assert targets.tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "cells",
    [
        ["[0, 1, 0]", "[1, 0, 0]"],
        ["(0, 1, 0)", "(1, 0, 0)"],
        ["0,1,0", "1,0,0"],
        ["0 1 0", "1 0 0"],
        ["0;1;0", "1;0;0"],
        [["0", "1", "0"], ["1", "0", "0"]],
        [["0.0", "1.0", "0.0"], ["1.0", "0.0", "0.0"]],
    ],
)
def test_marks_are_marks_however_they_are_written(cells: list[object]) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "labels": cells})
    split = read_split(frame, labels=["joy", "anger", "fear"])
    assert split.targets.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_ids_of_which_none_repeats_in_a_text_without_brackets_are_ids() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "labels": ["0,1", "1,0"]})
    split = read_split(frame, labels=["joy", "anger", "fear"])
    assert split.targets.tolist() == [[1, 1, 0], [1, 1, 0]]


def test_digits_that_name_labels_are_names() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "labels": [["1", "0"], ["0", "1"]]})
    assert read_split(frame, labels=["0", "1"]).targets.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    "cells",
    [["1", "0"], [1, 0], [1.0, 0.0], [True, False], [[1], [0]], ["[1]", "[0]"]],
)
def test_zeros_and_ones_of_a_single_label_are_its_marks(cells: list) -> None:
    """As ids they would be two labels, of which one has a name."""
    targets, vocabulary, task = mark(table(cells), ("toxic",), "auto")
    assert targets.tolist() == [[1], [0]]
    assert vocabulary.names == ("toxic",)
    assert task == "multi_label"


def test_counts_of_votes_are_no_ids() -> None:
    with pytest.raises(TextsError, match=r"line 1: holds \[2, 0, 0\], one number for each"):
        mark(table([[2, 0, 0], [0, 1, 0]]), NAMES, "auto")


def test_ids_that_are_as_many_as_labels_stay_ids() -> None:
    assert mark(table([[2, 1, 0], [0, 2, 1]]), NAMES, "auto")[0].tolist() == [[1, 1, 1]] * 2


def test_a_name_with_a_comma_stands_in_quotes() -> None:
    assert parse_names('"Sports, Outdoors", Books') == ("Sports, Outdoors", "Books")
    with pytest.raises(TextsError, match="an empty name"):
        parse_names("joy,,anger")
