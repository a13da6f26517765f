"""Labels as names, ids, lists or classes become targets over one vocabulary, and a label that has
no place there is refused.
"""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goemo_utils.errors import TextsError
from goemo_utils.training.cells import read_cells
from goemo_utils.training.data import read_split
from goemo_utils.training.labels import mark, parse_names
from goemo_utils.training.table import collect

label_names = st.lists(
    st.text(
        st.characters(whitelist_categories=("L", "N"), whitelist_characters="_- "),
        min_size=1,
        max_size=12,
    )
    .map(str.strip)
    .filter(bool),
    max_size=4,
)


def table(cells: list, **facts: object):
    return collect(
        "t.csv",
        [(f"line {number + 2}", f"text {number}", cell) for number, cell in enumerate(cells)],
        **facts,
    )


def said_of(cells: list, **options: object) -> str:
    with pytest.raises(TextsError) as caught:
        split_of(cells, **options)
    return str(caught.value)


def split_of(cells: list, labels: object = None, task: str = "auto"):
    frame = pd.DataFrame(
        {"text": [f"text {n}" for n in range(len(cells))], "label": pd.Series(cells, dtype=object)}
    )
    return read_split(frame, labels, task=task)


def named(split) -> list[list[str]]:
    return [[split.labels[i] for i in ids] for ids in split.label_ids()]


@pytest.mark.parametrize(
    ("cell", "labels", "is_list"),
    [
        ("joy", ["joy"], False),
        (" joy ", ["joy"], False),
        ("1,7", ["1", "7"], False),
        ("joy, love", ["joy", "love"], False),
        ("joy|love", ["joy", "love"], False),
        ("joy;love;", ["joy", "love"], False),
        ("['joy', 'love']", ["joy", "love"], True),
        ("[1 7]", ["1", "7"], True),
        ("[ 1  17]", ["1", "17"], True),
        ("['joy' 'love']", ["joy", "love"], True),
        ('["self care", "joy"]', ["self care", "joy"], True),
        ("[joy, love]", ["joy", "love"], True),
        ("[self care]", ["self care"], True),
        ("[1, 7]", ["1", "7"], True),
        ("[]", [], True),
        ("['self, care']", ["self, care"], True),
        ('["NaN", "nan"]', ["NaN", "nan"], True),
        (3, ["3"], False),
        (-1, ["-1"], False),
        (1.0, ["1"], False),
        ("1.0", ["1"], False),
        (0.5, ["0.5"], False),
        (True, ["True"], False),
        ("+1", ["1"], False),
        (["joy", 2], ["joy", "2"], True),
        (np.array([2, 3]), ["2", "3"], True),
        (np.int64(4), ["4"], False),
        ({"b", "a"}, ["a", "b"], True),
        (str(["it's", "b"]), ["it's", "b"], True),
        ("01", ["01"], False),
        ("grün", ["grün"], False),
    ],
)
def test_a_cell_says_its_labels_in_every_form(
    cell: object, labels: list[str], is_list: bool
) -> None:
    assert read_cells(table([cell])) == ([labels], is_list)


@settings(max_examples=200)
@given(rows=st.lists(label_names, min_size=1, max_size=4))
def test_a_list_survives_being_written_as_json_as_python_or_as_a_list(
    rows: list[list[str]],
) -> None:
    for form in (json.dumps, str, list):
        assert read_cells(table([form(row) for row in rows])) == (rows, True)


def test_one_sign_parts_the_names_of_a_whole_column() -> None:
    assert read_cells(table(["Arts, Culture|Sport", "Arts, Culture"]))[0] == [
        ["Arts, Culture", "Sport"],
        ["Arts, Culture"],
    ]


def test_a_name_with_a_comma_is_whole_when_it_is_known() -> None:
    split = split_of(["Arts, Culture", "Sport", "Sport"], ["Arts, Culture", "Sport"])
    assert (named(split), split.task) == ([["Arts, Culture"], ["Sport"], ["Sport"]], "single_label")


@pytest.mark.parametrize(
    ("cells", "labels", "task"),
    [
        ([1, -1, 0, 10], ("-1", "0", "1", "10"), "single_label"),
        (["b", "a", "B"], ("B", "a", "b"), "single_label"),
        (["2", "10"], ("2", "10"), "single_label"),
        (["a,b", "a"], ("a", "b"), "multi_label"),
        ([["a"], ["b"]], ("a", "b"), "multi_label"),
        (["a", "[]"], ("a",), "multi_label"),
        (["['a']", "b"], ("a", "b"), "multi_label"),
    ],
)
def test_without_names_the_vocabulary_is_what_is_found_in_order(
    cells: list, labels: tuple[str, ...], task: str
) -> None:
    split = split_of(cells)
    assert (split.labels, split.task) == (labels, task)
    assert split.targets.dtype == np.float32
    assert split.targets.shape == (len(cells), len(labels))


def test_labels_given_decide_the_order_and_are_met_by_name_or_by_id() -> None:
    assert split_of(["love", "joy"], "joy, love ,fear").targets.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert named(split_of([2, 0], "joy,love,fear")) == [["fear"], ["joy"]]
    assert named(split_of(["2,0", "1"], ["joy", "love", "fear"])) == [["joy", "fear"], ["love"]]


