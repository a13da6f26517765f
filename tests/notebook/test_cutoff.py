"""Precision and recall against the threshold."""

import numpy as np
import pytest

from goemo_utils.notebook import cutoff
from goemo_utils.training.labelled import labelled
from goemo_utils.training.labels import LABELS

TARGETS = np.array([[1, 0], [1, 0], [0, 1]], dtype=float)
PROBABILITIES = np.array([[0.9, 0.2], [0.4, 0.6], [0.3, 0.7]], dtype=np.float32)


def at(threshold: float) -> int:
    return int(np.flatnonzero(threshold == cutoff.GRID)[0])


def test_precision_and_recall_are_those_of_all_labels_together() -> None:
    found = cutoff.curve(TARGETS, PROBABILITIES, "multi_label")
    assert found.precision[at(0.5)] == pytest.approx(2 / 3)
    assert found.recall[at(0.5)] == pytest.approx(2 / 3)
    assert found.precision[at(0.35)] == pytest.approx(3 / 4)
    assert found.recall[at(0.35)] == 1


def test_the_best_threshold_is_the_lowest_of_the_highest_f1() -> None:
    found = cutoff.curve(TARGETS, PROBABILITIES, "multi_label")
    assert cutoff.GRID[found.best] == 0.3


def test_with_one_label_a_text_only_the_most_probable_one_counts() -> None:
    found = cutoff.curve(TARGETS, PROBABILITIES, "single_label")
    assert found.precision[at(0.1)] == pytest.approx(2 / 3)
    assert found.recall[at(0.8)] == pytest.approx(1 / 3)


def test_where_nothing_is_answered_precision_is_unknown_and_recall_is_0() -> None:
    found = cutoff.curve(TARGETS, PROBABILITIES, "multi_label")
    assert np.isnan(found.precision[at(0.95)])
    assert found.recall[at(0.95)] == 0


def test_the_sentence_says_what_the_careful_threshold_costs() -> None:
    said = cutoff.sentence(cutoff.curve(TARGETS, PROBABILITIES, "multi_label"))
    assert "On 3 labelled texts F1 is highest at 0.30" in said


def test_without_labelled_texts_the_sentence_says_where_a_curve_is_drawn() -> None:
    assert "10_finetune" in cutoff.sentence(None)
    assert cutoff.figure(None) is None


def test_the_figure_says_its_finding_and_whether_it_is_simulated() -> None:
    drawn = cutoff.figure(cutoff.curve(TARGETS, PROBABILITIES, "multi_label"), simulated=True)
    assert drawn.axes[0].get_title(loc="left").startswith("SIMULATED. F1 is highest")


def test_the_packages_labelled_texts_follow_the_order_of_a_models_labels() -> None:
    forward, backward = labelled(LABELS, 50), labelled(LABELS[::-1], 50)
    assert (forward.targets == backward.targets[:, ::-1]).all()
    assert (forward.targets.sum(1) >= 1).all()


def test_a_model_with_other_labels_has_no_labelled_texts_in_the_package() -> None:
    assert labelled(["spam", "ham"]) is None
