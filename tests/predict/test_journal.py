"""Rows of a file of answers that outlive a killed process."""

import json
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.classifier.classifier import Prediction
from goemo_utils.errors import ParamsError
from goemo_utils.predict.journal import LINES, Journal

SETTINGS = {"model": "abc", "threshold": 0.3}


def answered(first: int, texts: list[str]) -> list[Prediction]:
    row = np.array([0.5], dtype=np.float32)
    return [
        Prediction(first + i, text, [("joy", 0.5)], row, False, not text)
        for i, text in enumerate(texts)
    ]


def add(journal: Journal, texts: list[str]) -> None:
    part = journal.next_part()
    part.write_text("".join(f"{text}\n" for text in texts))
    journal.keep(part, answered(journal.rows, texts))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Answers of five texts in two parts, left by a process that was killed."""
    target = tmp_path / "answers.jsonl"
    journal = Journal(target, SETTINGS)
    add(journal, ["a", "", "c"])
    add(journal, ["d", "e"])
    journal.close(done=False)
    return target


def test_whole_parts_are_taken_up_with_their_counts(target: Path) -> None:
    journal = Journal(target, SETTINGS)
    assert [part.read_text() for part in journal.parts] == ["a\n\nc\n", "d\ne\n"]
    assert journal.counts.texts == 5
    assert journal.counts.first_empty == [2]


def test_only_the_texts_behind_those_are_left(target: Path) -> None:
    assert list(Journal(target, SETTINGS).skip(["a", "", "c", "d", "e", "f"])) == ["f"]


@pytest.mark.parametrize("texts", [["a", "", "c", "d", "E"], ["a", "", "c", "d"], ["", "a", "c"]])
def test_other_texts_are_refused(texts: list[str], target: Path) -> None:
    with pytest.raises(ParamsError, match=r"are not those that 'answers\.jsonl' was begun with"):
        Journal(target, SETTINGS).skip(texts)


def test_other_settings_are_named_and_what_is_kept_stays(target: Path) -> None:
    with pytest.raises(ParamsError, match=r"threshold 0.3, now 0.5\).*5 rows of it are kept"):
        Journal(target, SETTINGS | {"threshold": 0.5})
    assert Journal(target, SETTINGS).rows == 5


def test_anew_forgets_all(target: Path) -> None:
    journal = Journal(target, SETTINGS | {"threshold": 0.5}, anew=True)
    assert journal.rows == 0
    assert journal.parts == []


def test_a_line_that_was_not_written_to_its_end_does_not_count(target: Path) -> None:
    lines = target.with_name(".answers.jsonl.started") / LINES
    lines.write_text(lines.read_text()[:-5])
    assert Journal(target, SETTINGS).rows == 3


def test_a_part_that_is_not_what_was_kept_ends_the_rows(target: Path) -> None:
    (target.with_name(".answers.jsonl.started") / "000000.jsonl").write_text("a\n")
    assert Journal(target, SETTINGS).rows == 0


def test_a_part_without_its_line_is_removed(target: Path) -> None:
    stray = target.with_name(".answers.jsonl.started") / "000002.jsonl"
    stray.write_text("f\n")
    Journal(target, SETTINGS)
    assert not stray.exists()


def test_two_processes_do_not_write_one_file(target: Path) -> None:
    holder = Journal(target, SETTINGS)
    with pytest.raises(ParamsError, match="is being written by another goemo predict"):
        Journal(target, SETTINGS)
    holder.close(done=True)
    assert Journal(target, SETTINGS).rows == 0


def test_without_a_whole_row_nothing_is_left(tmp_path: Path) -> None:
    Journal(tmp_path / "answers.csv", SETTINGS).close(done=False)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".answers.csv.started").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ParamsError, match="is not a folder of yours"):
        Journal(tmp_path / "answers.csv", SETTINGS)


def test_the_settings_lie_beside_the_rows(target: Path) -> None:
    written = target.with_name(".answers.jsonl.started") / "settings.json"
    assert json.loads(written.read_text()) == SETTINGS
