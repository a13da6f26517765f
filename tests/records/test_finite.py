"""Numbers as a record can hold them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from goemo_utils.records.finite import finite_or_none


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), "NaN", None])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert finite_or_none(value) is None


@pytest.mark.parametrize("value", [0, -1.5, 1e300, np.float64(2.5), np.float32(0.25)])
def test_a_finite_number_stays_and_json_takes_it(value: float) -> None:
    assert finite_or_none(value) == value
    assert json.loads(json.dumps(finite_or_none(value))) == value
