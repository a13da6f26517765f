"""What a run's process saw of torch is what the doctor's own child would have seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils.environment import imported
from goemo_utils.environment.machine import Machine, Output
from goemo_utils.environment.stages import of_the_run, run_stages


def never(*_: object) -> Output:
    raise AssertionError("a child was started")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "torch.json"
    monkeypatch.setenv(imported.PLACE, str(path))
    return path


def test_the_run_s_process_sees_what_a_child_sees(place: Path) -> None:
    imported.tell()
    seen = of_the_run(Machine(environ=dict(os.environ), run=never), ("torch",))["torch"]
    child = run_stages(Machine(), ("torch",), autoload=False)["torch"]
    changing = {"seconds", "threads"}
    assert {k: v for k, v in seen.items() if k not in changing} == {
        k: v for k, v in child.items() if k not in changing
    }


def test_a_process_that_died_of_the_import_is_not_waited_for(place: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    place.write_text(json.dumps({"pid": ended.pid}), encoding="utf-8")
    assert imported.told(os.environ) is None


def test_an_import_that_does_not_end_is_not_waited_for_for_ever(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "PATIENCE", 0.05)
    place.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
    assert imported.told(os.environ) is None


@pytest.mark.parametrize("said", ["", "{", "[]"])
def test_a_place_that_cannot_be_read_says_nothing(place: Path, said: str) -> None:
    place.write_text(said, encoding="utf-8")
    assert imported.told(os.environ) is None


def test_other_stages_have_a_child_of_their_own(place: Path) -> None:
    place.write_text(json.dumps({"ok": True}), encoding="utf-8")
    machine = Machine(environ=dict(os.environ), run=lambda *_: Output(1, err="no transformers"))
    assert not of_the_run(machine, ("torch", "transformers"))["torch"]["ok"]


def test_without_a_place_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(imported.PLACE, raising=False)
    imported.tell()
    assert imported.told(os.environ) is None
