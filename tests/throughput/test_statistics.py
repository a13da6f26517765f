"""Statistics on samples whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.throughput import statistics

POSITIVE = st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1, max_size=60)


def test_quartiles_of_known_samples() -> None:
    assert statistics.quartiles([1, 2, 3, 4, 5]) == (2.0, 3.0, 4.0)


def test_the_interval_of_the_median_covers_the_true_median_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        low, high = statistics.median_interval(rng.lognormal(0.0, 0.5, size=60), seed=trial)
        covered += low <= 1.0 <= high
    assert 180 <= covered <= 200


def test_the_interval_narrows_with_more_samples() -> None:
    rng = np.random.default_rng(2)
    few, many = (statistics.median_interval(rng.normal(10, 1, size=n)) for n in (20, 2000))
    assert many[1] - many[0] < (few[1] - few[0]) / 3


@given(POSITIVE)
def test_the_median_lies_in_its_interval_and_between_its_quartiles(samples: list[float]) -> None:
    row = statistics.summary(samples)
    assert row["ci95"][0] <= row["median"] <= row["ci95"][1]
    assert row["q1"] <= row["median"] <= row["q3"]
    assert row["n"] == len(samples)


def test_rounds_that_share_their_noise_give_a_sharp_ratio() -> None:
    """A neighbour slows both arms of a round alike: paired rounds cancel it, pooled ones do not."""
    mood = np.random.default_rng(3).uniform(1, 3, size=41)
    value, (low, high) = statistics.ratio(2 * mood, mood)
    assert value == pytest.approx(2)
    assert low == pytest.approx(2)
    assert high == pytest.approx(2)


def test_the_ratio_of_unequal_numbers_of_samples_has_an_interval() -> None:
    value, (low, high) = statistics.ratio([4.0, 4.0, 4.0], [2.0, 2.0])
    assert (value, low, high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("quantile", "n"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000)])
def test_a_percentile_is_given_only_with_ten_samples_beyond_it(quantile: float, n: int) -> None:
    name = f"p{quantile * 100:g}"
    assert statistics.percentiles(range(n))[name] == pytest.approx(quantile * (n - 1))
    assert statistics.percentiles(range(n - 1))[name] is None


def test_percentiles_of_nothing_are_absent() -> None:
    assert set(statistics.percentiles([]).values()) == {None}


def test_a_descent_is_not_steady_and_a_rest_is() -> None:
    descent = [10 - i for i in range(6)]
    assert not statistics.is_steady(descent)
    assert statistics.is_steady([*descent, 4.0, 4.01, 3.99, 4.0, 4.0, 4.02])


def test_a_slow_descent_that_no_neighbour_shows_is_not_steady() -> None:
    assert not statistics.is_steady([1.00, 0.98, 0.96, 0.94, 0.92, 0.90])


def test_one_outlier_does_not_hide_a_rest() -> None:
    assert statistics.is_steady([4.0, 4.0, 9.0, 4.0, 4.01, 4.0])


def test_too_few_samples_are_never_steady() -> None:
    assert not statistics.is_steady([4.0] * 5)
    assert not statistics.is_steady([])


def test_a_wide_interval_is_not_conclusive() -> None:
    assert statistics.doubt(10.0, (9.5, 10.5), 9) is None
    assert "40 % of the median" in statistics.doubt(10.0, (8.0, 12.0), 9)


def test_too_few_samples_are_not_conclusive_however_narrow_their_interval() -> None:
    assert not statistics.summary([3.0])["conclusive"]
    assert not statistics.summary([3.0] * 4)["conclusive"]
    assert statistics.summary([3.0] * 5)["conclusive"]
    assert "too few rounds to conclude: 1" in statistics.doubt(3.0, (3.0, 3.0), 1)


def test_no_samples_give_a_row_without_values() -> None:
    assert statistics.summary([]) == {
        "n": 0,
        "median": None,
        "q1": None,
        "q3": None,
        "ci95": None,
        "conclusive": None,
    }


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_samples_that_are_no_numbers_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        statistics.quartiles(samples)
