"""Several files of texts, folders and patterns, read one behind the other."""

from pathlib import Path

import pytest

from goemo_utils.errors import TextsError
from goemo_utils.predict.inputs import Inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, texts in {"b.txt": "b1\n", "a.txt": "a1\na2\n", "notes.md": "no texts"}.items():
        (tmp_path / name).write_text(texts)
    return tmp_path


def test_a_folder_stands_for_its_files_of_texts_in_the_order_of_their_names(folder: Path) -> None:
    assert list(Inputs([str(folder)]).texts()) == ["a1", "a2", "b1"]


def test_a_pattern_stands_for_what_it_matches(folder: Path) -> None:
    assert list(Inputs([f"{folder}/b*"]).texts()) == ["b1"]


def test_files_keep_the_order_in_which_they_were_given(folder: Path) -> None:
    assert list(Inputs([f"{folder}/b.txt", f"{folder}/a.txt"]).texts()) == ["b1", "a1", "a2"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("odd\n")
    assert list(Inputs([f"{tmp_path}/a[1].txt"]).texts()) == ["odd"]


def test_every_text_knows_its_file_and_row(folder: Path) -> None:
    inputs = Inputs([str(folder)])
    count = len(list(inputs.texts()))
    places = [(Path(file).name, row) for file, row in map(inputs.place, range(count))]
    assert places == [("a.txt", 1), ("a.txt", 2), ("b.txt", 1)]


def test_the_answers_are_not_among_the_texts_of_their_folder(folder: Path) -> None:
    inputs = Inputs([str(folder)], without=folder / "b.txt")
    assert [file.name for file in inputs.files] == ["a.txt"]


def test_a_missing_file_is_told_before_the_first_is_read(folder: Path) -> None:
    with pytest.raises(TextsError, match=r"gone\.txt: there is no such file"):
        Inputs([f"{folder}/a.txt", f"{folder}/gone.txt"])


@pytest.mark.parametrize("name", ["{}/*.csv", "{}/empty"])
def test_a_folder_or_pattern_without_texts_is_told(name: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(TextsError, match="There is no file of texts in"):
        Inputs([name.format(folder)])
