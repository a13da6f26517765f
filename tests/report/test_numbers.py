"""How numbers are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.report import numbers as n


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.002828, "2.8 × 10⁻³"),
        (5427, "5,427"),
        (0, "0"),
        (0.0, "0"),
        (1.37, "1.37"),
        (760.2, "760"),
        (1318.4, "1,318"),
        (-0.25, "−0.250"),
        (math.nan, "NaN"),
        (-math.inf, "−Inf"),
        (9.9999e-3, "0.0100"),
        (2.5e7, "2.5 × 10⁷"),
        (True, "true"),
    ],
)
def test_a_number_has_two_or_three_digits_and_real_powers(value: float, text: str) -> None:
    assert n.number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_is_not_zero_never_reads_as_zero(value: float) -> None:
    text = n.number(value)
    assert (text.strip("−0.,") == "") == (value == 0)
    assert "e" not in text


@given(st.floats(min_value=0, max_value=1, allow_subnormal=False))
def test_a_share_short_of_all_is_never_written_as_100_percent(value: float) -> None:
    text = n.percent(value)
    if value < 1 - 1e-11:
        assert text != "100 %"
    if value > 0:
        assert text != "0 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99999, "99.999 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.000874, "0.087 %"),
        (1.0, "100 %"),
        (0.122, "12 %"),
        (0.5, "50 %"),
    ],
)
def test_percentages(value: float, text: str) -> None:
    assert n.percent(value) == text
    assert n.percent(value, "zh") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2026-11-21T09:31:52.400Z", "2026-11-21 09:31 UTC"),
        ("2026-11-21T17:31:52+08:00", "2026-11-21 09:31 UTC"),
        ("2026-11-21T09:31:52", "2026-11-21 09:31 UTC"),
    ],
)
def test_times_are_utc(iso: str, text: str) -> None:
    assert n.moment(iso) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Error is 4.1e+04 x the reference's own", "Error is 4.1 × 10⁴ × the reference's own"),
        ("5427 / 5427", "5,427 / 5,427"),
        ("[-0.6, +0.6]", "[−0.6, +0.6]"),
        ("box 3 x", "box 3 x"),
    ],
)
def test_sentences_of_a_record_are_set_like_the_page(before: str, after: str) -> None:
    assert n.prose(before) == after


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (54.2, "54 s"), (472, "7 min 52 s"), (3840, "1 h 4 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert n.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2"), (0.05, "0.05"), (2995.0, "2,995"), (27.1171, "27.1"), (1e-5, "1.0 × 10⁻⁵")],
)
def test_a_limit_is_written_as_it_was_set_and_a_computed_one_in_few_digits(
    value: float, text: str
) -> None:
    assert n.limit(value) == text
