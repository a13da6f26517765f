"""Sums without rounding: the same number however the parts are cut."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.parity.exact import Sum

numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=40)


@given(numbers)
def test_a_sum_is_the_true_one(values: list[float]) -> None:
    true = sum(map(Fraction, values), Fraction(0))
    total = Sum.of(np.array(values, np.float64))
    assert Fraction(total.whole, 2**1126) == true
    if abs(true) < Fraction(2) ** 1023:
        assert total.value == float(true)


@given(numbers, st.integers(0, 40))
def test_two_parts_add_up_to_the_whole(values: list[float], cut: int) -> None:
    array = np.array(values, np.float64)
    assert Sum.of(array[:cut]) + Sum.of(array[cut:]) == Sum.of(array)


def test_what_rounding_would_lose_is_kept() -> None:
    assert Sum.of(np.array([1e16, 1.0, -1e16])).value == 1.0
    assert Sum.of(np.full(10, 0.1)).value == math.fsum([0.1] * 10)


def test_the_smallest_and_the_largest_numbers_count() -> None:
    assert Sum.of(np.array([5e-324, 5e-324])).value == 1e-323
    assert Sum.of(np.array([1e308, 7e307, -1e308])).value == 7e307


def test_many_numbers_of_one_power_do_not_overflow() -> None:
    ones = np.full(3 * 2**20 + 5, 1 - 2.0**-53)
    assert Sum.of(ones).mean == 1 - 2.0**-53


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_makes_no_sum(value: float) -> None:
    total = Sum.of(np.array([1.0, value])) + Sum.of(np.array([2.0]))
    assert math.isnan(total.value)
    assert math.isnan(total.mean)
    assert total.n == 3


def test_the_mean_of_nothing_is_no_number() -> None:
    assert math.isnan(Sum().mean)
    assert Sum().value == 0.0
