"""Two columns of a file are pairs of texts."""

import json
from pathlib import Path

import pandas as pd
import pytest

from goemo_utils.records.pairs import halves, joined, shown
from goemo_utils.texts.builtin import strings
from goemo_utils.texts.files import read_texts
from goemo_utils.training.columns import Asked
from goemo_utils.training.sources import read_table
from tests.texts.samples import write


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "sentence1,sentence2,label\na,b,0\nc,d,1\n"),
        ("t.tsv", "sentence1\tsentence2\tlabel\na\tb\t0\nc\td\t1\n"),
        (
            "t.jsonl",
            "\n".join(
                json.dumps({"sentence1": x, "sentence2": y, "label": i})
                for i, (x, y) in enumerate((("a", "b"), ("c", "d")))
            ),
        ),
    ],
)
def test_two_columns_with_a_plus_between_are_pairs(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    pairs = [joined("a", "b"), joined("c", "d")]
    assert list(read_texts(path, "sentence1+sentence2")) == pairs
    assert read_table(path, Asked(text="sentence1+sentence2")).texts == pairs


def test_two_columns_of_a_frame_are_pairs() -> None:
    frame = pd.DataFrame({"premise": ["a", "c"], "hypothesis": ["b", "d"], "label": [0, 1]})
    assert read_table(frame, Asked(text="premise+hypothesis")).texts == [
        joined("a", "b"),
        joined("c", "d"),
    ]


def test_a_pair_with_one_empty_text_is_a_pair_and_one_of_two_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "s,t,label\na,,0\n,b,1\n,,0\nc,d,1\n")
    table = read_table(path, Asked(text="s+t"))
    assert table.texts == [joined("a", ""), joined("", "b"), joined("c", "d")]
    assert table.cells == ["0", "1", "1"]
    assert table.dropped == 1


def test_a_column_whose_name_has_a_plus_is_that_column(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a+b,a,b\nx,y,z\n")
    assert list(read_texts(path, "a+b")) == ["x"]


def test_a_tuple_of_two_is_a_pair() -> None:
    assert list(strings([("a", "b"), "c"])) == [joined("a", "b"), "c"]


def test_a_pair_is_shown_with_a_tab() -> None:
    assert shown(joined("a", "b")) == "a\tb"
    assert halves(joined("a", "b")) == ("a", "b")