def test_names_that_are_numbers_are_values_and_never_positions() -> None:
    assert named(split_of([0, 1, -1], "-1,0,1")) == [["0"], ["1"], ["-1"]]
    assert named(split_of([1, 2], "+1,2")) == [["1"], ["2"]]
    assert "label '0' is unknown" in said_of([1, 0], labels="1,2,3")


def test_an_unknown_label_is_refused_with_its_row_and_the_known_ones() -> None:
    message = said_of(["joy", "love", "joyful"], labels="joy,love")
    assert "row 2: label 'joyful' is unknown" in message
    assert "2 labels given in `labels`: joy, love" in message
    assert "id from 0 to 1" in message
    assert "label '2' is unknown" in said_of([0, 2], labels="joy,love")
    assert "label '-1' is unknown" in said_of([0, -1], labels="joy,love")


def test_classes_are_renamed_by_as_many_other_names_and_reordered_by_the_same_ones() -> None:
    def classes(cells: list[int], labels: str | None):
        targets, vocabulary, _ = mark(
            table(cells, names=("neg", "pos")), parse_names(labels), "auto"
        )
        return targets.tolist(), vocabulary.names

    assert classes([1, 0], None) == ([[0, 1], [1, 0]], ("neg", "pos"))
    assert classes([1, 0], "bad,good") == ([[0, 1], [1, 0]], ("bad", "good"))
    assert classes([1, 0], "pos,neg") == ([[1, 0], [0, 1]], ("pos", "neg"))
    for labels, word in (("pos,other", "'neg'"), ("pos", "'neg'")):
        with pytest.raises(TextsError, match=f"label {word} is unknown"):
            classes([1, 0], labels)


def test_ids_of_classes_are_positions_even_where_the_classes_are_called_by_numbers() -> None:
    targets, vocabulary, _ = mark(table([0, 1, 2], names=("1", "2", "3")), None, "auto")
    assert vocabulary.names == ("1", "2", "3")
    assert targets.argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([["joy"], ["joy", "love"]], "row 1: has 2 labels (joy, love)"),
        ([["joy"], []], "row 1: has no label"),
    ],
)
def test_a_row_that_contradicts_single_label_is_refused(cells: list, words: str) -> None:
    message = said_of(cells, task="single_label")
    assert words in message
    assert "single_label" in message
    assert "multi_label" in message


def test_the_task_said_holds_for_one_label_a_text() -> None:
    assert split_of(["a", "b"], task="multi_label").task == "multi_label"
    assert split_of([["a"], ["b"]], task="single_label").task == "single_label"
    assert split_of([["a", "a"], ["b"]], task="single_label").targets.sum(1).tolist() == [
        1,
        1,
    ], "a label said twice is one"


def test_a_column_of_numbers_or_texts_that_hardly_repeat_is_no_column_of_labels() -> None:
    assert "row" not in (message := said_of([f"id{n}" for n in range(120)]))
    assert "120 different labels in 120 texts" in message
    assert "label_column" in message
    assert len(split_of([n % 50 for n in range(60)]).labels) == 50


def test_a_column_of_empty_lists_has_no_labels() -> None:
    assert "none has a label" in said_of([[], []])


@pytest.mark.parametrize(
    "cell",
    [
        None,
        float("nan"),
        "",
        "  ",
        "nan",
        "NaN",
        ["joy", None],
        [float("nan")],
        [""],
        '["joy", null]',
        "[nan]",
        "[NaN]",
        "[joy, nan]",
    ],
)
def test_a_missing_label_is_refused(cell: object) -> None:
    assert "row 1: the label is" in said_of(["joy", cell])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("joy,,love", "an empty name"),
        ("joy,love,joy", "'joy' more than once"),
        ([], "an empty name"),
        ("1,1.0", "'1' more than once"),
    ],
)
def test_names_that_are_no_vocabulary_are_refused(labels: object, words: str) -> None:
    with pytest.raises(TextsError, match=words):
        parse_names(labels)


def test_dev_is_read_with_the_vocabulary_of_train_whatever_its_form() -> None:
    _, vocabulary, task = mark(table(["pos", "neg"], names=("neg", "pos")), None, "auto")
    for dev in (table([1, 0]), table(["pos", "neg"]), table([0, 1], names=("pos", "neg"))):
        assert mark(dev, None, task, vocabulary)[0].tolist() == [[0, 1], [1, 0]]
    _, found, task = mark(table(["b", "a"]), None, "auto")
    with pytest.raises(
        TextsError,
        match=r"line 2: label '0' is unknown; expected one of the 2 labels found in t\.csv: a, b",
    ):
        mark(table(["0"]), None, task, found)


def test_half_of_a_surrogate_pair_is_refused_for_no_record_could_hold_it() -> None:
    assert "row 1: a label holds half of a surrogate pair" in said_of(["joy", "\ud83d", "joy"])
    assert split_of(["joy", "\U0001f642", "joy"]).labels == ("joy", "\U0001f642")


def test_with_one_label_a_text_the_whole_cell_is_the_name() -> None:
    targets, vocabulary, _ = mark(table(["Sports, Outdoors", "Toys"]), None, "single_label")
    assert vocabulary.names == ("Sports, Outdoors", "Toys")
    assert targets.tolist() == [[1, 0], [0, 1]]
