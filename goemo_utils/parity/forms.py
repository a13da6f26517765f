"""What a call computes instead: other forms of one operator, tried on the call's own inputs.

Whoever computes a call otherwise leaves an error with a shape of its own. A form is tried in
float64 on the inputs of the call; if it accounts for the error, it is the name of the fault, which
a gain is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from goemo_utils.parity.calls import ATTENTION, BATCHED_CALLS, FOLDED_CALLS, SUM_CALLS
from goemo_utils.parity.error import Right

ACCOUNTS = 0.99
"""Share of the error's energy that a form must account for."""
NEAR = 4.0
"""A form also accounts for an error, if no more energy is left than this many times that of the
CPU's own error, nor more than a quarter: in half precision rounding is a part of every error."""
EPS = (0.0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Constants of layer norms as they are met in configurations, and their neighbours."""
WEIGHS = 1e-6
"""A weight of attention that no rounding makes of 0, nor 0 of it."""
MANY = 64
"""Values from which one number that all are off by is no chance."""
MOST = 8
"""Texts of a batch that are looked for among the others."""
INT8 = 127.0
"""Steps of a symmetric scale of 8 bits."""

KERNEL, MASK, NEIGHBOUR, OFFSET = "kernel", "mask", "neighbour", "offset"


@dataclass(frozen=True)
class Form:
    """Another form of an operator: a name of ``names.REMEDIES``, and what it computes in words."""

    name: str
    told: str


Tried = Iterator[tuple[Form, Tensor]]
"""Forms one after the other, each with the output that it gives; computed when asked for."""


def found(operator: str, given: Any, device: Tensor, gold: Tensor, right: Right) -> Form | None:
    """The form that accounts for the error of ``device`` beside ``gold`` (the whole output of the
    call), where ``right`` counts; None where none does. ``given`` are the arguments in float64.
    """
    args, kwargs = given
    seen = right.counted(device)
    error = _energy(seen - right.gold)
    if not 0.0 < error < math.inf:
        return None

    plain = _masks(seen, right.gold) if operator == "softmax" else None
    plain = plain or _offset(seen, right.gold) or _swapped(device.double(), gold)
    if plain is not None:
        return plain
    try:
        for form, made in _tried(operator, args, kwargs, gold):
            if made.shape != device.shape:
                continue
            left = _energy(seen - right.counted(made))
            rounding = NEAR * right.own * right.own * seen.numel()
            if left <= (1.0 - ACCOUNTS) * error or left <= min(error / NEAR, rounding):
                return form
    except (RuntimeError, ValueError, TypeError, IndexError):
        pass  # a call of another signature has no form here

    return None


def _energy(error: Tensor) -> float:
    return float(error.square().sum())


def _tried(operator: str, args: Sequence[Any], kwargs: dict[str, Any], gold: Tensor) -> Tried:
    own = OF_OPERATOR.get(operator)
    if own is not None:
        yield from own(*args, **kwargs)
    if operator in BATCHED_CALLS | FOLDED_CALLS:
        yield from _products(*args[:2])
    yield from _moved(gold)


def _gelu(x: Tensor, approximate: str = "none") -> Tried:
    yield Form(KERNEL, "x sigmoid(1.702 x), the quick GELU"), x * (1.702 * x).sigmoid()
    other = "tanh" if approximate == "none" else "none"
    yield Form(KERNEL, f"GELU with approximate={other!r}"), F.gelu(x, approximate=other)
    yield Form(KERNEL, "x sigmoid(x), the SiLU"), F.silu(x)
    yield Form(KERNEL, "ReLU"), x.relu()


def _offset(seen: Tensor, gold: Tensor) -> Form | None:
    """The right values and one number more; of few values any error looks so."""
    error = seen - gold
    mean = error.mean()
    if error.numel() >= MANY and _energy(error - mean) <= (1.0 - ACCOUNTS) * _energy(error):
        return Form(OFFSET, f"one number more, {float(mean):+.3g}")
    return None


def _swapped(seen: Tensor, gold: Tensor) -> Form | None:
    """Whether every text that is wrong has the values of another text ``[texts, tokens, ...]``."""
    if gold.dim() < 3 or len(gold) < 2 or not bool(seen.isfinite().all()):
        return None
    rows, right = seen.flatten(1), gold.nan_to_num().flatten(1)
    errors = (rows - right).square().sum(1)
    wrong = (errors > (1.0 - ACCOUNTS) * errors.max()).nonzero().flatten()[:MOST]
    for i in wrong.tolist():
        left = (right - rows[i]).square().sum(1)
        left[i] = math.inf
        if not float(left.min()) <= (1.0 - ACCOUNTS) * float(errors[i]):
            return None
    return Form(NEIGHBOUR, "the values of another text")


def _masks(seen: Tensor, gold: Tensor) -> Form | None:
    """What weights of attention say of the mask: a key that gold masks has weight exactly 0."""
    if bool(((gold == 0) & (seen > WEIGHS)).any()):
        return Form(MASK, "weights of keys that are masked")
    if bool(((seen == 0) & (gold > WEIGHS)).any()):
        return Form(MASK, "no weight for keys that count")
    return None


def _softmax(x: Tensor, dim: int = -1, **other: Any) -> Tried:
    for axis in range(x.dim()):
        if axis != dim % x.dim():
            told = f"softmax over axis {axis} instead of {dim % x.dim()}"
            yield Form(KERNEL, told), x.softmax(axis)
    yield Form(KERNEL, "softmax with powers of two"), (x * 0.6931471805599453).softmax(dim)
    yield Form(KERNEL, "a sigmoid"), x.sigmoid()


def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tried:
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)

    def normed(values: Tensor, eps: float = eps, unbiased: bool = False) -> Tensor:
        variance = centred.square().mean(axes, keepdim=True)
        if unbiased:
            variance = centred.var(axes, keepdim=True, unbiased=True)
        return values * (variance + eps).rsqrt()

    def scaled(values: Tensor, weight: Tensor | None = weight, bias: Any = bias) -> Tensor:
        values = values if weight is None else values * weight
        return values if bias is None else values + bias

    told = "the variance by n - 1 instead of n"
    yield Form(KERNEL, told), scaled(normed(centred, unbiased=True))
    yield Form(KERNEL, "the mean not subtracted"), scaled(normed(x))
    root = x.square().mean(axes, keepdim=True) + eps
    yield Form(KERNEL, "RMSNorm"), scaled(x * root.rsqrt())
    yield Form(KERNEL, "no weight"), scaled(normed(centred), weight=None)
    yield Form(KERNEL, "no bias"), scaled(normed(centred), bias=None)
    for other in EPS:
        if abs(other - eps) > 0.01 * eps:
            told = f"eps {other:g} instead of {eps:g}"
            made = scaled(normed(centred, eps=other))
            yield Form(KERNEL, told), made
    reset = "eps added to the standard deviation"
    deviation = centred.square().mean(axes, keepdim=True).sqrt() + eps
    yield Form(KERNEL, reset), scaled(centred / deviation)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tried:
    if bias is not None:
        yield Form(KERNEL, "no bias"), F.linear(x, weight)
    if weight.dim() == 2 and weight.shape[0] == weight.shape[1]:
        yield Form(KERNEL, "the weights transposed"), F.linear(x, weight.T, bias)
    for told, scale in (
        ("weights of 8 bits, a scale a row", weight.abs().amax(-1, keepdim=True) / INT8),
        ("weights of 8 bits, one scale", weight.abs().amax() / INT8),
    ):
        rounded = (weight / scale).round() * scale
        yield Form(KERNEL, told), F.linear(x, rounded, bias)


def _addmm(bias: Tensor, x: Tensor, weight: Tensor, **other: Any) -> Tried:
    if not other:
        yield from _linear(x, weight.T, bias)


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **other: Any,
) -> Tried:
    attend = F.scaled_dot_product_attention
    own = q.shape[-1] ** -0.5 if scale is None else scale
    if attn_mask is not None:
        yield Form(MASK, "the mask dropped"), attend(q, k, v, scale=own, **other)

        for told, other_mask in _other_masks(attn_mask):
            yield Form(MASK, told), attend(q, k, v, other_mask, scale=own, **other)

    causal = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    if not is_causal:
        told = "a causal mask beside its own"
        yield Form(MASK, told), attend(q, k, v, _and(attn_mask, causal), scale=own, **other)
        told = "a causal mask in place of its own"
        yield Form(MASK, told), attend(q, k, v, is_causal=True, scale=own, **other)
    else:
        yield Form(MASK, "its causal mask dropped"), attend(q, k, v, scale=own, **other)

    for told, factor in (
        ("scores not scaled", 1.0),
        ("scores scaled by 1/d instead of 1/sqrt(d)", 1.0 / q.shape[-1]),
    ):
        if factor != own:
            yield (
                Form(KERNEL, told),
                attend(q, k, v, attn_mask, is_causal=is_causal, scale=factor, **other),
            )


def _other_masks(mask: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Masks that are taken for this one, ``[texts, 1 or heads, 1 or queries, keys]``."""
    yield "the mask of keys before theirs", mask.roll(1, -1)
    yield "the mask of keys after theirs", mask.roll(-1, -1)
    if mask.dim() == 4 and mask.shape[0] > 1:
        yield "the mask of the text before", mask.roll(1, 0)
        yield "the mask of the text after", mask.roll(-1, 0)
        yield "the mask of the first text", mask[:1].expand_as(mask)


def _sum(left: Tensor, right: Tensor, **other: Any) -> Tried:
    """A residual that belongs to another text."""
    if left.shape == right.shape and left.dim() == 3 and left.shape[0] > 1 and not other:
        for by in (1, -1):
            yield Form(NEIGHBOUR, "the sum with another text's state"), left + right.roll(by, 0)
            yield Form(NEIGHBOUR, "the sum with another text's state"), left.roll(by, 0) + right
    yield Form(KERNEL, "the difference"), left - right


def _and(mask: Tensor | None, causal: Tensor) -> Tensor:
    """A mask of truth values or of addends, and the causal one."""
    if mask is None:
        return causal
    if mask.dtype == torch.bool:
        return mask & causal
    return mask.masked_fill(~causal, -torch.inf)


def _embedding(indices: Tensor, weight: Tensor, *other: Any, **more: Any) -> Tried:
    last = weight.shape[0] - 1
    for shift in (1, -1):
        told = f"rows {shift:+d} from those asked for"
        made = weight[(indices + shift).clamp(0, last)]
        yield Form(KERNEL, told), made


def _products(left: Tensor, right: Tensor) -> Tried:
    if right.dim() >= 2 and right.shape[-1] == right.shape[-2]:
        told = "the second operand transposed"
        yield Form(KERNEL, told), torch.matmul(left, right.transpose(-1, -2))


def _moved(gold: Tensor) -> Tried:
    """The right values in wrong places: heads ``[texts, heads, tokens, ...]``, and tokens."""
    if gold.dim() == 4 and gold.shape[1] > 1:
        yield Form(KERNEL, "its heads in another order"), gold.flip(1)
        for by in (1, -1):
            made = gold.roll(by, 1)
            yield Form(KERNEL, f"its heads moved by {by:+d}"), made
    if gold.dim() >= 3:
        for by in (1, -1):
            made = gold.roll(by, -2)
            yield Form(KERNEL, f"its rows moved by {by:+d}"), made


OF_OPERATOR: dict[str, Callable[..., Tried]] = {
    "gelu": _gelu,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "addmm": _addmm,
    "embedding": _embedding,
    ATTENTION: _attention,
    **dict.fromkeys(SUM_CALLS, _sum),
}
