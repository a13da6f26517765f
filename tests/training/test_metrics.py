"""Scores agree with answers worked out by hand, and with scikit-learn where it is installed."""

import json
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.errors import GoemoError, ModelError
from goemo_utils.forward import thresholds as own
from goemo_utils.training import thresholds
from goemo_utils.training.data import Split
from goemo_utils.training.evaluation import calibration, gain, judge, per_label
from goemo_utils.training.metrics import (
    argmax_scores,
    bootstrap,
    calibration_error,
    decide,
    roc_auc,
    scores,
)
from goemo_utils.training.search import objective
from goemo_utils.training.teacher import linear_probabilities
from goemo_utils.training.thresholds import best_cut, tune

TARGETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
PROBABILITIES = np.array(
    [[0.9, 0.2, 0.1], [0.2, 0.8, 0.4], [0.6, 0.7, 0.1], [0.1, 0.1, 0.2]], np.float32
)


def test_scores_of_a_worked_example() -> None:
    # At 0.3, label 0 has tp 1, fp 1, fn 1; label 1 tp 2; label 2 fp 1. Rows 0 and 3 are exactly
    # right.
    found = scores(TARGETS, PROBABILITIES, 0.3)
    assert found["micro_f1"] == pytest.approx(6 / 9)
    assert found["macro_f1"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["weighted_f1"] == pytest.approx((0.5 * 2 + 1 * 2) / 4)
    assert found["subset_accuracy"] == 0.5


def test_roc_auc_counts_ties_as_half_and_a_label_without_positives_as_nan() -> None:
    areas = roc_auc(
        TARGETS, np.array([[0.5, 0.2, 0.1], [0.5, 0.8, 0.4], [0.5, 0.7, 0.1], [0.1, 0.1, 0.2]])
    )
    assert areas[:2].tolist() == [0.75, 1.0]
    assert np.isnan(areas[2])


def test_scores_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    targets, values = (rng.random((300, 5)) < 0.2).astype(np.float32), rng.random((300, 5)).round(2)
    found = scores(targets, values, 0.6)
    for kind in ("micro", "macro", "weighted"):
        assert found[f"{kind}_f1"] == pytest.approx(
            sklearn.f1_score(targets, values > 0.6, average=kind)
        )
    assert found["subset_accuracy"] == pytest.approx(sklearn.accuracy_score(targets, values > 0.6))
    assert roc_auc(targets, values) == pytest.approx(
        sklearn.roc_auc_score(targets, values, average=None)
    )


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    assert calibration_error(np.array([[1.0], [0.0]]), np.array([[0.75], [0.75]])) == pytest.approx(
        0.25
    )
    assert calibration_error(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]])) == 0.0


def test_bootstrap_interval_holds_the_score_and_shrinks_with_more_texts() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((4000, 4)) < 0.3).astype(np.float32)
    values = np.clip(targets * 0.4 + rng.random((4000, 4)) * 0.6, 0, 1)
    few, many = (
        bootstrap(targets[:n], values[:n], 0.5, n_draws=200)["macro_f1"] for n in (200, 4000)
    )
    assert few[0] < scores(targets[:200], values[:200], 0.5)["macro_f1"] < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_best_cut_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(1)
    truth, values = rng.random(80) < 0.3, rng.random(80).round(2)
    f1 = [
        scores(truth[:, None], values[:, None], cut)["macro_f1"] for cut in np.arange(0, 1, 0.005)
    ]
    assert scores(truth[:, None], values[:, None], best_cut(truth, values))[
        "macro_f1"
    ] == pytest.approx(max(f1))


def test_a_label_without_positives_keeps_one_half() -> None:
    assert tune(np.zeros((20, 1)), np.random.default_rng(0).random((20, 1))).tolist() == [0.5]


def test_tuned_thresholds_do_not_depend_on_the_order_of_labels() -> None:
    thresholds = tune(TARGETS.repeat(20, 0), PROBABILITIES.repeat(20, 0))
    assert (
        thresholds[::-1].tolist()
        == tune(TARGETS.repeat(20, 0)[:, ::-1], PROBABILITIES.repeat(20, 0)[:, ::-1]).tolist()
    )


def test_the_gain_of_a_model_over_itself_is_nothing_and_over_a_worse_one_is_certain() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((500, 3)) < 0.4).astype(np.float32)
    split = Split([""] * 500, targets, ("a", "b", "c"))
    good, bad, cuts = np.clip(targets * 0.8, 0.1, 1), rng.random((500, 3)), [0.5] * 3
    assert gain(split, good, cuts, good, cuts)["macro_f1"] == {"value": 0.0, "ci95": [0.0, 0.0]}
    over = gain(split, good, cuts, bad, cuts)["macro_f1"]
    assert 0 < over["ci95"][0] < over["value"] < over["ci95"][1]


