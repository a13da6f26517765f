"""Studies as they run, on a part of the sample."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from goemo_utils import GoEmotionsClassifier
from goemo_utils.optimise import study
from goemo_utils.optimise.ladder import Rung
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.params import PROJECT_ROOT
from tests.rehearsal.children import in_child

RUNGS = {
    "first-1": {"kind": "layers", "layers": 1, "epochs": 1},
    "leaving": {"kind": "early_exit", "texts": 200, "epochs": 2, "loss": 0.5},
    "halved": {"kind": "quantise", "to": "bfloat16", "of": "first-1"},
}


def params(folder: Path, **others: object) -> OptimiseParams:
    values = {"output_root": str(folder), "limit": 400, "rounds": 5, "timed_texts": 50}
    return OptimiseParams(**{**values, "rungs": RUNGS, **others})


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, list[str]]:
    """A study that was killed in its second rung and begun again: its folder, what was said."""
    folder = tmp_path_factory.mktemp("studies")
    whole = Rung.build

    def killed(rung: Rung, *given: object) -> object:
        if rung.name == "leaving":
            raise KeyboardInterrupt
        return whole(rung, *given)

    def both() -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Rung, "build", killed)
            with pytest.raises(KeyboardInterrupt):
                study.run(params(folder), lambda line: None)
        said: list[str] = []
        study.run(params(folder), said.append)
        return said

    said, _ = in_child(both)  # it trains, as the tests of this folder do, in a child
    return folder / "optimise", said


@pytest.mark.long
def test_a_killed_study_goes_on_with_the_rung_that_it_was_at(done) -> None:
    begun = [line for line in done[1] if line.startswith("rung ")]
    assert [line.partition(",")[0] for line in begun] == ["rung 2 of 3", "rung 3 of 3"]


@pytest.mark.long
def test_every_record_says_what_it_rests_on(done) -> None:
    for name in RUNGS:
        record = json.loads((done[0] / "rungs" / name / "record.json").read_text())
        assert record["schema"] == "goemo.rung/1"
        assert record["bytes"] > 1e6
        assert record["peak_memory_mib"] > 0
        assert record["quality"]["against_teacher"]["macro_f1"]["ci95"]
        assert str(done[0]) not in json.dumps(record)


@pytest.mark.long
def test_a_rung_trained_too_briefly_says_so(done) -> None:
    record = json.loads((done[0] / "rungs" / "first-1" / "record.json").read_text())
    assert record["note"] == "Not trained long enough: 1 passes of 3."


@pytest.mark.long
def test_every_rung_is_a_folder_that_the_classifier_takes_with_thresholds_of_its_own(done) -> None:
    for name in RUNGS:
        classifier = GoEmotionsClassifier(done[0] / "rungs" / name / "model")
        assert len(classifier.labels) == 28
        assert isinstance(classifier.threshold, list)


@pytest.mark.long
def test_exits_are_kept_and_texts_leave_by_them(done) -> None:
    from goemo_utils.optimise.early_exit import open_exits

    leaving = open_exits(done[0] / "rungs" / "leaving" / "model")
    _, answers = leaving.predict(["I am so happy today!"] * 30)
    assert np.isfinite(answers).all()
    assert leaving._model.left[0] > 0


@pytest.mark.long
def test_the_table_is_left_in_four_forms(done) -> None:
    found = json.loads((done[0] / "frontier.json").read_text())
    assert [one["rung"] for one in found["rows"]] == ["teacher", *RUNGS]
    assert found["recommendation"] in (done[0] / "frontier.md").read_text()
    assert len((done[0] / "frontier.csv").read_text().splitlines()) == 5
    assert "<svg" in (done[0] / "frontier.svg").read_text()


@pytest.mark.long
def test_the_notebook_runs_and_leaves_its_record(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    rungs = {"int8": {"kind": "quantise", "to": "int8"}}
    given = {"limit": 300, "rounds": 5, "timed_texts": 40, "rungs": rungs}
    file.write_text(yaml.safe_dump({**given, "output_root": str(tmp_path)}), encoding="utf-8")
    notebook = PROJECT_ROOT / "notebooks" / "20_optimise.ipynb"
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), "-f", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-2000:]
    record = json.loads((tmp_path / "optimise" / "20_optimise.json").read_text())
    assert record["verdict"].startswith("1 rungs measured against the teacher")
    cells = nbformat.read(out, as_version=4).cells
    texts = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
    assert not [text for text in texts if "Warning" in text]
