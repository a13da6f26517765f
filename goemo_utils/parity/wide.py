"""A model in float64 that holds no weights of its own: each is widened for the call that takes it.

Widening is exact, so the answers are those of a copy in float64, which would take more memory than
all other models of an analysis together.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from goemo_utils.rehearsal.kept import KEPT

LOOKUP = "embedding"
"""A call that only picks rows of a weight: they are widened, not the whole table."""
SHAPES = frozenset({"size", "dim", "numel", "is_contiguous", "is_floating_point", "is_complex"})
"""Calls that ask a weight for no value."""


def widened(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that answers in float64 and shares its weights; buffers are its own."""
    made: dict[int, Any] = {id(weight): weight for weight in model.parameters()}
    for buffer in model.buffers():
        made[id(buffer)] = wide(buffer) if buffer.is_floating_point() else buffer.clone()
    twin = copy.deepcopy(model, made)

    narrow = {id(w): w for w in twin.parameters() if w.is_floating_point()}
    forward = twin.forward

    @functools.wraps(forward)
    def in_float64(*args: Any, **kwargs: Any) -> Any:
        with _Widening(narrow):
            return forward(*args, **kwargs)

    twin.forward = in_float64
    return twin


def wide(value: Tensor) -> Tensor:
    """A tensor of floating point in float64."""
    return value.detach().to(torch.float64)


class _Widening(TorchFunctionMode):
    """Within this context each call takes the weights ``narrow`` in float64."""

    def __init__(self, narrow: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.narrow = narrow

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        mine = [a for a in tree_leaves((args, kwargs)) if id(a) in self.narrow]
        if not mine:
            return func(*args, **kwargs)

        name = getattr(func, "__name__", "")
        if name in SHAPES:
            return func(*args, **kwargs)
        if name in (LOOKUP, "__get__"):
            return _in_float64(func(*args, **kwargs))
        return with_wide(mine, func, args, kwargs)


def with_wide(weights: Sequence[Tensor], func: Any, args: Any, kwargs: Any) -> Any:
    """A call with ``weights`` among its arguments in float64."""
    pairs = {id(weight): (wide(weight), weight) for weight in weights}
    args, kwargs = tree_map(lambda a: pairs[id(a)][0] if id(a) in pairs else a, (args, kwargs))
    with KEPT.widened(pairs.values()):
        return func(*args, **kwargs)


def _in_float64(value: Any) -> Any:
    """What a call or an attribute of a weight in float64 gives."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return wide(value)
    is_dtype = isinstance(value, torch.dtype) and value.is_floating_point
    return torch.float64 if is_dtype else value
