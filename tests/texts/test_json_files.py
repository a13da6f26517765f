"""A .json file is read in every form that datasets and pandas write."""

import json
from pathlib import Path

import pandas as pd
import pytest

from goemo_utils.texts.files import Row, read_rows, read_texts
from goemo_utils.training.sources import read_table
from tests.texts.samples import refusal, write

ROWS = [{"text": "good day", "labels": [1]}, {"text": "bad\nnight", "labels": [0]}]
COLUMNS = {"text": ["good day", "bad\nnight"], "labels": [[1], [0]]}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(json.dumps(row) for row in ROWS),
        json.dumps(COLUMNS),
        json.dumps(COLUMNS, indent=1),
        "\ufeff" + json.dumps(ROWS),
        pd.DataFrame(ROWS).to_json(),
        pd.DataFrame(ROWS).to_json(orient="records"),
        pd.DataFrame(ROWS).to_json(orient="records", lines=True),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "t.json", content)
    assert list(read_rows(path)) == [Row("good day", [1]), Row("bad\nnight", [0])]
    assert read_table(path).cells == [[1], [0]]


def test_an_array_of_texts_is_one_text_a_member(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path / "t.json", '["a", "b"]'))) == ["a", "b"]


def test_one_object_is_one_row(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path / "t.json", '{"text": "a", "n": 1}'))) == ["a"]


def test_one_object_with_labels_is_one_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", '{"text": "a", "labels": [1]}')
    assert list(read_rows(path)) == [Row("a", [1])]


def test_an_array_of_one_line_may_be_long(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", json.dumps(["x" * 1000] * 20_000))
    assert sum(1 for _ in read_texts(path)) == 20_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"text": "a"}', "is not JSON at line 1"),
        ('{"data": {"x": [1]}, "text": ["a", "b"]}', "holds no table"),
        ("3", "holds no table"),
        ('[{"tweet": "a", "n": 1}]', "'tweet', 'n'"),
        ('[{"text": "a"}, {"text": null}]', "row 1: the value is empty"),
        ("[]", "holds no texts"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(
    tmp_path: Path, content: str, words: str
) -> None:
    assert words in refusal(write(tmp_path / "t.json", content))
