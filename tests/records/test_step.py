"""A step seen from its notebook: what it needs, what it leaves, what its digests see."""

import json
from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError, RecordError
from goemo_utils.params import Params
from goemo_utils.records.record import read_record
from goemo_utils.records.step import Step, inputs_of, leave, unfinished
from tests.chain.stand_ins import write_notebooks
from tests.forward.tiny_model import save_roberta

PLACE = {"run_id", "output_root"}


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


def test_a_missing_upstream_record_names_a_run_that_has_it(loaded) -> None:
    other = loaded.model_copy(update={"run_id": "r2"})
    with pytest.raises(
        RecordError, match="or set run_id to that of a run that has it, such as 'r1'"
    ):
        Step.begin("03_parity", other)


def test_an_unfinished_upstream_step_is_not_built_on(params, tmp_path) -> None:
    leave(
        unfinished("00_environment", "died", params, {}, "The kernel died."),
        tmp_path / "out" / "r1",
    )
    with pytest.raises(RecordError, match="says 'died'"):
        Step.begin("01_load", params)


@pytest.fixture
def loaded(params):
    """A run whose first two steps have finished, with an arithmetic of its own."""
    chosen = params.model_copy(update={"rehearsal_numerics": "hf32", "dtype": "bfloat16"})
    Step.begin("00_environment", chosen).finish("fine", {})
    Step.begin("01_load", chosen).finish("fine", {})
    return params


def test_what_an_earlier_step_recorded_is_taken_over(loaded) -> None:
    step = Step.begin("03_parity", loaded)
    assert (step.params.rehearsal_numerics, step.params.dtype) == ("hf32", "bfloat16")
    assert step.origin["rehearsal_numerics"] == "01_load"


def test_what_this_notebook_sets_holds_in_it(loaded) -> None:
    here = loaded.model_copy(update={"rehearsal_numerics": "ascend910b"})
    step = Step.begin("03_parity", here)
    assert step.params.rehearsal_numerics == "ascend910b"
    assert "rehearsal_numerics" not in step.origin


def test_a_contradiction_names_the_key_both_values_and_what_to_do(loaded) -> None:
    with pytest.raises(RecordError) as caught:
        Step.begin("03_parity", loaded.model_copy(update={"dtype": "float16"}))
    said = str(caught.value)
    assert 'dtype is the text "float16" here' in said
    assert 'recorded the text "bfloat16"' in said
    assert "notebooks/01_load.ipynb" in said
    assert "another run_id" in said


def test_a_value_taken_over_that_excludes_one_set_here_is_refused(params) -> None:
    on_cpu = Params.load(None, {**params.model_dump(include=PLACE), "device": "cpu"})
    Step.begin("00_environment", on_cpu).finish("fine", {})
    broken = Params.load(
        None, {**params.model_dump(include=PLACE), "rehearsal_fault": "gelu:scale=2"}
    )
    with pytest.raises(ParamsError, match=r"the record of 00_environment.*rehearsal_fault is"):
        Step.begin("01_load", broken)


def test_a_record_keeps_what_its_step_read_and_nothing_of_this_machine(loaded) -> None:
    kept = read_record(Path(loaded.output_root) / "r1" / "01_load.json").params
    assert kept["dtype"] == "bfloat16"
    assert "threshold" not in kept
    assert "output_root" not in kept


def test_the_report_of_a_run_knows_whether_a_step_it_reads_was_simulated(loaded) -> None:
    assert Step.begin("05_report", loaded).finish("rendered", {}).simulated


def test_the_manifest_gathers_what_each_notebook_read(loaded) -> None:
    Step.begin("02_smoke", loaded.model_copy(update={"threshold": 0.7})).finish("fine", {})
    told = json.loads((Path(loaded.output_root) / "r1" / "manifest.json").read_text())["params"]
    assert (told["threshold"], told["dtype"]) == (0.7, "bfloat16")


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


def test_a_notebook_shows_the_figure_that_was_saved(params) -> None:
    import matplotlib.pyplot as plt

    step = Step.begin("00_environment", params)
    figure, _ = plt.subplots()
    shown = step.show_figure(figure, "f", "A line that rises.")
    plt.close(figure)
    assert shown.data == (step.dir / "figures" / "f.png").read_bytes()
    assert shown.alt == "A line that rises."


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
    before = inputs_of("03_parity", made, tmp_path)
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"seen": 1})
    )
    texts.write_text("one\nthree\n")
    after = inputs_of("03_parity", made, tmp_path)
    assert {k for k in before if before[k] != after[k]} == {"model", "texts"}

    seeded = inputs_of("03_parity", made.model_copy(update={"seed": 9}), tmp_path)
    assert {k for k in after if after[k] != seeded[k]} == {"params"}


def test_digests_see_only_the_parameters_that_the_step_reads(params, tmp_path) -> None:
    other = params.model_copy(update={"threshold": 0.7})
    same = inputs_of("01_load", params, tmp_path) == inputs_of("01_load", other, tmp_path)
    assert same
    assert inputs_of("02_smoke", params, tmp_path) != inputs_of("02_smoke", other, tmp_path)


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