# Three texts of label 0, one of 1, one of 2; the most probable label is right for the texts 0, 1,
# 3.
ONE_OF = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2]]
SHARES = np.array(
    [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.4, 0.35, 0.25]],
    np.float32,
)


def _single() -> Split:
    return Split([f"text {i}" for i in range(5)], ONE_OF, ("a", "b", "c"), "single_label")


def test_single_label_scores_of_a_worked_example() -> None:
    # Label a: tp 2, fp 1, fn 1; label b: tp 1, fp 1; label c: fn 1.
    found = argmax_scores(ONE_OF, SHARES)
    assert found == pytest.approx(
        {
            "accuracy": 0.6,
            "micro_f1": 0.6,
            "macro_f1": (4 / 6 + 2 / 3 + 0) / 3,
            "weighted_f1": (3 * 4 / 6 + 2 / 3 + 0) / 5,
        }
    )


def test_single_label_scores_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, values = rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300)
    found = argmax_scores(np.eye(4)[truth], values)
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, values.argmax(1)))
    for kind in ("micro", "macro", "weighted"):
        assert found[f"{kind}_f1"] == pytest.approx(
            sklearn.f1_score(truth, values.argmax(1), average=kind)
        )
    assert np.mean(roc_auc(np.eye(4)[truth], values)) == pytest.approx(
        sklearn.roc_auc_score(truth, values, multi_class="ovr")
    )


def test_a_decision_is_one_label_a_text_or_all_above_their_thresholds() -> None:
    assert decide(SHARES, "single_label").argmax(1).tolist() == [0, 0, 1, 1, 0]
    assert (decide(SHARES, "single_label").sum(1) == 1).all()
    assert decide(np.array([[0.3, 0.31, 0.6]]), "multi_label").tolist() == [[0, 1, 1]]
    assert decide(
        np.array([[0.3, 0.31, 0.6]]), "multi_label", np.array([0.2, 0.9, 0.9])
    ).tolist() == [[1, 0, 0]]


def test_single_label_calibration_judges_the_most_probable_label_alone() -> None:
    # Five confidences, each in a bin of its own: .8 and .5 and .7 right, .6 and .4 wrong.
    assert calibration_error(ONE_OF, SHARES, task="single_label") == pytest.approx(
        (0.2 + 0.5 + 0.6 + 0.3 + 0.4) / 5
    )
    assert calibration_error(
        np.eye(2)[[0, 1]], np.array([[0.75, 0.25], [0.75, 0.25]]), task="single_label"
    ) == pytest.approx(0.25)


@pytest.mark.parametrize("task", ["multi_label", "single_label"])
def test_the_table_of_calibration_adds_up_to_its_error(task: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(3), 200).astype(np.float32)
    dev = Split(
        [""] * 200, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 200)], ("a", "b", "c"), task
    )
    table = calibration(dev, values)
    assert len(table) == 15
    assert table[0]["from"] == 0
    assert table[-1]["to"] == 1

    n = sum(line["n"] for line in table)
    assert n == (200 if task == "single_label" else 600)
    assert all(
        line["from"] <= line["mean_probability"] <= line["to"] for line in table if line["n"]
    )
    assert all(line["mean_probability"] is None for line in table if not line["n"])
    gap = (
        sum(
            line["n"] * abs(line["share_true"] - line["mean_probability"])
            for line in table
            if line["n"]
        )
        / n
    )

    assert gap == pytest.approx(calibration_error(dev.targets, values, task=task))


def test_a_single_label_model_is_judged_by_its_most_probable_label_and_has_no_thresholds() -> None:
    found = judge(_single(), SHARES, _single(), SHARES)
    assert set(found) == {"macro_roc_auc", "calibration_error", "argmax"}
    assert found["argmax"]["accuracy"] == pytest.approx(0.6)
    assert found["argmax"]["ci95"]["accuracy"][0] <= 0.6 <= found["argmax"]["ci95"]["accuracy"][1]
    # Label a against the rest: 5 of 6 pairs in order (.3 of text 2 lies below .4 of text 4); b: .7
    # above all; c: .25 above all.
    assert found["macro_roc_auc"] == pytest.approx((5 / 6 + 1 + 1) / 3)
    assert [
        (line["support"], line["precision"], line["recall"])
        for line in per_label(_single(), SHARES)
    ] == [(3, pytest.approx(2 / 3), pytest.approx(2 / 3)), (1, 0.5, 1.0), (1, 0.0, 0.0)]
    assert gain(_single(), ONE_OF, None, SHARES, None)["micro_f1"]["value"] == pytest.approx(0.4)


