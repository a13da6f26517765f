"""Files of texts of every kind, damaged ones included."""

import csv
import itertools
import json
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from goemo_utils.errors import TextsError
from goemo_utils.texts.files import read_texts
from tests.texts.samples import refusal, write

in_tmp = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80
)
unicode_text = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=40
)


@in_tmp
@given(texts=st.lists(unicode_text, min_size=1, max_size=6))
@example(texts=['a "quoted", one', "two\nlines", "", "\r", " ", "'"])
def test_csv_and_tsv_give_back_what_the_csv_module_wrote(tmp_path: Path, texts: list[str]) -> None:
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([("id", "Text"), *enumerate(texts)])
        assert list(read_texts(tmp_path / name)) == texts
        assert list(read_texts(tmp_path / name, "Text")) == texts


@in_tmp
@given(texts=st.lists(unicode_text, min_size=1, max_size=6), ascii_only=st.booleans())
def test_jsonl_and_parquet_give_back_what_was_written(
    tmp_path: Path, texts: list[str], ascii_only: bool
) -> None:
    write(
        tmp_path / "t.jsonl",
        "".join(
            json.dumps({"n": n, "content": text}, ensure_ascii=ascii_only) + "\n"
            for n, text in enumerate(texts)
        ),
    )
    parquet.write_table(
        pyarrow.table({"n": range(len(texts)), "comment": texts}), tmp_path / "t.parquet"
    )
    assert (
        list(read_texts(tmp_path / "t.jsonl")) == list(read_texts(tmp_path / "t.parquet")) == texts
    )


@in_tmp
@given(
    content=st.binary(max_size=200),
    suffix=st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".parquet"]),
)
def test_any_bytes_are_read_or_refused_in_a_sentence(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    path = write(tmp_path / f"any{suffix}", content)
    try:
        assert all(isinstance(text, str) and "\0" not in text for text in read_texts(path))
    except TextsError as error:
        assert str(path) in str(error)


def test_a_column_is_found_by_name_by_number_or_as_the_only_one(tmp_path: Path) -> None:
    named = write(tmp_path / "n.csv", "id,review,Sentence\n1,a,b\n")
    assert (list(read_texts(named)), list(read_texts(named, "review"))) == (["b"], ["a"])
    bare = write(tmp_path / "b.csv", "1,hello\n2,world\n")
    assert list(read_texts(bare, "1")) == ["hello", "world"]
    assert list(read_texts(write(tmp_path / "o.csv", 'hello\n\n"a, b"\n'))) == ["hello", "", "a, b"]
    assert list(read_texts(write(tmp_path / "o.jsonl", '{"tweet": "a"}\n"b"\n'))) == ["a", "b"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("t.csv", "id,tweet\n1,a\n"),
        ("t.tsv", "id\ttweet\n1\ta\n"),
        ("t.jsonl", '{"id": 1, "tweet": "a"}\n'),
    ],
)
def test_a_missing_column_lists_the_columns_there_are(
    tmp_path: Path, name: str, content: str
) -> None:
    path = write(tmp_path / name, content)
    for column in (None, "review", "7"):
        message = refusal(path, column)
        assert "'id', 'tweet'" in message
        assert column is None or repr(column) in message


def test_a_missing_parquet_column_lists_the_columns_there_are(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"id": [1], "tweet": ["a"]}), tmp_path / "t.parquet")
    assert "'id', 'tweet'" in refusal(tmp_path / "t.parquet")


def test_a_path_that_is_no_file_of_texts_is_refused_before_reading(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.txt", "no such file"),
        (tmp_path, "is a folder"),
        (write(tmp_path / "t.docx", "x"), ".docx"),
        (write(tmp_path / "t", "x"), "no suffix"),
        (write(tmp_path / "t.txt", ""), "is empty"),
    ):
        with pytest.raises(TextsError, match=words):
            read_texts(path)


@pytest.mark.parametrize(
    "name, content", [("h.csv", "text,id\n"), ("b.txt", "\ufeff"), ("b.jsonl", "\n\n")]
)
def test_a_file_without_a_single_row_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert "holds no texts" in refusal(write(tmp_path / name, content))


@pytest.mark.parametrize(
    "value, kind",
    [("null", "empty (null)"), ("3", "a number"), ("[]", "a list"), ("true", "true or false")],
)
def test_a_value_that_is_no_text_is_refused_with_its_line(
    tmp_path: Path, value: str, kind: str
) -> None:
    assert f"line 2: the value is {kind}" in refusal(
        write(tmp_path / "t.jsonl", f'{{"text": "a"}}\n{{"text": {value}}}\n')
    )


def test_parquet_values_that_are_no_text_are_refused_with_their_row(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["a", None]}), tmp_path / "t.parquet")
    assert "row 1: the value is empty (null)" in refusal(tmp_path / "t.parquet")
    parquet.write_table(pyarrow.table({"text": [1, 2]}), tmp_path / "t.parquet")
    assert "row 0: the value is a number" in refusal(tmp_path / "t.parquet")


def test_a_damaged_row_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 2: is not JSON" in refusal(
        write(tmp_path / "t.jsonl", '{"text": "a"}\n{"text": \n')
    )
    assert "line 3: has 1 columns" in refusal(write(tmp_path / "t.csv", "id,text\n1,a\n2\n"))
    assert "line 2: is no row of a table" in refusal(
        write(tmp_path / "u.csv", 'text\n"never closed\nmore\n')
    )
    assert "line 2: has a cell of more than 131,072 characters" in refusal(
        write(tmp_path / "l.csv", f"text\n{'x' * 140_000}\n")
    )
    assert "surrogate" in refusal(write(tmp_path / "s.jsonl", '"\\ud800"\n'))
    assert "not a readable .parquet file" in refusal(
        write(tmp_path / "t.parquet", "PAR1 no parquet")
    )


def test_reading_stops_at_the_limit_before_a_damaged_row(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path / "t.jsonl", '"a"\n"b"\n{'), limit=2)) == ["a", "b"]


@pytest.mark.parametrize(
    "name, line",
    [
        ("t.txt", "a text of some length\n"),
        ("t.csv", "1,a text of some length\n"),
        ("t.jsonl", '{"text": "a text of some length"}\n'),
    ],
)
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str, line: str) -> None:
    path = write(tmp_path / name, line * 30_000)
    rows = read_texts(path, "1" if name.endswith("csv") else None)
    next(rows)
    tracemalloc.start()
    assert sum(1 for _ in rows) == 29_999
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 4


def test_memory_does_not_grow_with_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(
        pyarrow.table({"text": [f"{number:0200b}" for number in range(40_000)]}),
        path,
        compression="none",
        use_dictionary=False,
    )
    before = pyarrow.total_allocated_bytes()
    held = [
        pyarrow.total_allocated_bytes() - before
        for _ in itertools.islice(read_texts(path), None, None, 500)
    ]
    assert len(held) == 80
    assert max(held) < path.stat().st_size / 2
