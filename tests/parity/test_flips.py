"""Changed decisions, and what few texts can and cannot show."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goemo_utils.parity.decisions import logit
from goemo_utils.parity.flips import (
    flips,
    log_binomial_cdf,
    lower_bound,
    margins,
    needed,
    ties,
    upper_bound,
)
from goemo_utils.parity.quality import difference, f1, truth_matrix

T = float(logit(0.3))


@pytest.mark.parametrize(
    "n, bound",
    [(23, 0.122), (100, 0.0295), (300, 0.0099), (1000, 0.0030), (5427, 0.00055), (151_956, 2.0e-5)],
)
def test_no_event_in_n_bounds_the_rate_as_published(n, bound):
    assert upper_bound(0, n) == pytest.approx(bound, rel=0.02)
    assert upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n))


@pytest.mark.parametrize("limit, n", [(0.01, 299), (0.001, 2995), (0.0001, 29956)])
def test_texts_needed_to_show_a_rate(limit, n):
    assert needed(limit) == n


@settings(deadline=None)
@given(st.integers(1, 300), st.data())
def test_the_bounds_are_where_the_binomial_tail_is_five_percent(n, data):
    k = data.draw(st.integers(0, n - 1))
    p = upper_bound(k, n)
    assert k / n < p <= 1
    assert math.exp(log_binomial_cdf(k, n, p)) == pytest.approx(0.05, rel=1e-6)
    assert lower_bound(k, n) <= k / n


def test_all_events_bound_nothing():
    assert upper_bound(5, 5) == 1.0
    assert lower_bound(0, 5) == 0.0
    assert lower_bound(5, 5) == pytest.approx(0.05 ** (1 / 5))


def test_a_bound_without_observations_is_refused():
    with pytest.raises(ValueError, match="n = 0"):
        upper_bound(0, 0)


def test_a_flip_is_explained_only_by_the_bound_never_by_the_candidates_own_error():
    gold = np.array([[T + 1e-6, T + 1.0]])
    reference = gold.copy()
    candidate = np.array([[T - 1e-6, T - 1.0]])
    found = flips(gold, reference, candidate, "multi_label", 0.3, bound=1e-5)
    assert (
        found["flips"],
        found["explained"],
        found["unexplained"],
        found["outside"],
        found["texts"],
    ) == (2, 1, 1, 1, 1)


def test_an_error_without_a_flip_is_still_outside_the_envelope():
    gold = np.array([[T + 5.0]])
    found = flips(gold, gold, gold + 1e-3, "multi_label", 0.3, bound=1e-5)
    assert (found["flips"], found["outside"]) == (0, 1)


def test_nan_is_outside_the_envelope():
    gold = np.array([[1.0]])
    assert flips(gold, gold, np.array([[math.nan]]), "multi_label", 0.3, bound=1.0)["outside"] == 1


def test_a_tie_is_decided_by_rounding_and_only_by_rounding():
    rng = np.random.default_rng(0)
    gold = rng.normal(size=(50, 6))

    def noisy():
        return (gold + rng.uniform(-1e-6, 1e-6, gold.shape)).astype(np.float32)

    found = ties(gold, noisy(), noisy(), 0.3, 4e-6)
    assert found["labels"] == 6
    assert found["changed"] <= 6
    assert found["unexplained"] == 0
    assert sum(ties(gold, noisy(), noisy(), 0.3, 4e-6)["changed"] for _ in range(20)) > 20, (
        "a tie falls either way"
    )
    assert (
        ties(gold, noisy(), (gold + 0.5).astype(np.float32), np.full(6, 0.3), 4e-6)["unexplained"]
        > 0
    )
    assert ties(gold, gold, gold, 0.3, 0.0) == {"labels": 6, "changed": 0, "unexplained": 0}


def test_a_threshold_per_label_is_applied_to_its_label():
    z = np.array([[0.0, 0.0]])
    found = flips(z, z, z + np.array([[0.2, 0.2]]), "multi_label", np.array([0.52, 0.9]), bound=1.0)
    assert found["changed"].tolist() == [[True, False]]


def test_single_label_margin_is_half_the_gap_to_the_best_other_label():
    assert margins(np.array([[1.0, 0.4, 0.0]]), "single_label", 0.5) == pytest.approx(
        np.array([[0.3, 0.3, 0.5]])
    )


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_no_single_label_flip_is_unexplained_when_all_errors_are_within_the_bound(seed):
    rng = np.random.default_rng(seed)
    gold, e = rng.normal(size=(8, 4)), 0.05
    reference, candidate = (gold + rng.uniform(-e, e, gold.shape) for _ in range(2))
    found = flips(gold, reference, candidate, "single_label", 0.5, bound=e)
    assert found["unexplained"] == 0
    assert found["outside"] == 0


def test_micro_f1_of_a_known_table():
    truth = truth_matrix([[0], [1], [0, 1]], 2)
    decided = np.array([[True, False], [True, False], [True, True]])
    found = difference(truth, decided, decided)
    assert found["reference"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found["delta"] == 0
    assert found["interval"] == [0.0, 0.0]
    assert f1(np.zeros(3)) == 0.0


def test_a_worse_candidate_has_an_interval_below_zero():
    rng = np.random.default_rng(0)
    truth = rng.random((400, 5)) < 0.3
    worse = truth ^ (rng.random(truth.shape) < 0.1)
    found = difference(truth, truth, worse)
    assert found["delta"] < 0
    assert found["interval"][1] < 0
