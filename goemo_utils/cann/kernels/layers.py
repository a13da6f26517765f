"""Layers of a network: softmax, GELU, embeddings and pooling."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import compute, kernel, write

aten = torch.ops.aten

# ---- softmax and GELU ----


@kernel("Softmax", aten="_softmax")
def _softmax(x: Tensor, dim: int, out: Tensor) -> Tensor:
    wide = x.to(out.dtype)
    return write(out, compute(aten._softmax.default, wide, dim, False))


@kernel("LogSoftmax", aten="_log_softmax")
def _log_softmax(x: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, compute(aten._log_softmax.default, x.to(out.dtype), dim, False))


@kernel("Gelu", aten="gelu")
def _gelu(x: Tensor, out: Tensor) -> Tensor:
    # aclnnGelu's formula in CANN's documentation is the tanh form; it has no argument to change it
    return write(out, compute(aten.gelu.default, x, approximate="tanh"))


@kernel("GeluV2", aten="gelu")
def _gelu_v2(x: Tensor, form: int, out: Tensor) -> Tensor:
    # 0 is erf, 1 is tanh
    return write(out, compute(aten.gelu.default, x, approximate="tanh" if form else "none"))


@kernel("FastGelu")
def _fast_gelu(x: Tensor, out: Tensor) -> Tensor:
    return write(out, x * torch.sigmoid(1.702 * x))


@kernel("LogSigmoidForward", aten="log_sigmoid_forward")
def _log_sigmoid(x: Tensor, out: Tensor, buffer: Tensor | None) -> Tensor:
    return write(out, torch.nn.functional.logsigmoid(x))


# ---- embeddings ----


@kernel("Embedding", aten="embedding")
def _embedding(weight: Tensor, indices: Tensor, out: Tensor) -> Tensor:
    return write(out, aten.embedding(weight, indices.long()))


@kernel("EmbeddingDenseBackward", aten="embedding_dense_backward")
def _embedding_backward(
    grad: Tensor, indices: Tensor, count: int, padding: int, by_frequency: bool, out: Tensor
) -> Tensor:
    rows = grad.float().reshape(-1, grad.shape[-1])
    value = aten.embedding_dense_backward(
        rows, indices.long().reshape(-1), count, padding, by_frequency
    )
    return write(out, value)


@kernel("EmbeddingRenorm", aten="embedding_renorm_")
def _embedding_renorm(weight: Tensor, indices: Tensor, norm: float, kind: float) -> Any:
    return aten.embedding_renorm_(weight, indices.long(), norm, kind)


@kernel("OneHot", aten="one_hot")
def _one_hot(x: Tensor, classes: int, on: Tensor, off: Tensor, axis: int, out: Tensor) -> Tensor:
    hot = torch.nn.functional.one_hot(x.long(), classes).movedim(-1, axis)
    return write(out, torch.where(hot.bool(), on.reshape(()), off.reshape(())))


# ---- pooling ----


@kernel("AvgPool2d", aten="avg_pool2d")
def _avg_pool(
    x: Tensor,
    size: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
    count_padding: bool,
    divisor: int,
    cube: int,
    out: Tensor,
) -> Tensor:
    value = aten.avg_pool2d(x, size, stride, padding, ceil, count_padding, divisor or None)
    return write(out, value)


@kernel("AdaptiveAvgPool2d", aten="_adaptive_avg_pool2d")
def _adaptive_pool(x: Tensor, size: list[int], out: Tensor) -> Tensor:
    return write(out, aten._adaptive_avg_pool2d(x, size))


@kernel("AdaptiveAvgPool2dBackward", aten="_adaptive_avg_pool2d_backward")
def _adaptive_pool_backward(grad: Tensor, x: Tensor, out: Tensor) -> Tensor:
    return write(out, aten._adaptive_avg_pool2d_backward(grad, x))
