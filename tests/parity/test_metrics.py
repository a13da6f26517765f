"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from goemo_utils.parity import metrics as m
from goemo_utils.parity.decisions import (
    divergence,
    log_softmax,
    logit,
    probabilities,
    sigmoid,
    top_overlap,
)

FLOATS = st.floats(-1e6, 1e6, width=32)


def test_distance_is_what_a_pencil_gives():
    d = m.distance(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.5], [3.0, 2.0]]))
    assert (d.max, d.mean, d.n) == (2.0, 0.625, 4)
    assert d.rms == pytest.approx(math.sqrt(4.25 / 4))


def test_distance_is_taken_in_float64_of_float32_values():
    a, b = np.full((1, 1), 2.0**24, np.float32), np.full((1, 1), 1.0, np.float32)
    assert m.distance(a, b).max == 2.0**24 - 1  # float32 arithmetic could not hold this


def test_distance_over_many_rows_equals_distance_at_once():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2 * m.ROWS + 7, 3)), rng.normal(size=(2 * m.ROWS + 7, 3))
    d = m.distance(a, b)
    assert d.rms == pytest.approx(float(np.sqrt(np.mean((a - b) ** 2))), rel=1e-12)
    assert d.max == np.abs(a - b).max()


def test_a_nan_makes_every_distance_nan():
    d = m.distance(np.array([[1.0], [math.nan]]), np.zeros((2, 1)))
    assert math.isnan(d.rms)
    assert math.isnan(d.mean)
    assert math.isnan(d.max)


def test_nothing_compared_has_no_distance():
    assert math.isnan(m.distance(np.zeros((0, 3)), np.zeros((0, 3))).rms)


@pytest.mark.parametrize(
    "c, r, floor, expected", [(4, 2, 0, 2), (4, 0, 2, 2), (0, 0, 0, 0), (1, 0, 0, math.inf)]
)
def test_ratio_uses_the_floor_where_the_reference_is_exact(c, r, floor, expected):
    assert m.ratio(c, r, floor) == expected


def test_ratio_of_nan_is_nan():
    assert math.isnan(m.ratio(math.nan, 1.0, 0.0))
    assert math.isnan(m.ratio(1.0, math.nan, 0.0))


def test_cosine_is_a_mean_over_texts_not_over_all_values():
    a, b = np.array([[1.0, 0.0], [100.0, 0.0]]), np.array([[0.0, 1.0], [100.0, 0.0]])
    assert m.mean_cosine(a, b) == pytest.approx(0.5)
    assert m.mean_cosine(np.zeros((1, 2)), np.zeros((1, 2))) == 1.0


def test_relative_error_leaves_small_references_out_and_says_how_many_it_used():
    mean, largest, n = m.relative(np.array([[1.1, 5.0]]), np.array([[1.0, 1e-9]]), 2.0**-14)
    assert n == 1
    assert mean == largest == pytest.approx(0.1)
    assert m.relative(np.ones((1, 1)), np.zeros((1, 1)), 1e-3)[2] == 0


def test_within_one_percent_counts_each_value():
    assert m.within_one_percent(
        np.array([[1.0099, 1.02, 0.0]]), np.array([[1.0, 1.0, 0.0]])
    ) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "dtype, n, expected",
    [
        ("float32", 1000, 2),
        ("float32", 999, 3),
        ("float16", 1000, 3),
        ("bfloat16", 501, 3),
        ("float32", 500, 8),
        ("float32", 10, 10),
    ],
)
def test_multiplier_is_that_of_dynamo_same(dtype, n, expected):
    assert m.same_multiplier(dtype, n) == expected


def test_ascend_grade_follows_the_three_ratios():
    gold = np.linspace(1, 2, 1000).reshape(100, 10)
    noise = np.random.default_rng(0).standard_normal(gold.shape) * 1e-6

    def grade(k):
        return m.ascend_grade(gold + k * noise, gold + noise, gold)[0]

    assert [grade(k) for k in (1.0, 1.4, 1.9, 3.0)] == ["L2", "L1", "L0", "none"]


