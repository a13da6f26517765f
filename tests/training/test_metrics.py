"""Scores agree with answers worked out by hand, and with scikit-learn where it is installed."""

import numpy as np
import pytest

from goemo_utils.training.data import Split
from goemo_utils.training.evaluation import gain
from goemo_utils.training.metrics import bootstrap, calibration_error, roc_auc, scores
from goemo_utils.training.thresholds import best_cut, tune

TARGETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
PROBABILITIES = np.array([[.9, .2, .1], [.2, .8, .4], [.6, .7, .1], [.1, .1, .2]], np.float32)


def test_scores_of_a_worked_example() -> None:
    # At 0.3, label 0 has tp 1, fp 1, fn 1; label 1 tp 2; label 2 fp 1. Rows 0 and 3 are exactly right.
    found = scores(TARGETS, PROBABILITIES, 0.3)
    assert found["micro_f1"] == pytest.approx(6 / 9)
    assert found["macro_f1"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["weighted_f1"] == pytest.approx((0.5 * 2 + 1 * 2) / 4)
    assert found["subset_accuracy"] == 0.5


def test_roc_auc_counts_ties_as_half_and_a_label_without_positives_as_nan() -> None:
    areas = roc_auc(TARGETS, np.array([[.5, .2, .1], [.5, .8, .4], [.5, .7, .1], [.1, .1, .2]]))
    assert areas[:2].tolist() == [0.75, 1.0] and np.isnan(areas[2])


def test_scores_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    targets, values = (rng.random((300, 5)) < 0.2).astype(np.float32), rng.random((300, 5)).round(2)
    found = scores(targets, values, 0.6)
    for kind in ("micro", "macro", "weighted"):
        assert found[f"{kind}_f1"] == pytest.approx(sklearn.f1_score(targets, values > 0.6, average=kind))
    assert found["subset_accuracy"] == pytest.approx(sklearn.accuracy_score(targets, values > 0.6))
    assert roc_auc(targets, values) == pytest.approx(sklearn.roc_auc_score(targets, values, average=None))


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    assert calibration_error(np.array([[1.0], [0.0]]), np.array([[0.75], [0.75]])) == pytest.approx(0.25)
    assert calibration_error(np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]])) == 0.0


def test_bootstrap_interval_holds_the_score_and_shrinks_with_more_texts() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((4000, 4)) < 0.3).astype(np.float32)
    values = np.clip(targets * 0.4 + rng.random((4000, 4)) * 0.6, 0, 1)
    few, many = (bootstrap(targets[:n], values[:n], 0.5, n_draws=200)["macro_f1"] for n in (200, 4000))
    assert few[0] < scores(targets[:200], values[:200], 0.5)["macro_f1"] < few[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_best_cut_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(1)
    truth, values = rng.random(80) < 0.3, rng.random(80).round(2)
    f1 = [scores(truth[:, None], values[:, None], cut)["macro_f1"] for cut in np.arange(0, 1, 0.005)]
    assert scores(truth[:, None], values[:, None], best_cut(truth, values))["macro_f1"] == pytest.approx(max(f1))


def test_a_label_without_positives_keeps_one_half() -> None:
    assert tune(np.zeros((20, 1)), np.random.default_rng(0).random((20, 1))).tolist() == [0.5]


def test_tuned_thresholds_do_not_depend_on_the_order_of_labels() -> None:
    thresholds = tune(TARGETS.repeat(20, 0), PROBABILITIES.repeat(20, 0))
    assert thresholds[::-1].tolist() == tune(TARGETS.repeat(20, 0)[:, ::-1], PROBABILITIES.repeat(20, 0)[:, ::-1]).tolist()


def test_the_gain_of_a_model_over_itself_is_nothing_and_over_a_worse_one_is_certain() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random((500, 3)) < 0.4).astype(np.float32)
    split = Split([""] * 500, targets, ("a", "b", "c"))
    good, bad, cuts = np.clip(targets * 0.8, 0.1, 1), rng.random((500, 3)), [0.5] * 3
    assert gain(split, good, cuts, good, cuts)["macro_f1"] == {"value": 0.0, "ci95": [0.0, 0.0]}
    over = gain(split, good, cuts, bad, cuts)["macro_f1"]
    assert 0 < over["ci95"][0] < over["value"] < over["ci95"][1]
