"""The classifier without padding on an Ascend NPU: texts of any lengths end to end, attention by
one call of npu_fusion_attention in the TND layout.

UNRUN: written after the operator's documentation and public uses of it, and tested against an
imitation of that operator on a CPU; no NPU was at hand. It is used only when asked for
(``backend="unpadded"``), and only where its answers to the built-in texts are the padded model's.

Source of the call: torch_npu.npu_fusion_attention, input_layout TND with actual_seq_qlen and
actual_seq_kvlen as sums of the lengths so far (hiascend.com, Ascend Extension for PyTorch, API list
ptaoplist_000445); without a mask every token of a text sees every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import nn

from goemo_utils.classifier.layers import Run
from goemo_utils.classifier.packed import INSIDE, PackedLinear, largest_difference
from goemo_utils.classifier.unpadded import PLAIN, Unpadded
from goemo_utils.errors import ModelError, first_line

# Largest difference of a probability between the two forms on one device. Rounding differs by the
# order of summation: float32 with TF32-like products rounds operands to 11 bits, as float16 does.
TOLERANCE = {torch.float32: 2.0**-8, torch.float16: 2.0**-8, torch.bfloat16: 2.0**-5}
FAMILIES = (*PLAIN, "albert")


class DeviceLinear(PackedLinear):
    """``nn.Linear`` of a device in the place of a packed one; several are stacked into one."""

    def __init__(self, *linears: nn.Linear, activation: str = "none") -> None:
        nn.Module.__init__(self)
        self.activation, self.few, self.small, self.plain = activation, 0, False, None
        self.weight = torch.cat([linear.weight.detach() for linear in linears])
        self.bias = nn.Parameter(
            torch.cat([linear.bias.detach() for linear in linears]), requires_grad=False
        )

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """The product; with ``residual``, of the shape of the result, their sum."""
        product = nn.functional.linear(x, self.weight, self.bias)
        if residual is not None:
            return product + residual
        activation, form = INSIDE[self.activation]
        return nn.functional.gelu(product, approximate=form) if activation == "gelu" else product


class Fused:
    """Attention within each text of a whole batch, in one call."""

    def __init__(self, operator: Callable[..., Any]) -> None:
        self.operator = operator

    def __call__(
        self,
        heads: int,
        query: torch.Tensor,
        key_value: torch.Tensor,
        runs: Sequence[Run],
        whole: bool,
    ) -> torch.Tensor:
        """``[rows, heads * width]`` of the tokens that ask, as ``layers.attend_each``."""
        lengths = [run.length for run in runs for _ in range(run.texts)]
        seen = list(accumulate(lengths))
        asked = seen if whole else list(range(1, len(lengths) + 1))

        # [rows, heads * width] -> [rows, heads, width]: T, N, D
        states = query[: asked[-1]].unflatten(1, (heads, -1))
        key, value = key_value[: seen[-1]].unflatten(1, (2, heads, -1)).unbind(1)
        mixed = self.operator(
            states,
            key,
            value,
            heads,
            "TND",
            scale=states.shape[-1] ** -0.5,
            keep_prob=1.0,
            actual_seq_qlen=asked,
            actual_seq_kvlen=seen,
        )[0]
        return nn.functional.pad(mixed.flatten(1), (0, 0, 0, len(query) - asked[-1]))


def fused_attention() -> Callable[..., Any]:
    """torch_npu's operator; the device has been opened, so torch_npu is there."""
    import torch_npu

    operator: Callable[..., Any] = torch_npu.npu_fusion_attention
    return operator


def choose(
    model: nn.Module,
    probabilities: Callable[[nn.Module], np.ndarray],
    operator: Callable[..., Any] | None = None,
) -> tuple[nn.Module, str]:
    """The form without padding, and a sentence on it. Raises ModelError where it cannot be had or
    answers otherwise than ``model``; ``probabilities(model)`` runs one real batch.
    """
    config: Any = model.config
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"backend='unpadded' on an NPU knows {', '.join(FAMILIES)}, and the model is"
            f" {config.model_type}. Use backend='auto'."
        )
    try:
        twin = Unpadded(model, DeviceLinear, Fused(operator or fused_attention()))
        difference = largest_difference(probabilities(twin), probabilities(model))
    except Exception as error:  # torch_npu and CANN: their own each
        raise ModelError(
            f"backend='unpadded' failed on a batch ({type(error).__name__}: {first_line(error)})."
            " Use backend='auto'."
        ) from error

    limit = TOLERANCE[next(model.parameters()).dtype]
    if not difference < limit:  # written so that NaN fails
        raise ModelError(
            f"backend='unpadded' answers otherwise than the padded model, by {difference:.2g}; the"
            f" limit is {limit:.2g}. Use backend='auto'."
        )
    return twin, (
        "Without padding, attention by npu_fusion_attention in the TND layout, as asked; the"
        f" self-check differed by {difference:.1g}, the limit is {limit:.2g}."
    )
