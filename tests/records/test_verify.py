"""A run folder is compared with what its records say."""

import json
from pathlib import Path

import pytest

from goemo_utils.params import Params
from goemo_utils.records.record import sha256_file
from goemo_utils.records.step import Step
from goemo_utils.records.verify import alterations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    params = Params.load(None, {"run_id": "r1", "output_root": str(tmp_path)})
    for name in ("00_environment", "01_load"):
        step = Step.begin(name, params)
        step.path("a", f"{name}.txt").write_text("as it was")
        step.keep(step.path("a", f"{name}.txt"))
        step.finish("fine", {"value": 1.0})
    return tmp_path / "r1"


def test_an_untouched_run_holds(folder) -> None:
    assert alterations(folder) == []


def test_a_flipped_bit_in_an_artefact_is_found(folder) -> None:
    (folder / "a" / "01_load.txt").write_text("as it wat")
    assert alterations(folder) == ["a/01_load.txt was altered since 01_load recorded it"]


def test_a_missing_artefact_is_found(folder) -> None:
    (folder / "a" / "01_load.txt").unlink()
    assert alterations(folder) == ["a/01_load.txt is missing since 01_load recorded it"]


def test_a_number_changed_in_a_record_is_found_by_the_record_that_read_it(folder) -> None:
    path = folder / "00_environment.json"
    record = json.loads(path.read_text())
    record["results"]["value"] = 2.0
    path.write_text(json.dumps(record))
    assert alterations(folder) == ["00_environment.json was altered since 01_load read it"]


def test_an_artefact_outside_the_run_is_told_and_not_read(folder, tmp_path) -> None:
    (tmp_path / "private").write_text("mine")
    path = folder / "01_load.json"
    record = json.loads(path.read_text())
    digest = sha256_file(tmp_path / "private")
    record["artefacts"] = [{"path": "../private", "sha256": digest}]
    path.write_text(json.dumps(record))
    assert alterations(folder) == ["../private lies outside the run since 01_load recorded it"]
