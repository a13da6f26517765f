"""A model's own thresholds: what a file must hold, which one is used, and how it is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ModelError, ParamsError
from goemo_utils.forward import thresholds
from goemo_utils.forward.model import load_model
from goemo_utils.params import Params
from goemo_utils.records.step import file_digests
from tests.forward.tiny_model import SENTENCES, save_roberta

LABELS = ["joy", "anger", "neutral"]
GOOD = {
    "schema": "goemo.thresholds/1",
    "thresholds": {"neutral": 0.7, "joy": 0.2, "anger": 0.5},
    "tuned_on": {"texts": 9, "sha256": "s"},
    "criterion": "F1",
}


def write(folder: Path, content: object) -> Path:
    (folder / "thresholds.json").write_text(
        content if isinstance(content, str) else json.dumps(content), encoding="utf-8"
    )
    return folder


def test_thresholds_are_read_in_label_order_whatever_their_order_in_the_file(tmp_path) -> None:
    assert thresholds.read(write(tmp_path, GOOD), LABELS, "multi_label") == [0.2, 0.5, 0.7]
    assert thresholds.read(tmp_path, [], "encoder") is None
    assert thresholds.read(tmp_path / "none", LABELS, "multi_label") is None


def values(**changes: object) -> dict:
    return {**GOOD, "thresholds": {**GOOD["thresholds"], **changes}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "it is no object"),
        ("null", "it is no object"),
        ("\ud83d".encode("utf-16", "surrogatepass").decode("latin-1"), "cannot be read"),
        ({**GOOD, "schema": "goemo.thresholds/2"}, "'goemo.thresholds/2'"),
        ({k: v for k, v in GOOD.items() if k != "thresholds"}, "no file of thresholds"),
        ({**GOOD, "note": "x"}, "'note'"),
        ({**GOOD, "thresholds": [0.1, 0.2, 0.3]}, "no object of label to number"),
        ({**GOOD, "thresholds": {"joy": 0.2}}, "missing 'anger', 'neutral'"),
        (values(surprise=0.2), "unknown 'surprise'"),
        ({**GOOD, "thresholds": {}}, "names 0 labels"),
        (
            '{"schema": "goemo.thresholds/1", "thresholds":'
            ' {"joy": 0.2, "anger": 0.5, "neutral": 0.7, "joy": 0.9}}',
            "'joy' stands in it twice",
        ),
        (values(joy=0), "'joy' the threshold 0"),
        (values(joy=1), "above 0 and below 1"),
        (values(joy=-0.2), "-0.2"),
        (values(joy="0.2"), "'0.2'"),
        (values(joy=True), "True"),
        (values(joy=None), "None"),
        (values(joy=float("nan")), "nan"),
        (values(joy=float("inf")), "inf"),
        (values(joy=10**400), "above 0 and below 1"),
        (values(joy=[0.2]), "[0.2]"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence_that_names_it(tmp_path, content, told) -> None:
    with pytest.raises(ModelError) as refused:
        thresholds.read(write(tmp_path, content), LABELS, "multi_label")
    message = str(refused.value)
    assert message.startswith(str(tmp_path / "thresholds.json"))
    assert told in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_folder_in_the_file_s_place_is_refused(tmp_path) -> None:
    (tmp_path / "thresholds.json").mkdir()
    with pytest.raises(ModelError, match="cannot be read"):
        thresholds.read(tmp_path, LABELS, "multi_label")


def test_thresholds_beside_a_single_label_model_are_refused(tmp_path) -> None:
    folder = write(save_roberta(tmp_path / "m", problem_type="single_label_classification"), GOOD)
    with pytest.raises(ModelError, match=r"single_label.*most probable label"):
        load_model(str(folder))


def test_a_loaded_model_has_its_thresholds_in_its_facts_and_random_weights_have_none(
    tmp_path,
) -> None:
    folder = save_roberta(tmp_path / "m")
    assert load_model(str(folder)).info["thresholds"] is None
    write(folder, GOOD)
    info = load_model(str(folder)).info
    assert info["thresholds"] == [0.2, 0.5, 0.7]
    assert "thresholds.json" in [file["name"] for file in info["files"]]
    assert load_model(f"random:{folder}").info["thresholds"] is None
    assert load_model(str(folder), task="encoder").info["thresholds"] is None


def test_what_is_asked_comes_first_then_the_model_s_own_then_one_for_all() -> None:
    own = {"thresholds": [0.2, 0.5, 0.7], "labels": LABELS}
    assert thresholds.effective(0.4, own) == 0.4
    assert thresholds.effective([0.1, 0.2, 0.3], own) == [
        0.1,
        0.2,
        0.3,
    ]
    assert thresholds.effective(np.array([0.5, 0.2, 0.25]), own) == [0.5, 0.2, 0.25]
    assert thresholds.effective(np.float32(0.5), own) == 0.5
    assert thresholds.effective(None, own) == [0.2, 0.5, 0.7]
    assert thresholds.effective(None, {"labels": LABELS}) == 0.3
    assert thresholds.origin(0.4, own) == "Threshold: 0.4, as asked."
    assert thresholds.origin(None, own) == ("Threshold: the model's own, 3 thresholds, 0.2 to 0.7.")
    assert thresholds.origin(None, {}) == ("Threshold: 0.3, because the model has none of its own.")


@pytest.mark.parametrize(
    "asked",
    [
        0,
        1,
        1.5,
        -1,
        float("nan"),
        "0.3",
        True,
        [],
        [0.2, 0.3],
        [0.2, 0.3, 1.0],
        [0.2, 0.3, "x"],
        [[0.1, 0.2, 0.3]],
    ],
)
def test_a_threshold_that_is_none_is_refused(asked) -> None:
    with pytest.raises(ParamsError, match="threshold"):
        thresholds.effective(asked, {"labels": LABELS})


def test_the_classifier_judges_each_label_by_its_own(tmp_path) -> None:
    folder = save_roberta(tmp_path / "m")
    _, probabilities = GoEmotionsClassifier(str(folder), backend="eager").predict(SENTENCES)
    middle = {
        label: float(np.sort(column)[1:3].mean())
        for label, column in zip(LABELS, probabilities.T, strict=True)
    }
    classifier = GoEmotionsClassifier(
        str(write(folder, {**GOOD, "thresholds": middle})), backend="eager"
    )
    results, again = classifier.predict(SENTENCES)
    assert np.array_equal(again, probabilities)
    assert classifier.threshold == [middle[label] for label in LABELS]
    for row, result in zip(probabilities, results, strict=True):
        assert result == sorted(
            ((label, float(p)) for label, p in zip(LABELS, row, strict=True) if p > middle[label]),
            key=lambda pair: -pair[1],
        )
    assert sorted(label for result in results for label, _ in result) == sorted(LABELS * 2)
    assert GoEmotionsClassifier(str(folder), threshold=0.5).threshold == 0.5
    assert (
        GoEmotionsClassifier(str(folder), threshold=list(middle.values()), backend="eager").predict(
            SENTENCES
        )[0]
        == results
    )
    with pytest.raises(ParamsError, match="2 thresholds were given for 3 labels"):
        GoEmotionsClassifier(str(folder), threshold=[0.5, 0.5])


def test_a_run_resumes_only_with_the_thresholds_it_began_with(tmp_path) -> None:
    params = Params.load(None, {"model": str(write(save_roberta(tmp_path / "m"), GOOD))})
    before = file_digests(params)["model"]
    write(tmp_path / "m", values(joy=0.3))
    assert file_digests(params)["model"] != before
