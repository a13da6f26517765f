"""Numbers as a record can hold them: JSON knows neither NaN nor infinity."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any


def finite_or_none(value: Any) -> float | None:
    """The number, or None for NaN, for an infinity, and for whatever is no number.

    A record that holds None tells a reader that there is no number; the gate ``finite`` tells why.
    """
    is_number = isinstance(value, Real) and math.isfinite(value)
    return float(value) if is_number else None
