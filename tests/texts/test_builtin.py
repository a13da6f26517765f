"""The texts of a run: built-in, stress, and what a run keeps of a file."""

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from goemo_utils.errors import TextsError
from goemo_utils.params import Params
from goemo_utils.records.record import sha256_json
from goemo_utils.texts.builtin import BUILTIN, STRESS, load_texts
from goemo_utils.texts.files import Row, read_rows
from tests.texts.samples import write


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


@pytest.mark.parametrize("rows", ["[1, 0, 0] [0, 1, 1]", "[1.0, 0.0, 0.0] [0.0, 1.0, 1.0]"])
def test_labels_that_are_marks_become_the_ids_of_their_positions(tmp_path: Path, rows: str) -> None:
    cells = rows.replace("] [", "]|[").split("|")
    lines = [f'{{"text": "t{i}", "labels": {cell}}}' for i, cell in enumerate(cells)]
    assert loaded(write(tmp_path / "m.jsonl", "\n".join(lines))).labels == [[0], [1, 2]]