def test_a_multi_label_model_is_judged_at_the_common_and_at_tuned_thresholds() -> None:
    dev = Split([""] * 4, TARGETS, ("a", "b", "c"))
    found = judge(dev, PROBABILITIES, dev, PROBABILITIES)
    assert set(found) == {"macro_roc_auc", "calibration_error", "thresholds", "at_0.3", "tuned"}
    assert found["at_0.3"]["micro_f1"] == pytest.approx(6 / 9)
    assert found["thresholds"] == tune(TARGETS, PROBABILITIES).tolist()


def test_thresholds_are_written_as_the_classifier_reads_them(tmp_path: Path) -> None:
    file = thresholds.write(
        tmp_path, ("joy", "anger", "never"), [0.25, 0.5, 0.0], 4341, "sha256:abc"
    )
    assert own.read(tmp_path, ["joy", "anger", "never"], "multi_label") == [0.25, 0.5, 1e-6]
    assert json.loads(file.read_text()) == {
        "schema": "goemo.thresholds/1",
        "thresholds": {"joy": 0.25, "anger": 0.5, "never": 1e-6},
        "tuned_on": {"texts": 4341, "sha256": "sha256:abc"},
        "criterion": "F1 per label, median of 41 bootstrap draws",
    }


@pytest.mark.parametrize(
    ("labels", "values"),
    [(("a", "b"), [0.5]), (("a", "a"), [0.5, 0.5]), (("a",), [1.5]), (("a",), [float("nan")])],
)
def test_thresholds_that_are_not_one_a_label_are_not_written(
    tmp_path: Path, labels: tuple[str, ...], values: list[float]
) -> None:
    with pytest.raises(ModelError, match="Tune them again"):
        thresholds.write(tmp_path, labels, values, 10, "")
    assert not list(tmp_path.iterdir())


def test_the_linear_baseline_of_single_label_texts_gives_shares_that_sum_to_one() -> None:
    pytest.importorskip("sklearn")
    split = Split(
        [f"{word} {other}" for word in ("good", "bad") for other in ("day", "week", "day", "night")]
        * 2,
        np.eye(3, dtype=np.float32)[([0] * 4 + [1] * 4) * 2],
        ("good", "bad", "none"),
        "single_label",
    )
    (found,) = linear_probabilities(split, [["good week", "bad day"]])
    assert found.dtype == np.float32
    assert found.sum(1) == pytest.approx([1, 1])
    assert found.argmax(1).tolist() == [0, 1]
    assert (found[:, 2] == 0).all()


def test_texts_that_share_no_word_have_no_linear_baseline_and_say_so() -> None:
    split = Split.of_ids(
        [f"只有一句话{n}" for n in range(6)],
        [[n % 2] for n in range(6)],
        ("a", "b"),
        "single_label",
    )
    with pytest.raises(GoemoError, match="no word that two of 6 texts share"):
        linear_probabilities(split, [split.texts])


def test_macro_f1_of_one_label_a_text_leaves_out_classes_that_nobody_meets() -> None:
    targets = np.eye(4)[[0, 1, 0, 1]]
    probabilities = np.eye(4)[[0, 1, 1, 1]] * 0.9
    # F1 of the two classes that are met: 2/3 and 4/5; scikit-learn's default gives their mean.
    assert argmax_scores(targets, probabilities)["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


@pytest.mark.parametrize(("task", "whole"), [("single_label", 1.0), ("multi_label", 0.5)])
def test_the_interval_of_macro_f1_is_over_the_same_classes_as_its_value(
    task: str, whole: float
) -> None:
    """Of a multi-label set every label counts, also where each text happens to have just one."""
    targets = np.eye(4)[[0, 1] * 20]
    assert scores(targets, targets * 0.9, 0.5, task)["macro_f1"] == whole
    interval = bootstrap(targets, targets * 0.9, 0.5, n_draws=50, task=task)["macro_f1"]
    assert interval == [whole, whole]


def test_the_gain_over_another_model_is_of_the_classes_that_are_met() -> None:
    targets = np.eye(4, dtype=np.float32)[[0, 1] * 20]
    split = Split([""] * 40, targets, ("a", "b", "c", "d"), "single_label")
    wrong = np.eye(4)[[0] * 40]
    over = gain(split, targets * 0.9, None, wrong, None)["macro_f1"]
    assert over["value"] == pytest.approx(1 - (2 / 3) / 2)
    assert over["ci95"][0] < over["value"] < over["ci95"][1]


def test_trials_are_chosen_by_the_macro_f1_that_is_reported() -> None:
    targets = np.eye(4, dtype=np.float32)[[0, 1, 0, 1]]
    held = Split([""] * 4, targets, ("a", "b", "c", "d"), "single_label")
    probabilities = np.eye(4)[[0, 1, 1, 1]] * 0.9
    expected = argmax_scores(targets, probabilities)["macro_f1"]
    assert objective(held, probabilities) == pytest.approx(expected)
