"""A step seen from its notebook: what it needs, what it leaves, what its digests see."""

import json
from pathlib import Path

import pytest

from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records.record import read_record
from goemo_utils.records.step import Step, inputs_of, unfinished
from tests.chain.stand_ins import write_notebooks
from tests.forward.tiny_model import save_roberta


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMO_NOTEBOOKS", str(write_notebooks(tmp_path / "notebooks")))
    return Params.load(None, {"run_id": "r1", "output_root": str(tmp_path / "out")})


def test_a_missing_upstream_record_names_the_notebook_to_run_first(params) -> None:
    with pytest.raises(
        RecordError,
        match=r"03_parity needs the record of 01_load.*Run notebooks/01_load.ipynb first",
    ):
        Step.begin("03_parity", params)
    with pytest.raises(RecordError, match=r"Run notebooks/00_environment.ipynb first"):
        Step.begin("05_report", params)


def test_an_unfinished_upstream_step_is_not_built_on(params, tmp_path) -> None:
    unfinished("00_environment", "died", params, tmp_path / "out" / "r1", {}, "The kernel died.")
    with pytest.raises(RecordError, match="says 'died'"):
        Step.begin("01_load", params)


def test_other_parameters_upstream_are_refused(params) -> None:
    Step.begin("00_environment", params).finish("fine", {})
    with pytest.raises(RecordError, match="other parameters than 00_environment"):
        Step.begin("01_load", params.model_copy(update={"seed": 3}))


def test_a_finished_step_is_read_by_the_next(params) -> None:
    step = Step.begin("00_environment", params)
    step.path("a", "b.txt").write_text("artefact")
    step.keep(step.dir / "a" / "b.txt")
    written = step.finish("ready", {"facts": {"x": 1}}, [{"id": "f"}])
    assert written.simulated
    assert written.artefacts[0]["path"] == "a/b.txt"
    assert Step.begin("01_load", params).results("00_environment") == {"facts": {"x": 1}}
    assert read_record(step.dir / "00_environment.json") == written


def test_a_figure_keeps_its_description(params) -> None:
    import matplotlib.pyplot as plt
    from PIL import Image

    step = Step.begin("00_environment", params)
    figure, _ = plt.subplots()
    path = step.save_figure(figure, "f", "A line that rises.")
    plt.close(figure)
    assert Image.open(path).text["Description"] == "A line that rises."
    assert path in step.artefacts


def test_digests_see_the_model_the_texts_and_the_parameters(params, tmp_path) -> None:
    folder = save_roberta(tmp_path / "model")
    texts = tmp_path / "t.txt"
    texts.write_text("one\ntwo\n")
    made = Params.load(
        None,
        {
            "run_id": "r1",
            "output_root": params.output_root,
            "model": str(folder),
            "texts": str(texts),
        },
    )
    before = inputs_of("00_environment", made, tmp_path)
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"seen": 1})
    )
    texts.write_text("one\nthree\n")
    after = inputs_of("00_environment", made, tmp_path)
    assert {k for k in before if before[k] != after[k]} == {"model", "texts"}
    assert {
        k
        for k in after
        if after[k] != inputs_of("00_environment", made.model_copy(update={"seed": 9}), tmp_path)[k]
    } == {"params"}


def test_the_time_a_step_took_does_not_make_the_next_one_run_again(params) -> None:
    step = Step.begin("00_environment", params)
    step.finish("fine", {})
    first = inputs_of("01_load", params, step.dir)["00_environment"]
    Step.begin("00_environment", params).finish("fine", {})
    assert inputs_of("01_load", params, step.dir)["00_environment"] == first
    Step.begin("00_environment", params).finish("fine", {"other": 1})
    assert inputs_of("01_load", params, step.dir)["00_environment"] != first


def test_a_step_of_the_lab_has_a_folder_of_its_own(params) -> None:
    assert (
        Step.begin("00_environment", params.model_copy(update={"run_id": None})).dir
        == Path(params.output_root) / "lab"
    )
