"""Where a relative path, a model and a pack are looked for."""

from pathlib import Path

import pytest

from goemo_utils.params import PROJECT_ROOT, Params
from tests.params.values import refusal, write


def test_a_relative_path_in_a_file_is_found_in_the_working_directory_then_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "here").mkdir()
    file = write(tmp_path / "beside", "texts: mine.txt\nmodel: ./weights\noutput_root: runs")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "beside" / "mine.txt").touch()
    (tmp_path / "beside" / "weights").mkdir()
    assert Params.load(file).texts == str(tmp_path / "beside" / "mine.txt")
    assert Params.load(file).model == str(tmp_path / "beside" / "weights")
    (tmp_path / "here" / "mine.txt").touch()
    assert Params.load(file).texts == str(tmp_path / "here" / "mine.txt")
    assert Params.load(file).output_root == str(PROJECT_ROOT / "runs")


def test_a_relative_path_on_the_command_line_is_relative_to_the_working_directory_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Params.load(None, {"output_root": "runs"}).output_root == str(tmp_path / "runs")
    assert "looked in the working directory." in refusal(None, {"texts": "README.md"})
    (tmp_path / "model").mkdir()
    assert Params.load(None, {"model": "model"}).model == str(tmp_path / "model")
    assert Params.load(None, {"model": "random:model"}).model == f"random:{tmp_path / 'model'}"


def test_a_pack_is_found_by_its_stem_or_either_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").touch()
    assert {
        Params.load(None, {"reference": str(tmp_path / name)}).reference
        for name in ("gpu", "gpu.json")
    } == {str(tmp_path / "gpu")}
    assert "goemo reference" in refusal(None, {"reference": "npu:0"})


@pytest.mark.parametrize(
    "model",
    [
        "",
        "/no/such/folder",
        "./none",
        "a/b/c",
        "https://example.org/a/b",
        "org/na me",
        "org/..",
        "random:random:embedded",
        "a\0b",
        "x" * 500,
    ],
)
def test_a_model_that_is_neither_hub_id_nor_folder_is_refused(model: str) -> None:
    assert "model is" in refusal(None, {"model": model})


def test_a_model_file_is_told_to_be_its_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert "Give the folder" in refusal(None, {"model": str(tmp_path / "model.safetensors")})
