"""Executing a notebook: what is said meanwhile, and what is said of a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from goemo_utils.learn import kernel, notebooks, state
from goemo_utils.learn.catalogue import exercise_of
from goemo_utils.records.record import ROOT


def test_each_cell_is_named_by_its_first_line_of_code() -> None:
    said: list[str] = []
    teller = kernel.Teller(said.append, 2)
    teller.begin(cell=SimpleNamespace(source="# your turn\nran = port.run()\nran"))
    teller.begin(cell=SimpleNamespace(source="x = 1"), cell_index=3)
    assert said == ["cell 1 of 2: ran = port.run()", "cell 2 of 2: x = 1"]


def test_what_a_cell_says_of_its_steps_is_passed_on_line_by_line() -> None:
    said: list[str] = []
    kernel.Teller(said.append, 1).hear("\r50 of 200 batches\r100 of 200 batches\r   \r\n")
    assert said == ["    50 of 200 batches", "    100 of 200 batches"]


def test_a_cell_that_says_nothing_for_long_is_named_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "BEAT", 0.0)
    said: list[str] = []
    teller = kernel.Teller(said.append, 1)
    teller.begin(cell=SimpleNamespace(source="wait()"))
    with teller.beating():
        while len(said) < 2:
            time.sleep(0.05)
    assert "cell 1 of 1 still runs" in said[1]


@pytest.mark.long
def test_a_check_that_is_stopped_says_so_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, state.FOLDER_VARIABLE: str(tmp_path)}
    notebook = json.loads((notebooks.ENGLISH / f"{exercise_of('12').stem}.ipynb").read_text())
    notebook["cells"][1]["source"] = ["import time\n", "time.sleep(300)"]
    path = tmp_path / "mine.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")

    command = [sys.executable, "-m", "goemo_utils.cli", "learn", "--check", "12"]
    process = subprocess.Popen(
        [*command, "--notebook", str(path)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    said, error = process.communicate(timeout=120)

    assert "cell 1 of" in first
    assert process.returncode == 3
    assert "The check was stopped from outside, in cell 1" in error
    assert "AssertionError" not in error
    assert said == ""
    assert state.read(tmp_path).of("12").tries == 0
