"""The landing notebook says what became of the newest run."""

import time

import pytest

from goemo_utils.notebook import landing
from goemo_utils.params import Params
from goemo_utils.records.step import Step


@pytest.fixture
def root(tmp_path, monkeypatch):
    return tmp_path / "outputs"


def begin(root, run_id: str) -> Step:
    params = Params.load(None, {"run_id": run_id, "output_root": str(root)})
    return Step.begin("00_environment", params)


def test_without_a_run_it_says_where_to_begin(root) -> None:
    assert "00_environment" in landing.latest_run(root)
    assert "no report" in landing.report_link(root)


def test_the_run_that_was_written_to_last_is_shown_step_by_step(root) -> None:
    begin(root, "older").finish("ready", {})
    time.sleep(0.01)
    begin(root, "newer").finish("ready for rehearsal", {})
    table = landing.latest_run(root)
    assert table.index.name == "run newer"
    assert table.loc["00_environment", "verdict"] == "ready for rehearsal"
    assert table.loc["01_load", "state"] == "not run yet"


def test_a_damaged_run_is_passed_over(root) -> None:
    begin(root, "sound").finish("ready", {})
    (root / "damaged").mkdir()
    (root / "damaged" / "manifest.json").write_text("{")
    assert landing.newest(root).name == "sound"
