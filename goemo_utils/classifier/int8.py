"""Linear layers in int8 on a CPU: dynamic quantisation with oneDNN's products, summed in int32.

Weights: symmetric, one scale an output feature. Activations: affine, one scale a batch, from the
range of its real tokens; so an answer depends a little on the batch that a text runs in. The scheme
is the usual dynamic one (Jacob et al. 2018, arXiv 1712.05877, section 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from goemo_utils.classifier import packed
from goemo_utils.classifier.packed import Choice, PackingError
from goemo_utils.errors import first_line

# Numbers that are quantised at a time: they stay in a core's cache between the steps, which takes
# half the time of whole tensors.
AT_ONCE = 1 << 17
# Smaller steps count as none, so that all numbers become 0: the reciprocal of a much smaller one is
# no float32.
SMALLEST = 1e-30


class Quantised(NamedTuple):
    """``values`` uint8 stand for ``(values - zero_point) * scale``."""

    values: torch.Tensor
    scale: float
    zero_point: int


def quantise(states: torch.Tensor, rows: int | None = None) -> Quantised:
    """float32 ``[..., features]`` to uint8 by the range of the first ``rows`` (None: of all), zero
    included; other rows may wrap around.

    NaN and infinity make the scale NaN, and so everything that is computed from it.
    """
    low, high = (float(end) for end in torch.aminmax(states[:rows]))
    # 254 steps leave the one that the zero point's rounding up needs, so nothing has to be clamped.
    scale = (max(high, 0.0) - min(low, 0.0)) / 254
    if scale < SMALLEST:
        scale = 1.0
    if not math.isfinite(scale):
        return Quantised(torch.zeros_like(states, dtype=torch.uint8), math.nan, 0)

    zero_point = math.ceil(-min(low, 0.0) / scale)
    flat = states.flatten(0, -2)
    signed = torch.empty(flat.shape, dtype=torch.int8)
    shift = torch.tensor(float(zero_point - 128))
    # torch converts float32 to int8 many times faster than to uint8; flipping the top bit adds the
    # 128 that lie between them.
    piece = max(1, AT_ONCE // flat.shape[1])
    parts = zip(torch.split(flat, piece), torch.split(signed, piece), strict=True)

    for part, target in parts:
        target.copy_(torch.add(shift, part, alpha=1 / scale).round_())

    return Quantised(
        signed.view(torch.uint8).bitwise_xor_(128).view(states.shape), scale, zero_point
    )


class Int8Linear(nn.Module):
    """``nn.Linear`` for inference with its weight in int8, in oneDNN's layout; takes the place of
    ``packed.PackedLinear``. Not to be saved, copied or cast.
    """

    few = 0  # as of PackedLinear: every number of rows meets oneDNN

    def __init__(self, *linears: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.activation = activation
        weight = packed.stacked([linear.weight.detach() for linear in linears])
        self.in_features = weight.shape[1]
        self.small = weight.numel() <= packed.SMALL
        self.bias = packed.stacked_bias(linears)

        # Plain attributes, as in PackedLinear: they are no float weights that .to() may cast.
        self.scales = weight.abs().amax(1).div(127)
        self.scales[self.scales == 0] = 1.0
        self.zero_points = torch.zeros(len(weight), dtype=torch.int32)
        self.weight = torch.ops.onednn.qlinear_prepack(
            (weight / self.scales[:, None]).round().to(torch.int8), None
        )

    @staticmethod
    def ready(states: torch.Tensor, rows: int) -> Quantised:
        """What ``forward`` takes, for layers that share their input."""
        return quantise(states, rows)

    def forward(
        self, x: torch.Tensor | Quantised, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The product in float32; with ``residual``, of the shape of the result, their sum."""
        values, scale, zero_point = x if isinstance(x, Quantised) else quantise(x)
        given = (values, scale, zero_point, self.weight, self.scales, self.zero_points)
        product: torch.Tensor

        if residual is not None:
            product = torch.ops.onednn.qlinear_pointwise.binary(
                *given,
                residual,
                self.bias,
                1.0,
                0,
                torch.float32,
                1.0,
                0,
                "add",
                1.0,
                "none",
                [],
                "",
            )
            return product

        activation, form = packed.INSIDE[self.activation]
        product = torch.ops.onednn.qlinear_pointwise(
            *given,
            self.bias,
            1.0,
            0,
            torch.float32,
            activation,
            [],
            form,
        )

        return product


def check() -> None:
    """Raise PackingError unless this processor's int8 products are exact: without VNNI a pair of
    large ones may saturate in 16 bits.
    """
    # Not initialised: that would draw from the caller's random numbers.
    linear = nn.utils.skip_init(nn.Linear, 64, 16, bias=False, dtype=torch.float32)
    nn.init.ones_(linear.weight)
    try:
        got = Int8Linear(linear)(Quantised(torch.full((16, 64), 255, dtype=torch.uint8), 1.0, 0))
    except (RuntimeError, AttributeError) as error:
        raise PackingError(f"oneDNN refused an int8 product: {first_line(error)}") from error

    if not torch.allclose(got, torch.full_like(got, 255.0 * 64)):
        raise PackingError(
            f"int8 products are not exact on this processor ({float(got.min()):g} instead of"
            f" {255 * 64})"
        )


def choose(
    model: nn.Module,
    probabilities: Callable[[nn.Module], np.ndarray],
    forms: Mapping[str, Callable[..., nn.Module]],
) -> Choice:
    """``model`` in int8, in the form that in float32 answers a batch like ``model`` does;
    parameters as of ``packed.choose``.

    ``difference`` is that of int8 from the eager float32 model on that batch: what int8 costs is
    judged by the user, and only NaN is refused. Where int8 cannot be had, the answer is what
    ``packed.choose`` says, and its reason says why it is not int8.
    """
    choice = packed.choose(model, probabilities, forms)
    if choice.form is None:
        return choice

    try:
        check()
        twin = forms[choice.form](model, Int8Linear)
        difference = packed.largest_difference(probabilities(twin), probabilities(model))
        if not math.isfinite(difference):
            raise PackingError("its int8 form gives NaN or infinite answers")
    except (RuntimeError, AttributeError) as error:
        return Choice(model, "eager", f"Not in int8: {first_line(error).rstrip('.')}.", None)

    reason = (
        f"Dynamic int8 of oneDNN, {choice.form}; probabilities of the built-in texts differ from"
        f" float32's by up to {difference:.2g} (in float32 this form differed by"
        f" {choice.difference:.1g})."
    )

    return Choice(twin, "packed", reason, difference, choice.form)
