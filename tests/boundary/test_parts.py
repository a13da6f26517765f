"""Unfinished files and scratch folders: whole or absent, and cleared after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goemo_utils.boundary import parts
from goemo_utils.boundary.parts import LOCK, Scratch, clear_parts, clear_scratch, replacing

HOLDER = """
import sys, time
from pathlib import Path
from goemo_utils.boundary.parts import Scratch, replacing
with replacing(Path(sys.argv[1]) / "a.json") as part:
    part.write_text("half")
    scratch = Scratch(parent=Path(sys.argv[1]))
    print(scratch.path.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    yield process, tmp_path / name
    process.kill()
    process.wait()


def test_a_file_is_replaced_in_one_move_and_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(ValueError, match="no"), replacing(target) as part:
        part.write_text("half")
        raise ValueError("no")
    assert target.read_text() == "old"
    with replacing(target) as part:
        part.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_the_name_of_an_unfinished_file_cannot_be_foreseen(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        assert one != other
        assert str(os.getpid()) not in one.name


def test_the_permissions_are_those_that_the_user_grants(tmp_path: Path) -> None:
    kept = os.umask(0o077)
    try:
        with replacing(tmp_path / "a") as part:
            part.write_text("mine")
    finally:
        os.umask(kept)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_what_a_living_process_writes_is_left_alone_and_a_killed_one_s_is_cleared(
    holder, monkeypatch
) -> None:
    process, scratch = holder
    monkeypatch.setattr("tempfile.tempdir", str(scratch.parent))
    clear_parts(scratch.parent)
    clear_scratch()
    assert scratch.is_dir()
    assert len(list(scratch.parent.glob(".a.json.*.part"))) == 1

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    clear_parts(scratch.parent)
    clear_scratch()
    assert list(scratch.parent.iterdir()) == []


def test_folders_of_others_with_such_a_name_are_left_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "goemo-projects").mkdir()
    (tmp_path / "goemo-abcdefgh").mkdir()
    (tmp_path / "goemo-abcdefgh" / "thesis.txt").write_text("years of work")
    (tmp_path / "goemo-linkedto").symlink_to("goemo-abcdefgh")
    clear_scratch()
    assert (tmp_path / "goemo-abcdefgh" / "thesis.txt").is_file()
    assert (tmp_path / "goemo-projects").is_dir()
    assert (tmp_path / "goemo-linkedto").is_symlink()


def test_the_socket_of_an_earlier_version_s_server_is_cleared(tmp_path: Path, monkeypatch) -> None:
    import socket

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "goemo-abcdefgh").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("goemo-abcdefgh/worker")
    monkeypatch.setattr(parts.os.path, "join", lambda *names: "goemo-abcdefgh/worker")
    clear_scratch()
    monkeypatch.undo()
    assert not (tmp_path / "goemo-abcdefgh").exists()


def test_a_released_scratch_folder_is_a_folder_like_any_other(tmp_path: Path) -> None:
    scratch = Scratch(".publish.", tmp_path, ".part")
    assert (scratch.path / LOCK).is_file()
    folder = scratch.release()
    assert list(folder.iterdir()) == []
    assert time.time() - folder.stat().st_mtime < 60
