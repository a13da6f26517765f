"""Digests of large files are computed once, and again when a file is no longer the same."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goemo_utils.boundary.regular import NotRegular
from goemo_utils.records import digests
from goemo_utils.records.record import sha256_file, sha256_paths

LONG_AGO = time.time() - 3600


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Which files were read; every file counts as settled."""
    seen: list[Path] = []

    def counted(path: Path) -> str:
        seen.append(path)
        return sha256_file(path)

    monkeypatch.setattr(digests, "sha256_file", counted)
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    monkeypatch.setattr(digests, "LARGE", 100)
    monkeypatch.setattr(digests, "_kept", {})
    monkeypatch.delenv(digests.PLACE, raising=False)
    yield seen


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"a" * 500)
    return path


def test_a_large_file_is_read_once(weights: Path, read: list[Path]) -> None:
    assert [digests.digest(weights) for _ in range(3)] == [sha256_file(weights)] * 3
    assert read == [weights]


def test_a_small_file_is_read_each_time(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    assert digests.digest(path) == digests.digest(path) == sha256_file(path)
    assert len(read) == 2


@pytest.mark.parametrize("hidden", [True, False])
def test_a_changed_file_is_read_again_even_where_its_time_was_set_back(
    weights: Path, read: list[Path], hidden: bool
) -> None:
    os.utime(weights, (LONG_AGO, LONG_AGO))
    before = digests.digest(weights)
    time.sleep(0.02)
    weights.write_bytes(b"b" * 500)
    if hidden:
        os.utime(weights, (LONG_AGO, LONG_AGO))
    assert digests.digest(weights) == sha256_file(weights) != before


def test_a_file_that_took_another_ones_place_is_read_again(
    weights: Path, read: list[Path], tmp_path: Path
) -> None:
    digests.digest(weights)
    other = tmp_path / "other"
    other.write_bytes(b"c" * 500)
    other.replace(weights)
    assert digests.digest(weights) == sha256_file(weights)


def test_what_changed_just_now_is_not_kept(
    weights: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "SETTLED", 3600.0)
    digests.digest(weights)
    digests.digest(weights)
    assert len(read) == 2


def test_another_process_of_the_run_is_told(
    weights: Path, read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(digests.PLACE, str(tmp_path / "digests"))
    first = digests.digest(weights)
    digests._kept.clear()
    assert digests.digest(weights) == first
    assert len(read) == 1


@pytest.mark.parametrize("told", ["", "{", '"sha256:12"', "[1]"])
def test_what_is_told_in_another_form_is_not_believed(
    weights: Path, read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv(digests.PLACE, str(tmp_path / "digests"))
    digests.digest(weights)
    digests._kept.clear()
    for path in (tmp_path / "digests").iterdir():
        path.write_text(told)
    assert digests.digest(weights) == sha256_file(weights)


def test_several_files_have_the_digest_that_records_hold(
    weights: Path, read: list[Path], tmp_path: Path
) -> None:
    second = tmp_path / "another.safetensors"
    second.write_bytes(b"d" * 700)
    files = [weights, second]
    assert digests.of_paths(files, tmp_path) == sha256_paths(files, tmp_path)
    assert sorted(read) == sorted(files)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(NotRegular):
        digests.digest(tmp_path / "model.safetensors")
