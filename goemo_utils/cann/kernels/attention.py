"""Fused attention: aclnnFlashAttentionScore, its gradient, and the masked softmax.

Formulas and conventions: CANN's documentation of aclnnFlashAttentionScore. The mask is true where a
key is hidden; without inner_precise 2 a row whose keys are all hidden is the mean of the values,
with it such a row is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.random import unpack_bits
from goemo_utils.cann.kernels.registry import compute, kernel, write

aten = torch.ops.aten
_PROTECTED = 2
"""inner_precise: rows without a visible key give zero."""
_FUTURE_HIDDEN = (2, 3)
"""sparse_mode: left-up and right-down causal, with a compressed mask."""


@dataclass(frozen=True)
class Settings:
    """What shapes one attention besides its tensors."""

    scale: float
    keep: float
    heads: int
    layout: str
    precise: int
    sparse: int


def split_heads(x: Tensor, layout: str, heads: int) -> Any:
    """Bring a query, key or value of any layout to [batch, heads, length, size]."""
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "BSH":
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    if layout == "SBH":
        return x.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
    raise NotImplementedError(f"the layout {layout} of a fused attention")


def join_heads(x: Tensor, layout: str) -> Tensor:
    """The reverse of ``split_heads``."""
    if layout == "BNSD":
        return x
    if layout == "BSND":
        return x.transpose(1, 2)
    if layout == "BSH":
        return x.transpose(1, 2).flatten(2)
    return x.permute(2, 0, 1, 3).flatten(2)


def _hidden(mask: Tensor | None, scores: Tensor, settings: Settings) -> Tensor | None:
    if settings.sparse not in _FUTURE_HIDDEN:
        return None if mask is None else mask.bool()
    queries, keys = scores.shape[-2:]
    shift = keys - queries if settings.sparse == 3 else 0
    return torch.ones(queries, keys, dtype=torch.bool).triu(1 + shift)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shift: Tensor | None,
    mask: Tensor | None,
    kept: Tensor | None,
    settings: Settings,
) -> tuple[Tensor, Tensor]:
    """Attention over [batch, heads, length, size] in float32; also the scores before softmax."""
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
    scores = compute(
        aten.bmm.default,
        query.reshape(-1, *query.shape[-2:]),
        key.transpose(-1, -2).reshape(-1, key.shape[-1], key.shape[-2]),
    ).reshape(*query.shape[:-1], key.shape[-2])
    scores = scores * settings.scale
    if shift is not None:
        scores = scores + shift.to(scores.dtype)

    hidden = _hidden(mask, scores, settings)
    if hidden is not None:
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    weights = compute(aten._softmax.default, scores, -1, False)
    if hidden is not None and settings.precise == _PROTECTED:
        weights = weights.masked_fill(hidden.all(-1, keepdim=True), 0.0)

    if kept is not None:
        weights = weights * kept.reshape(weights.shape) / settings.keep
    out = compute(
        aten.bmm.default,
        weights.reshape(-1, *weights.shape[-2:]),
        value.reshape(-1, *value.shape[-2:]),
    )
    return out.reshape(*query.shape[:-1], value.shape[-1]), scores


def _kept(drop_mask: Tensor | None, shape: torch.Size) -> Tensor | None:
    return None if drop_mask is None else unpack_bits(drop_mask, shape.numel()).reshape(shape)


def _inputs(settings: Settings, *tensors: Tensor) -> list[Tensor]:
    return [split_heads(x.float(), settings.layout, settings.heads) for x in tensors]


def _forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shift: Tensor | None,
    drop: Tensor | None,
    mask: Tensor | None,
    settings: Settings,
    outputs: tuple[Tensor | None, Tensor | None, Tensor],
) -> Tensor:
    q, k, v = _inputs(settings, query, key, value)
    shape = torch.Size((*q.shape[:3], k.shape[2]))
    out, scores = attend(q, k, v, shift, mask, _kept(drop, shape), settings)

    highest = scores.amax(-1, keepdim=True)
    total = torch.exp(scores - highest).sum(-1, keepdim=True)
    for saved, rows in ((outputs[0], highest), (outputs[1], total)):
        if saved is not None and saved.numel():
            write(saved, rows.expand(saved.shape))  # [batch, heads, length, 8], each the same
    return write(outputs[2], join_heads(out, settings.layout))


@kernel("FlashAttentionScore", aten="_scaled_dot_product_fused_attention_overrideable")
def _score(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shift: Tensor | None,
    drop: Tensor | None,
    padding: Tensor | None,
    mask: Tensor | None,
    prefix: list[int] | None,
    scale: float,
    keep: float,
    before: int,
    after: int,
    heads: int,
    layout: str,
    precise: int,
    sparse: int,
    highest: Tensor | None,
    total: Tensor | None,
    unused: Tensor | None,
    out: Tensor,
) -> Tensor:
    settings = Settings(scale, keep, heads, layout, precise, sparse)
    outputs = (highest, total, out)

    return _forward(query, key, value, shift, drop, mask, settings, outputs)


@kernel("FlashAttentionScoreV2", aten="_scaled_dot_product_fused_attention_overrideable")
def _score_v2(*arguments: Any) -> Any:
    # V2 has the starts of query and key after the prefix, and the kind of shift before the outputs
    return _score(*arguments[:8], *arguments[10:18], *arguments[19:])


@kernel("FlashAttentionScoreV3", aten="_scaled_dot_product_fused_attention_overrideable")
def _score_v3(*arguments: Any) -> Any:
    # V3 has a sink besides, after the mask
    return _score_v2(*arguments[:7], *arguments[8:])


@kernel("FlashAttentionScoreGrad")
def _score_grad(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad: Tensor,
    shift: Tensor | None,
    drop: Tensor | None,
    padding: Tensor | None,
    mask: Tensor | None,
    highest: Tensor | None,
    total: Tensor | None,
    softmax: Tensor | None,
    attention: Tensor | None,
    prefix: list[int] | None,
    scale: float,
    keep: float,
    before: int,
    after: int,
    heads: int,
    layout: str,
    precise: int,
    sparse: int,
    grad_query: Tensor,
    grad_key: Tensor,
    grad_value: Tensor,
    grad_shift: Tensor | None,
) -> Tensor:
    settings = Settings(scale, keep, heads, layout, precise, sparse)
    q, k, v, dy = _inputs(settings, query, key, value, grad)
    shape = torch.Size((*q.shape[:3], k.shape[2]))

    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in (q, k, v)]
        out, _ = attend(leaves[0], leaves[1], leaves[2], shift, mask, _kept(drop, shape), settings)
        gradients = torch.autograd.grad(out, leaves, dy)

    for target, gradient in zip((grad_query, grad_key, grad_value), gradients, strict=True):
        write(target, join_heads(gradient, layout))

    return grad_query


@kernel("FlashAttentionScoreGradV2")
def _score_grad_v2(*arguments: Any) -> Any:
    return _score_grad(*arguments[:13], *arguments[15:23], *arguments[24:])


@kernel("FlashAttentionScoreGradV3")
def _score_grad_v3(*arguments: Any) -> Any:
    # a sink after the saved attention, and its gradient last
    return _score_grad_v2(*arguments[:12], *arguments[13:-1])


@kernel("ScaledMaskedSoftmax")
def _scaled_masked_softmax(
    x: Tensor, mask: Tensor, scale: float, triangle: bool, out: Tensor
) -> Tensor:
    scores = x.float() * scale
    return write(out, torch.softmax(scores.masked_fill(mask.bool(), -10000.0), -1))


@kernel("ScaledMaskedSoftmaxBackward")
def _scaled_masked_softmax_backward(
    grad: Tensor, y: Tensor, mask: Tensor, scale: float, triangle: bool, out: Tensor
) -> Any:
    inner = aten._softmax_backward_data(grad.float(), y.float(), -1, torch.float32)
    return write(out, inner.masked_fill(mask.bool(), 0.0) * scale)
