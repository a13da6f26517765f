"""Decoded lines: line ends, byte-order marks, and bytes that are not UTF-8."""

from pathlib import Path

import pytest

from goemo_utils.texts.files import read_texts
from tests.texts.samples import refusal, write


@pytest.mark.parametrize(
    "content", ["one\ntwo\n\nthree", "one\r\ntwo\r\n\r\nthree\r\n", "\ufeffone\ntwo\n\nthree\n"]
)
def test_a_txt_file_is_one_text_a_line_whatever_its_line_ends(tmp_path: Path, content: str) -> None:
    assert list(read_texts(write(tmp_path / "t.txt", content))) == ["one", "two", "", "three"]


def test_a_byte_order_mark_is_no_part_of_a_column_name(tmp_path: Path) -> None:
    assert list(read_texts(write(tmp_path / "t.csv", "\ufefftext,n\nhello,1\n"))) == ["hello"]


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
