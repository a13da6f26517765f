"""The longest input that a model takes, found by running it on one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from goemo_utils.forward.asker import SHORT, SHORTER
from goemo_utils.forward.inputs import Inputs

# In float32 a forward of so many tokens is run whatever the model's size: without products 512 of
# RoBERTa-base take 0.15 s on two cores, of RoBERTa-large 0.35.
SHORT_ENOUGH = 1024
# A longer one is run where all of it would cost less than this many products (parameters × tokens),
# in half precision, which a CPU may be slow at, than the second; above, only its shapes are
# computed. The first shape of a process imports torch's compiler, which takes 1.4 s.
CHEAP, CHEAP_HALF = 7e10, 2e9


class NoProducts(TorchFunctionMode):
    """Zeros of the right shape in place of each product with weights. Those are most of a forward,
    and none of them knows how many tokens it has; lookups, masks and attention are computed.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.linear and not kwargs:
            inputs, weight = args[:2]
            if weight.dim() == 2 and inputs.shape[-1] == weight.shape[1]:
                return inputs.new_zeros((*inputs.shape[:-1], weight.shape[0]))
        return func(*args, **(kwargs or {}))


def longest(model: nn.Module, inputs: Inputs, limit: int) -> int:
    """The longest input up to ``limit`` tokens that the model takes.

    A table may hold ``limit`` places and the model still refuse it, where it pads to whole blocks
    inside (BigBird, Reformer). Where a forward is dear only shapes are computed, on the meta
    device; a model that cannot do without values there is believed.
    """
    size = sum(p.numel() for p in model.parameters())
    whole = next(model.parameters()).dtype == torch.float32
    cheap = CHEAP if whole else CHEAP_HALF
    short = SHORT_ENOUGH if whole else 0
    filler = inputs.encode([SHORT], None)[0]

    def takes(length: int) -> bool:
        row = [filler[i % len(filler)] for i in range(length)]
        batch = Inputs(inputs.tokenizer).tensors([row])
        try:
            with torch.no_grad():
                if length <= short or size * length < cheap:
                    _run(model, batch)
                else:
                    _on_meta(model, batch)
        except (RuntimeError, IndexError, ValueError):
            return False
        return True

    if takes(limit) or not takes(min(limit, SHORTER)):
        return limit
    low, high = min(limit, SHORTER), limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if takes(middle) else (low, middle)
    return low


def _run(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> None:
    """Compute a forward, but for its products with weights."""
    with NoProducts():
        model(**batch)


def _on_meta(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> None:
    """Compute the shapes of a forward, and no values."""
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    empty = {name: tensor.to("meta") for name, tensor in held.items()}
    given = {name: tensor.to("meta") for name, tensor in batch.items()}
    torch.func.functional_call(model, empty, (), given)
