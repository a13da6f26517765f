"""The parameters of a training: closed, explained, and without contradictions."""

from pathlib import Path

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.params import PROJECT_ROOT, parameters_cell
from goemo_utils.training.params import TrainingParams


def test_the_committed_file_is_what_the_notebook_does_without_changes() -> None:
    assert TrainingParams.load(PROJECT_ROOT / "params" / "finetune.yaml") == TrainingParams.load()


def test_the_parameters_cell_runs_and_holds_every_default() -> None:
    values: dict = {}
    exec(parameters_cell(TrainingParams), values)
    assert {key: values[key] for key in TrainingParams.model_fields} | {
        "output_root": ""
    } == TrainingParams().resolved() | {"output_root": ""}


def test_the_defaults_of_the_regularisers_depend_on_the_task() -> None:
    params = TrainingParams.load()
    assert (params.alpha("single_label"), params.smoothing("single_label")) == (5.0, 0.1)
    assert (params.alpha("multi_label"), params.smoothing("multi_label")) == (0.0, 0.0)
    given = TrainingParams.load(None, {"r_drop": "1", "label_smoothing": "0"})
    assert (given.alpha("multi_label"), given.smoothing("single_label")) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rte": "1"}, "Did you mean learning_rate"),
        ({"epochs": "0"}, "epochs"),
        ({"dtype": "float16", "device": "cpu"}, "bfloat16"),
        ({"train": "no-such.csv"}, "No such file"),
        ({"train": "hub:x"}, "hub:OWNER/NAME"),
        ({"device": "cpu", "rehearsal_numerics": "hf32"}, "only the rehearsal"),
        ({"label_smoothing": "0.7"}, "label_smoothing"),
        ({"model": "new"}, "needs a recipe"),
        ({"revision": "main"}, "only a hub model"),
        ({"rehearsal_fault": "nonsense"}, "rehearsal_fault"),
        ({"seed": "-1"}, "seed"),
        ({"hub_token": "x"}, "looks like a secret"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence_that_names_it(
    given: dict[str, str], said: str
) -> None:
    with pytest.raises(ParamsError, match=said):
        TrainingParams.load(None, given)


def test_ones_own_texts_with_the_samples_dev_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\nhello,joy\n")
    with pytest.raises(ParamsError, match="Give both, or dev none"):
        TrainingParams.load(None, {"train": str(tmp_path / "mine.csv")})
    assert (
        TrainingParams.load(None, {"train": str(tmp_path / "mine.csv"), "dev": "none"}).dev is None
    )


def test_the_digest_names_what_decides_the_result_and_nothing_else() -> None:
    digest = TrainingParams.load().digest
    assert (
        TrainingParams.load(None, {"run_id": "other", "output_root": "elsewhere"}).digest == digest
    )
    assert TrainingParams.load(None, {"seed": "1"}).digest != digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": "5", "labels": "a,b"}, "labels, epochs would not be heard"),
        ({"task": "auto"}, "Set task to multi_label"),
        ({"limit": "9"}, "limit would not be heard"),
    ],
)
def test_what_a_recipe_would_not_hear_is_refused(
    tmp_path: Path, given: dict[str, str], said: str
) -> None:
    files = {name: str(tmp_path / f"{name}.tsv") for name in ("train", "dev")}
    for file in files.values():
        Path(file).write_text("hello\t1\tx\n")
    assert TrainingParams.load(PROJECT_ROOT / "params" / "embedded.yaml", files).model == "new"
    with pytest.raises(ParamsError, match=said):
        TrainingParams.load(PROJECT_ROOT / "params" / "embedded.yaml", {**files, **given})
