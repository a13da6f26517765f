"""One judged call: its address, its shape, its error, and whether that is a fault, a lower grade or
nothing.
"""

import math
from dataclasses import dataclass

from goemo_utils.parity.calls import ATTENTION, EXACT_CALLS, PRODUCT_CALLS
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.error import HOT_MAX, HOT_RMS
from goemo_utils.parity.forms import Form

GAIN = {"float32": 8e-6, "float16": 5e-4, "bfloat16": 2e-3}
"""A steady gain of a call above this is a fault. Measured: honest kernels up to 4e-5 (layer norm),
1.3e-4 (softmax) and 4.2e-4 (linear) in bfloat16, an eighth of that in float16; faulty from 4e-3 and
1e-3. float32: below the floor of 1e-5, above what an accumulator that cuts off loses."""

ALLOWED_ULP = 32.0
"""Units in the last place by which CANN's operator standard lets a vector kernel be off."""

SOFTMAX = 80.0
"""Ratio of a fused attention whose softmax has 32 ulp of noise: uniform noise of 32 ulp has a root
mean square of 32 / sqrt(3) units of 2^-23, and the ratio's unit is eps/4. It is 2.4e-6 of the
output, below the floor of 1e-5.
"""

STEADY = 0.25
"""Share of an error's energy that a gain and an offset explain: noise of n elements has about 2/n,
a kernel that scales or shifts nearly all."""

SAYS_GAIN = 0.5
"""Share above which a gain and an offset are what is wrong: less is the slope of another error."""

SURE = 6.0
"""Standard errors that a gain in half precision is away from 0 at least: of a few outputs, or of
many of which a few are large, rounding alone makes a gain above the limit."""


@dataclass(frozen=True)
class Shape:
    """Of the batch in which a call was made: texts, and tokens to which they were padded."""

    texts: int
    tokens: int


@dataclass(frozen=True)
class Row:
    """One call under one claim: error of the device's kernel over the CPU's, both against float64
    on the same inputs.

    ``gain`` is <error, gold> / <gold, gold>: 1e-4 says the output is 1.0001 times what it should
    be. ``bare`` is the larger of both ratios over their limits (10 and 20) before a chain of
    roundings was given its own noise; it decides what is split. ``own`` is the CPU's own error over
    eps times the output's root mean square, and ``own_gain`` its gain: the reference is judged by
    them. ``dtype`` is the output's. ``form`` is what it computes instead, where that is known.
    """

    module: str
    operator: str
    claim: Claim
    rms: float
    max: float
    gain: float
    bare: float = 0.0
    steady: float = 0.0
    ulp: float = math.inf
    kind: str | None = None
    dtype: str = "float32"
    n: int = 0
    shape: Shape = Shape(0, 0)
    own: float = 0.0
    own_gain: float = 0.0
    gain_noise: float = 0.0
    clamped: float | None = None
    addend: bool = False
    form: Form | None = None

    @property
    def over_gain(self) -> float:
        """The gain over its limit, or over what chance makes where that is more."""
        if self.operator == ATTENTION and self.bare > 1.0:
            return 0.0  # a chain of roundings is judged by its own noise
        limit = GAIN.get(self.dtype, math.inf)
        chance = 0.0 if self.dtype == "float32" else SURE * self.gain_noise
        return abs(self.gain) / max(limit, chance) if math.isfinite(self.gain) else 0.0

    @property
    def gains(self) -> bool:
        """Whether a steady gain is what is wrong, and not the chance part of another error."""
        unmeasured = self.bare <= 1.0 or self.steady == 0.0  # a small error, or few elements
        return self.over_gain > 1.0 and (unmeasured or self.steady > SAYS_GAIN)

    @property
    def graded(self) -> bool:
        """Above the limits of a clean kernel, yet within what CANN's standard allows a vector
        kernel in float32, and without a steady gain or offset: a lower grade and no fault.
        """
        vector = self.operator not in PRODUCT_CALLS and self.operator not in EXACT_CALLS
        within = self.ulp <= ALLOWED_ULP
        if self.operator == ATTENTION:
            vector, within = True, self.rms <= SOFTMAX and self.max <= 2 * SOFTMAX
        random = self.steady <= STEADY and self.over_gain <= 1.0
        return vector and within and random and self.dtype == "float32"

    @property
    def hot(self) -> bool:
        """At fault: above either ratio and not merely graded, or with a steady gain. NaN is."""
        if not (self.rms <= HOT_RMS and self.max <= HOT_MAX):
            return not self.graded
        return self.over_gain > 1.0

    @property
    def nearness(self) -> float:
        """How near the call is to its limits, of which one is enough: 1 is at the limit."""
        ratio = math.inf if math.isnan(self.rms) else max(self.rms / HOT_RMS, self.max / HOT_MAX)
        return max(ratio, self.over_gain)
