"""Early work is what the notebooks will ask for, and only where it may be."""

import subprocess
import sys
from pathlib import Path

import pytest

from goemo_utils.chain.early import Work
from goemo_utils.notebook import requests
from goemo_utils.params import Params
from goemo_utils.records.record import STEPS
from goemo_utils.records.step import Step


class Heard:
    """Hears which jobs are begun."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def begin(self, job: dict, log: Path) -> None:
        self.names.append(log.stem.removeprefix("worker-"))

    def close(self) -> None:
        pass


def begun(tmp_path: Path, step: str, parameters: int = 1000, **changes: str) -> list[str]:
    """The jobs that are begun beside ``step``, for a model of so many ``parameters``."""
    params = Params.load(None, {"run_id": "r1", "output_root": str(tmp_path), **changes})
    Step.begin("00_environment", params).finish("ready", {})
    model = {"n_parameters": parameters, "task": "multi_label"}
    Step.begin("01_load", params).finish("loaded", {"model": model})
    work = Work(params, tmp_path / "r1", list(STEPS), forced=True, jobs=Heard())
    work.beside(step)
    work.close()
    return work.jobs.names


@pytest.mark.parametrize(
    ("step", "jobs"),
    [
        ("01_load", []),
        ("02_smoke", ["smoke", "gold", "reference", "candidate", "explain"]),
        ("03_parity", ["throughput"]),
        ("04_throughput", []),
    ],
)
def test_what_begins_beside_a_step(tmp_path: Path, step: str, jobs: list[str]) -> None:
    assert begun(tmp_path, step) == jobs


def test_nothing_begins_early_of_a_large_model(tmp_path: Path) -> None:
    assert begun(tmp_path, "02_smoke", parameters=requests.SMALL) == []


def test_of_a_larger_model_the_analysis_alone_begins_beside_its_packs(tmp_path: Path) -> None:
    assert begun(tmp_path, "03_parity", parameters=requests.SMALL) == ["explain"]


def test_nothing_of_a_model_that_fills_a_machine_begins_early(tmp_path: Path) -> None:
    assert begun(tmp_path, "03_parity", parameters=requests.MIDDLING) == []


@pytest.mark.parametrize(
    "changes", [{"device": "npu:0"}, {"texts": "texts.txt"}, {"reference": "pack.json"}]
)
def test_nothing_begins_early_on_a_card_or_of_files(tmp_path: Path, changes: dict) -> None:
    for name in ("texts", "reference"):
        if name in changes:
            (tmp_path / changes[name]).write_text("thank you\n", encoding="utf-8")
            changes = {name: str(tmp_path / changes[name])}
    assert begun(tmp_path, "02_smoke", **changes) == []


def test_no_pack_is_written_anew_where_its_step_will_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "_runs", lambda work, step: False)
    assert begun(tmp_path, "02_smoke") == ["smoke"]


def test_a_run_whose_records_cannot_be_read_goes_on(tmp_path: Path) -> None:
    params = Params.load(None, {"run_id": "r1", "output_root": str(tmp_path)})
    work = Work(params, tmp_path / "r1", list(STEPS), forced=True, jobs=Heard())
    work.beside("02_smoke")
    work.close()
    assert work.jobs.names == []


@pytest.mark.long
def test_the_notebooks_of_a_run_ask_for_what_was_begun(tmp_path: Path) -> None:
    settings = ("-p", "output_root", str(tmp_path), "-p", "rehearsal_numerics", "exact")
    command = [sys.executable, "-m", "goemo_utils.cli", "run", *settings]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("smoke", "gold", "reference", "candidate", "explain", "throughput"):
        log = requests.log_of(tmp_path / "latest", name)
        assert "begun early, asked for at" in log.read_text(encoding="utf-8"), name
