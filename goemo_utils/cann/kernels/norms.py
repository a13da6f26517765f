"""Normalisation: layer, RMS, group and batch norm, and their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import compute, kernel, write

aten = torch.ops.aten


def _write_all(mask: list[bool], outputs: tuple[Any, ...], values: tuple[Any, ...]) -> Any:
    for wanted, out, value in zip(mask, outputs, values, strict=True):
        if wanted and out is not None:
            write(out, value)
    return outputs[0]


@kernel("LayerNorm", "FastLayerNorm", aten="native_layer_norm")
def _layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    out: Tensor,
    mean: Tensor | None,
    rstd: Tensor | None,
) -> Tensor:
    weight = None if weight is None else weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    values = compute(aten.native_layer_norm.default, x, shape, weight, bias, eps)
    _write_all([True, True], (mean, rstd), values[1:])

    return write(out, values[0])


@kernel("LayerNormBackward", aten="native_layer_norm_backward")
def _layer_norm_backward(
    grad: Tensor,
    x: Tensor,
    shape: list[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: list[bool],
    grad_input: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
) -> Any:
    wide = torch.float32
    values = aten.native_layer_norm_backward(
        grad.to(wide),
        x.to(wide),
        shape,
        mean.to(wide),
        rstd.to(wide),
        None if weight is None else weight.to(wide),
        None if bias is None else bias.to(wide),
        mask,
    )

    return _write_all(mask, (grad_input, grad_weight, grad_bias), values)


@kernel("RmsNorm")
def _rms_norm(x: Tensor, gamma: Tensor, eps: float, out: Tensor, rstd: Tensor) -> Tensor:
    dims = tuple(range(x.dim() - gamma.dim(), x.dim()))
    scale = torch.rsqrt(x.float().pow(2).mean(dims, keepdim=True) + eps)
    write(rstd, scale.reshape(rstd.shape))
    return write(out, x.float() * scale * gamma.float())


@kernel("RmsNormGrad")
def _rms_norm_grad(
    grad: Tensor, x: Tensor, rstd: Tensor, gamma: Tensor, grad_input: Tensor, grad_gamma: Tensor
) -> Tensor:
    dims = tuple(range(x.dim() - gamma.dim(), x.dim()))
    scale = rstd.float().reshape(*x.shape[: dims[0]], *([1] * gamma.dim()))
    normal = x.float() * scale
    inner = grad.float() * gamma.float()
    write(grad_gamma, (grad.float() * normal).sum_to_size(gamma.shape))
    return write(grad_input, scale * (inner - normal * (inner * normal).mean(dims, keepdim=True)))


@kernel("GroupNorm", aten="native_group_norm")
def _group_norm(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    n: int,
    c: int,
    hxw: int,
    group: int,
    eps: float,
    out: Tensor,
    mean: Tensor,
    rstd: Tensor,
) -> Tensor:
    values = aten.native_group_norm(x.contiguous(), gamma, beta, n, c, hxw, group, eps)
    _write_all([True, True], (mean, rstd), values[1:])

    return write(out, values[0])


@kernel("GroupNormBackward", aten="native_group_norm_backward")
def _group_norm_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    gamma: Tensor | None,
    n: int,
    c: int,
    hxw: int,
    group: int,
    mask: list[bool],
    grad_input: Tensor | None,
    grad_gamma: Tensor | None,
    grad_beta: Tensor | None,
) -> Any:
    values = aten.native_group_norm_backward(
        grad.contiguous(), x.contiguous(), mean, rstd, gamma, n, c, hxw, group, mask
    )

    return _write_all(mask, (grad_input, grad_gamma, grad_beta), values)


@kernel("BatchNorm", aten="native_batch_norm")
def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    out: Tensor,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
) -> Tensor:
    values = aten.native_batch_norm(
        x, weight, bias, running_mean, running_var, training, momentum, eps
    )
    if training:
        _write_all([True, True], (save_mean, save_invstd), values[1:])

    return write(out, values[0])


@kernel("BatchNormBackward", aten="native_batch_norm_backward")
def _batch_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    save_mean: Tensor | None,
    save_invstd: Tensor | None,
    training: bool,
    eps: float,
    mask: list[bool],
    grad_input: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
) -> Any:
    values = aten.native_batch_norm_backward(
        grad,
        x,
        weight,
        running_mean,
        running_var,
        save_mean,
        save_invstd,
        training,
        eps,
        mask,
    )

    return _write_all(mask, (grad_input, grad_weight, grad_bias), values)
