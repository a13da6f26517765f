"""Labelled texts are read as written, and a table that cannot be used is refused by file and line."""

from pathlib import Path

import numpy as np
import pytest

from goemo_utils.errors import TextsError
from goemo_utils.training.data import LABELS, hold_out, overlap, read_split
from tests.training.synthetic import make, write


def test_a_split_survives_being_written_and_read(tmp_path: Path) -> None:
    split = make(50, seed=1)
    again = read_split(write(split, tmp_path / "train.tsv"))
    assert again.texts == split.texts
    assert (again.targets == split.targets).all()


def test_quoted_tabs_quotes_and_line_ends_stay_inside_the_text(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_text('"a ""quoted""\ttab\nand line"\t2,27\tid\n', encoding="utf-8")
    split = read_split(file)
    assert split.texts == ['a "quoted"\ttab\nand line']
    assert [LABELS[i] for i in np.flatnonzero(split.targets[0])] == ["anger", "neutral"]


@pytest.mark.parametrize(("content", "said"), [
    (b"", "no row"), (b"only a text\n", "line 1"), (b"fine\t1\nbad\t28\n", "line 2: label ids '28'"), (b"bad\tjoy\n", "'joy'"),
    (b"bad\t-1\n", "'-1'"), (b"\t3\n", "line 1"), (b"caf\xe9\t3\n", "not UTF-8")])
def test_a_table_that_cannot_be_used_is_refused_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "train.tsv"
    file.write_bytes(content)
    with pytest.raises(TextsError, match=said):
        read_split(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextsError, match="nowhere.tsv"):
        read_split(tmp_path / "nowhere.tsv")


def test_held_out_texts_and_the_rest_are_the_whole_without_overlap() -> None:
    split = make(40, seed=2)
    split.texts[:] = [f"{number} {text}" for number, text in enumerate(split.texts)]
    fit, held = hold_out(split, 0.25, np.random.default_rng(0))
    assert len(held) == 10 and sorted(fit.texts + held.texts) == sorted(split.texts)
    assert overlap(fit, held) == 0 and overlap(fit, fit) == 30


def test_holding_out_nothing_is_refused() -> None:
    with pytest.raises(TextsError, match="empty part"):
        hold_out(make(5, seed=3), 0.1, np.random.default_rng(0))
