"""Where goemo's own files lie, and the folder that a person works in."""

from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.params import PROJECT_ROOT, Params, home
from goemo_utils.params.init import lay_out
from goemo_utils.records import record


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lay_out(tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy" / "notebooks")
    return tmp_path / "copy"


def test_in_a_checkout_runs_go_to_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert home.project_folder() == PROJECT_ROOT
    assert record.notebooks() == PROJECT_ROOT / "notebooks"


def test_with_an_installed_package_runs_go_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(home, "INSTALLED", True)
    assert Params().output_root == str(tmp_path / "outputs")


def test_a_working_copy_holds_every_notebook_and_params_file(copy: Path) -> None:
    for name, pattern in (("notebooks", "*.ipynb"), ("params", "*.yaml")):
        own = {path.relative_to(PROJECT_ROOT) for path in (PROJECT_ROOT / name).rglob(pattern)}
        copied = {path.relative_to(copy) for path in (copy / name).rglob("*") if path.is_file()}
        assert copied == {path for path in own if ".ipynb_checkpoints" not in path.parts}


def test_in_a_working_copy_its_notebooks_run_and_runs_go_to_its_outputs(copy: Path) -> None:
    assert record.notebooks() == copy / "notebooks"
    assert Params().output_root == str(copy / "outputs")


def test_what_a_person_has_is_never_overwritten(copy: Path) -> None:
    (copy / ".goemo").unlink()
    with pytest.raises(ParamsError, match=r"it holds notebooks, params already"):
        lay_out(copy)


def test_a_file_is_no_folder_to_lay_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ParamsError, match="it is a file"):
        lay_out(tmp_path / "file")


def test_goemos_params_files_are_found_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("params", "cpu.yaml")
    assert home.params_file(file, "rehearsal.yaml") == PROJECT_ROOT / file
    (tmp_path / "params").mkdir()
    (tmp_path / file).touch()
    assert home.params_file(file, "rehearsal.yaml") == file


def test_without_a_file_the_default_is_never_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "rehearsal.yaml").write_text("device: npu")
    own = PROJECT_ROOT / "params" / "rehearsal.yaml"
    assert home.params_file(None, "rehearsal.yaml") == own


def test_without_a_file_a_working_copys_default_is_taken(copy: Path) -> None:
    assert home.params_file(None, "cpu.yaml") == copy / "params" / "cpu.yaml"
