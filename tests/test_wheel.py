"""The wheel: everything that a person needs comes along, and works in another folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from goemo_utils.params import PROJECT_ROOT as ROOT

pytestmark = pytest.mark.long


def tracked(*folders: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the committed files, so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(source / "dist")]
    pip(sys.executable, "wheel", *options, str(source))
    return next((source / "dist").glob("goemo-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and sees the packages of this one, but not its goemo."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    packages = folder.glob("lib/python*/site-packages")
    (next(packages) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip(str(python), "install", "--no-deps", "--no-index", "-q", str(wheel))
    return python


def pip(python: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=clean(), check=False)
    assert done.returncode == 0, done.stderr


def clean() -> dict[str, str]:
    hidden = ("PYTHONPATH", "PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_START")
    return {key: value for key, value in os.environ.items() if key not in hidden}


def goemo(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python.with_name("goemo")), *arguments]
    environment = {**clean(), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_file_of_the_package_and_every_notebook_and_params_file_is_in_the_wheel(
    wheel: Path,
) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked("goemo_utils") if name not in held} == set()
    carried = [name for name in tracked("notebooks") if name.endswith(".ipynb")]
    carried += [name for name in tracked("notebooks/learn") if name.endswith(".md")]
    carried += tracked("params")
    assert {name for name in carried if f"goemo_utils/working/{name}" not in held} == set()


def test_the_default_runs_in_another_folder_and_leaves_its_report_there(
    python: Path, tmp_path: Path
) -> None:
    done = goemo(python, tmp_path, "run")
    assert done.returncode == 0, done.stdout + done.stderr
    run = (tmp_path / "outputs" / "latest").resolve()
    assert (run / "report.html").is_file()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["params_file"] == "params/rehearsal.yaml"
    assert manifest["code"]["revision"] is None
    assert "site-packages" not in json.dumps(manifest["params"])
    assert not (python.parents[1] / "outputs").exists()


def test_a_working_copy_runs_its_own_notebooks(python: Path, tmp_path: Path) -> None:
    assert goemo(python, tmp_path, "init", "mine").returncode == 0
    copy = tmp_path / "mine"
    notebook = copy / "notebooks" / "00_environment.ipynb"
    notebook.write_text(notebook.read_text().replace("Porting a model", "Mine. Porting a model", 1))
    options = ["-f", "cpu.yaml", "-p", "run_id", "mine", "--only", "00_environment"]
    done = goemo(python, copy / "params", "run", *options)
    run = copy / "outputs" / "mine"
    assert "Mine. Porting" in (run / "00_environment.ipynb").read_text(), done.stderr
    assert "notebooks" in json.loads((run / "manifest.json").read_text())["code"]


def test_the_course_lays_out_a_copy_and_judges_it(python: Path, tmp_path: Path) -> None:
    opened = goemo(python, tmp_path, "learn", "01", "--path", "--chinese")
    copy = Path(opened.stdout.strip())
    assert copy == tmp_path / "outputs" / "learn" / "zh" / "01_device_strings.ipynb"
    assert copy.is_file(), opened.stderr
    assert goemo(python, tmp_path, "learn", "--reset", "01").returncode == 0
    judged = goemo(python, tmp_path, "learn", "--check", "01", "--json")
    assert judged.returncode == 1, judged.stderr
    assert "还没有填写" in judged.stdout


@pytest.mark.parametrize("command", ["finetune", "reference", "doctor", "predict", "serve", "list"])
def test_every_command_explains_itself_from_the_wheel(
    python: Path, tmp_path: Path, command: str
) -> None:
    done = goemo(python, tmp_path, command, "--help")
    assert done.returncode == 0, done.stderr
