"""The files of a checkpoint: what a load reads is what is named, hashed and published."""

import json
import os
from pathlib import Path

import pytest

from goemo_utils.errors import ModelError
from goemo_utils.records.record import sha256_paths
from goemo_utils.records.weights import (
    INDEX,
    SINGLE,
    check_folder,
    leaves,
    read_files,
    used_files,
    weights_of,
)


def _names(paths) -> list[str]:
    return [path.name for path in paths]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "notes.txt", "scores.json"):
        (model / name).write_text("{}")
    return model


def _sharded(folder: Path, name: str) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a.weight": name, "b.weight": name}}))


def test_the_single_file_is_read_before_an_index_and_others_are_named_as_unread(folder) -> None:
    (folder / SINGLE).write_bytes(b"x")
    (folder / "other.safetensors").write_bytes(b"y")
    _sharded(folder, "other.safetensors")
    found = weights_of(folder)
    assert _names(found.files) == [SINGLE]
    assert found.unread == ("other.safetensors",)
    assert found.index is None


def test_the_shards_of_an_index_are_read_and_nothing_else(folder) -> None:
    (folder / "a.safetensors").write_bytes(b"x")
    (folder / "b.safetensors").write_bytes(b"y")
    _sharded(folder, "a.safetensors")
    assert _names(weights_of(folder).files) == ["a.safetensors"]
    assert weights_of(folder).unread == ("b.safetensors",)


@pytest.mark.parametrize(
    "name", ["../out.safetensors", "sub/a.safetensors", "/abs/a.safetensors", "a.bin", "..", ""]
)
def test_a_shard_with_a_path_is_refused(folder, name) -> None:
    _sharded(folder, name)
    with pytest.raises(ModelError, match="without a path"):
        weights_of(folder)


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(folder) -> None:
    (folder.parent / "out.safetensors").write_bytes(b"x")
    (folder / "a.safetensors").symlink_to(folder.parent / "out.safetensors")
    _sharded(folder, "a.safetensors")
    with pytest.raises(ModelError, match="outside the folder"):
        weights_of(folder)


def test_the_links_of_the_hubs_cache_do_not_leave_it(tmp_path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abc").write_bytes(b"x")
    (tmp_path / "private").write_bytes(b"y")
    (snapshot / SINGLE).symlink_to(Path("..") / ".." / "blobs" / "abc")
    (snapshot / "notes.txt").symlink_to(tmp_path / "private")
    assert not leaves(snapshot / SINGLE)
    assert leaves(snapshot / "notes.txt")


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"weight_map": []}', "{", '{"a": 1}'])
def test_a_damaged_index_is_a_sentence(folder, text) -> None:
    (folder / INDEX).write_text(text)
    with pytest.raises(ModelError, match="Fetch the checkpoint again"):
        weights_of(folder)


@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.model", "x.safetensors", "README.md"])
def test_a_pipe_among_the_files_is_refused_and_never_waited_for(folder, name) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"{name} is a named pipe"):
        check_folder(folder)


def test_folders_are_skipped_and_other_files_are_none_of_our_business(folder) -> None:
    (folder / "x.json").mkdir()
    os.mkfifo(folder / "control.sock")
    check_folder(folder)
    assert "x.json" not in _names(read_files(folder))


def test_only_what_a_load_uses_may_be_published(folder) -> None:
    (folder / SINGLE).write_bytes(b"x")
    assert _names(used_files(folder)) == ["config.json", SINGLE, "tokenizer.json"]


def test_the_digest_of_a_run_changes_with_the_weights_that_are_read(folder) -> None:
    (folder / "a.safetensors").write_bytes(b"x")
    _sharded(folder, "a.safetensors")
    before = sha256_paths(read_files(folder), folder)
    (folder / "unread.safetensors").write_bytes(b"x")
    assert sha256_paths(read_files(folder), folder) == before
    (folder / "a.safetensors").write_bytes(b"y")
    assert sha256_paths(read_files(folder), folder) != before