def test_a_grade_looks_at_every_row_and_none_stands_for_nan():
    rng = np.random.default_rng(0)
    gold = rng.uniform(1, 2, (m.ROWS + 7, 3))
    reference, candidate = (gold + 1e-6 * rng.standard_normal(gold.shape) for _ in range(2))
    whole = np.abs(candidate - gold) / (np.abs(gold) + 1e-7)
    assert m.ascend_grade(candidate, reference, gold)[0] == "L2"
    candidate[-1, 0] = gold[-1, 0] + 1e-3
    grade, ratios = m.ascend_grade(candidate, reference, gold)
    own = np.abs(reference - gold) / (np.abs(gold) + 1e-7)
    assert grade == "none"
    assert ratios["MARE"] == pytest.approx((1e-3 / (gold[-1, 0] + 1e-7)) / own.max(), rel=1e-6)
    assert ratios["MARE"] > whole.max() / own.max()
    candidate[-1, 0] = math.nan
    assert m.ascend_grade(candidate, reference, gold)[0] == "none"


@pytest.mark.parametrize("off", [0.0, 1e-4, 1e-3, 1e-2, 5e-2])
def test_the_required_tolerance_is_the_one_with_which_torch_itself_says_same(off):
    """Known answer: torch's own function, just above and just below it. One element is off, so that
    torch's first test, allclose, does not decide.
    """
    import torch
    from torch._dynamo.utils import same

    rng = np.random.default_rng(1)
    gold = rng.normal(size=(100, 20))
    noise = rng.standard_normal(gold.shape)
    reference, candidate = gold + 1e-6 * noise, gold + 1e-6 * noise[::-1]
    candidate[7, 7] = gold[7, 7] + off
    d, own = m.distance(candidate, gold), m.distance(reference, gold)
    tolerance = m.required_tolerance(d, own, "float32")

    def judged(tol):
        return same(
            *(torch.from_numpy(a).float() for a in (reference, candidate)),
            torch.from_numpy(gold),
            tol=tol,
            log_error=lambda *_: None,
        )

    assert judged(max(tolerance * 1.02, 1e-7))
    assert m.dynamo_same(d, own, "float32") == judged(1e-4) == (off < 1e-3)
    if tolerance:
        assert not judged(tolerance * 0.98)


def test_a_value_that_is_no_number_is_recorded_as_null_with_a_reason():
    row = m.metric("R", math.inf, "ratio", 3, "f")
    assert row["value"] is None
    assert "inf" in row["reason"]


@settings(deadline=None)
@given(arrays(np.float64, (3, 4), elements=FLOATS))
def test_probabilities_lie_in_zero_to_one_and_sum_to_one_for_softmax(z):
    p = probabilities(z, "multi_label")
    assert ((p >= 0) & (p <= 1)).all()
    assert np.allclose(probabilities(z, "single_label").sum(1), 1.0)


@settings(deadline=None)
@given(st.floats(1e-6, 1 - 1e-6))
def test_logit_is_the_inverse_of_sigmoid(p):
    assert sigmoid(np.array([logit(p)]))[0] == pytest.approx(p, rel=1e-9)


@settings(deadline=None)
@given(
    arrays(np.float64, (3, 4), elements=st.floats(-30, 30)),
    arrays(np.float64, (3, 4), elements=st.floats(-30, 30)),
    st.sampled_from(["multi_label", "single_label"]),
)
def test_divergence_is_never_negative_and_zero_against_itself(a, b, task):
    assert (divergence(a, b, task) >= 0).all()
    assert divergence(a, a, task).max() < 1e-12


def test_bernoulli_divergence_of_known_probabilities():
    p, q = 0.3, 0.6
    kl = divergence(np.array([[logit(p)]]), np.array([[logit(q)]]), "multi_label")
    assert kl[0, 0] == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def test_softmax_divergence_of_known_probabilities():
    p, q = np.array([[0.2, 0.8]]), np.array([[0.5, 0.5]])
    assert divergence(np.log(p), np.log(q), "single_label")[0] == pytest.approx(
        float((p * np.log(p / q)).sum())
    )
    assert np.allclose(log_softmax(np.log(p)), np.log(p))


def test_top_overlap_counts_shared_labels_and_forgives_only_ties_of_gold():
    reference, candidate = np.array([[3.0, 2.0, 1.0, 0.0]]), np.array([[3.0, 1.0, 2.0, 0.0]])
    gold = np.array([[3.0, 1.5, 1.5 - 1e-7, 0.0]])
    assert top_overlap(reference, candidate, 2)[0] == 0.5
    assert top_overlap(reference, candidate, 2, gold, tie=1e-6)[0] == 1.0
    assert top_overlap(reference, candidate, 2, gold, tie=1e-8)[0] == 0.5


def test_top_overlap_of_more_labels_than_there_are_is_complete():
    assert top_overlap(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]), 5)[0] == 1.0
