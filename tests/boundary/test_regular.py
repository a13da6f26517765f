"""Opening a stranger's file: a regular one or a sentence, and never a wait."""

import os
from pathlib import Path

import pytest

from goemo_utils.boundary.regular import NotRegular, open_regular, read_regular, what_is


def _odd(kind: str, folder: Path) -> Path:
    path = folder / "x.json"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a link to nothing":
        path.symlink_to(folder / "gone")
    return path


@pytest.mark.parametrize("kind", ["a named pipe", "a folder", "a device"])
def test_what_is_no_regular_file_is_refused_with_its_kind(kind: str, tmp_path: Path) -> None:
    path = _odd(kind, tmp_path)
    with pytest.raises(NotRegular, match=kind):
        open_regular(path)
    assert what_is(path) == kind


def test_a_link_to_nothing_is_told_from_nothing(tmp_path: Path) -> None:
    assert what_is(_odd("a link to nothing", tmp_path)) == "a link to nothing"
    assert what_is(tmp_path / "absent") == "nothing"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "absent")


def test_a_regular_file_is_read_through_a_link_and_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b") == b"12345"
    assert read_regular(tmp_path / "b", 2) == b"12"
