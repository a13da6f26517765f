"""The texts of a run: built-in, stress, and files of every kind, damaged ones included."""

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
from goemo_utils.params import Params
from goemo_utils.records.record import sha256_json
from goemo_utils.texts.builtin import BUILTIN, STRESS, load_texts, read_texts
from goemo_utils.texts.files import Row, read_rows

in_tmp = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80
)
unicode_text = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=40
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path | str, column: str | None = None) -> str:
    with pytest.raises(TextsError) as caught:
        list(read_texts(path, column))
    message = str(caught.value)
    assert str(path) in message
    assert "Traceback" not in message
    assert caught.value.exit_code == 2
    assert "expected" in message or "Name the column" in message
    return message


def loaded(path: Path, **values: object):
    return load_texts(Params.load(None, {"texts": str(path), **values}))


def test_the_builtin_texts_are_23_different_ones_that_start_with_joy() -> None:
    assert len(BUILTIN) == len(set(BUILTIN)) == 23
    assert BUILTIN[0] == "I am so happy today!"
    assert sum("’" in text for text in BUILTIN) == 1
    assert sum("🤞" in text for text in BUILTIN) == 1
    assert max(map(len, BUILTIN)) > 8 * min(map(len, BUILTIN))


def test_the_stress_set_holds_what_breaks_ports() -> None:
    assert "" in STRESS
    assert any(text and not text.strip() for text in STRESS)
    assert any(len(text.split()) == 510 for text in STRESS)
    assert any(len(text.split()) > 1000 for text in STRESS)
    assert len(STRESS) > len(set(STRESS)), (
        "a repeated text shows whether equal inputs give equal answers"
    )
    for low, high in (
        (0x5D0, 0x5EA),
        (0x621, 0x64A),
        (0x4E00, 0x9FFF),
        (0x410, 0x44F),
        (0xAC00, 0xD7A3),
        (0x1F300, 0x1FAFF),
        (0x202A, 0x202E),
        (1, 0x1F),
    ):
        assert any(low <= ord(character) <= high for text in STRESS for character in text)
    assert all("\0" not in text and text.encode() is not None for text in STRESS)


def test_a_run_keeps_every_stress_text_even_the_empty_one() -> None:
    texts = load_texts(Params.load(None, {"texts": "stress"}))
    assert (tuple(texts.texts), texts.dropped, texts.labels, texts.source) == (
        STRESS,
        0,
        None,
        "stress",
    )


def test_the_limit_takes_the_first_texts() -> None:
    assert load_texts(Params.load(None, {"limit": 2})).texts == list(BUILTIN[:2])
    assert len(load_texts(Params.load(None, {"limit": 1000})).texts) == 23


def test_the_digest_is_of_the_texts_alone_and_changes_with_any_of_them(tmp_path: Path) -> None:
    builtin = load_texts(Params.load())
    same = loaded(write(tmp_path / "same.txt", "\n".join(BUILTIN)))
    assert builtin.digest == same.digest == sha256_json(list(BUILTIN))
    assert load_texts(Params.load(None, {"limit": 22})).digest != builtin.digest


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


@pytest.mark.parametrize(
    "content", ["one\ntwo\n\nthree", "one\r\ntwo\r\n\r\nthree\r\n", "\ufeffone\ntwo\n\nthree\n"]
)
def test_a_txt_file_is_one_text_a_line_whatever_its_line_ends(tmp_path: Path, content: str) -> None:
    assert list(read_texts(write(tmp_path / "t.txt", content))) == ["one", "two", "", "three"]


def test_a_byte_order_mark_is_no_part_of_a_column_name(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path / "t.csv", "\ufefftext,n\nhello,1\n"))) == ["hello"]


def test_a_run_drops_empty_texts_and_counts_them(tmp_path: Path) -> None:
    texts = loaded(write(tmp_path / "t.txt", "one\n\n  \ntwo\nthree\n\n"), limit=2)
    assert (texts.texts, texts.dropped, texts.source) == (
        ["one", "two"],
        2,
        str(tmp_path / "t.txt"),
    )


def test_a_run_on_empty_texts_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextsError, match="holds 3 texts and all are empty"):
        loaded(write(tmp_path / "t.txt", "\n \n\t\n"))


def test_the_goemotions_layout_gives_texts_and_label_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path / "dev.tsv", 'Is this it??\t27\tedg\n"A ""quote"" here"\t4,27\tee8\n\t3\tx\n'
    )
    assert list(read_rows(path)) == [
        Row("Is this it??", [27]),
        Row('A "quote" here', [4, 27]),
        Row("", [3]),
    ]
    assert loaded(path).labels == [[27], [4, 27]]


def test_labels_of_jsonl_and_parquet_are_kept_when_every_row_has_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl", '{"text": "a", "labels": [1, 2]}\n{"text": "b", "labels": []}\n'
    )
    assert loaded(path).labels == [[1, 2], []]
    parquet.write_table(
        pyarrow.table({"text": ["a", "b"], "labels": [[1], [2]]}), tmp_path / "t.parquet"
    )
    assert loaded(tmp_path / "t.parquet").labels == [[1], [2]]
    assert (
        loaded(
            write(
                tmp_path / "u.jsonl",
                '{"text": "a", "labels": [1]}\n{"text": "b", "labels": ["joy"]}\n',
            )
        ).labels
        is None
    )


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


@pytest.mark.parametrize("lead", [0, 3, 2**16 - 2, 2**16 - 1, 2**16, 3 * 2**16 + 1])
def test_a_wrong_byte_is_named_with_its_offset_and_line(tmp_path: Path, lead: int) -> None:
    before = b"x" * lead + "é\nsecond ".encode()
    assert f"line 2: byte {len(before)} (0xe9) is not UTF-8" in refusal(
        write(tmp_path / "t.txt", before + "é end\n".encode("latin-1"))
    )


def test_a_file_that_ends_within_a_character_is_refused(tmp_path: Path) -> None:
    assert "line 2: byte 4 (0xe2)" in refusal(write(tmp_path / "t.txt", b"one\n\xe2\x82"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_16_and_utf_32_are_called_by_name(tmp_path: Path, encoding: str) -> None:
    assert f"is {encoding.upper()}" in refusal(
        write(tmp_path / "t.csv", "text\nhello\n".encode(encoding))
    )


def test_utf_16_without_a_mark_is_refused_for_its_nul_characters(tmp_path: Path) -> None:
    assert "line 1: holds a NUL character" in refusal(
        write(tmp_path / "t.txt", "hello".encode("utf-16-le"))
    )
    assert "line 2: holds a NUL character" in refusal(
        write(tmp_path / "t.jsonl", '"a"\n"b\\u0000"\n')
    )


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
