"""Losses and their gradients; reduction is 0 for none, 1 for the mean, 2 for the sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import kernel, write

aten = torch.ops.aten


@kernel("BinaryCrossEntropy", aten="binary_cross_entropy")
def _bce(x: Tensor, target: Tensor, weight: Any, reduction: int, out: Tensor) -> Tensor:
    return write(out, aten.binary_cross_entropy(x, target, weight, reduction))


@kernel("BinaryCrossEntropyBackward", aten="binary_cross_entropy_backward")
def _bce_backward(
    grad: Tensor, x: Tensor, target: Tensor, weight: Any, reduction: int, out: Tensor
) -> Tensor:
    return write(out, aten.binary_cross_entropy_backward(grad, x, target, weight, reduction))


@kernel("BinaryCrossEntropyWithLogits", aten="binary_cross_entropy_with_logits")
def _bce_logits(
    x: Tensor, target: Tensor, weight: Any, positive: Any, reduction: int, out: Tensor
) -> Tensor:
    value = aten.binary_cross_entropy_with_logits(x, target, weight, positive, reduction)
    return write(out, value)


@kernel("BinaryCrossEntropyWithLogitsBackward", aten="binary_cross_entropy_with_logits_backward")
def _bce_logits_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    positive: Tensor | None,
    reduction: int,
    out: Tensor,
) -> Tensor:
    slope = torch.sigmoid(x) - target
    if positive is not None:
        slope = (positive * target + 1 - target) * torch.sigmoid(x) - positive * target
    if weight is not None:
        slope = slope * weight

    share = x.numel() if reduction == 1 else 1

    return write(out, grad * slope / share)


@kernel("NLLLoss", aten="nll_loss_forward")
def _nll(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore: int,
    out: Tensor,
    total: Tensor,
) -> Tensor:
    loss, weights = aten.nll_loss_forward(x, target.long(), weight, reduction, ignore)
    write(total, weights.reshape(total.shape) if total.numel() == weights.numel() else weights)
    return write(out, loss.reshape(out.shape))


@kernel("NLLLossBackward", aten="nll_loss_backward")
def _nll_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore: int,
    total: Tensor,
    out: Tensor,
) -> Tensor:
    value = aten.nll_loss_backward(
        grad, x, target.long(), weight, reduction, ignore, total.reshape(())
    )
    return write(out, value)


@kernel("NLLLoss2d", aten="nll_loss2d_forward")
def _nll_2d(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore: int,
    out: Tensor,
    total: Tensor,
) -> Tensor:
    loss, weights = aten.nll_loss2d_forward(x, target.long(), weight, reduction, ignore)
    write(total, weights)
    return write(out, loss)


@kernel("NLLLoss2dBackward", aten="nll_loss2d_backward")
def _nll_2d_backward(
    grad: Tensor,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: int,
    ignore: int,
    total: Tensor,
    out: Tensor,
) -> Tensor:
    value = aten.nll_loss2d_backward(
        grad, x, target.long(), weight, reduction, ignore, total.reshape(())
    )
    return write(out, value)


@kernel("MseLoss", aten="mse_loss")
def _mse(x: Tensor, target: Tensor, reduction: int, out: Tensor) -> Tensor:
    return write(out, aten.mse_loss(x, target, reduction))


@kernel("MseLossBackward", aten="mse_loss_backward")
def _mse_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int, out: Tensor) -> Tensor:
    return write(out, aten.mse_loss_backward(grad, x, target, reduction))


@kernel("L1Loss", aten="l1_loss")
def _l1(x: Tensor, target: Tensor, reduction: int, out: Tensor) -> Tensor:
    gap = (x - target).abs()
    return write(out, (gap, gap.mean(), gap.sum())[reduction])


@kernel("L1LossBackward", aten="l1_loss_backward")
def _l1_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int, out: Tensor) -> Tensor:
    share = x.numel() if reduction == 1 else 1
    return write(out, grad * torch.sign(x - target) / share)


@kernel("SmoothL1Loss", aten="smooth_l1_loss")
def _smooth_l1(x: Tensor, target: Tensor, reduction: int, beta: float, out: Tensor) -> Tensor:
    return write(out, aten.smooth_l1_loss(x, target, reduction, beta))


@kernel("SmoothL1LossBackward", aten="smooth_l1_loss_backward")
def _smooth_l1_backward(
    grad: Tensor, x: Tensor, target: Tensor, reduction: int, beta: float, out: Tensor
) -> Tensor:
    return write(out, aten.smooth_l1_loss_backward(grad, x, target, reduction, beta))


@kernel("SoftMarginLoss", aten="soft_margin_loss")
def _soft_margin(x: Tensor, target: Tensor, reduction: int, out: Tensor) -> Tensor:
    return write(out, aten.soft_margin_loss(x, target, reduction))


@kernel("SoftMarginLossBackward", aten="soft_margin_loss_backward")
def _soft_margin_backward(
    grad: Tensor, x: Tensor, target: Tensor, reduction: int, out: Tensor
) -> Tensor:
    return write(out, aten.soft_margin_loss_backward(grad, x, target, reduction))


@kernel("KlDiv", aten="kl_div")
def _kl_div(x: Tensor, target: Tensor, reduction: int, log_target: bool, out: Tensor) -> Tensor:
    return write(out, aten.kl_div(x, target, reduction, log_target=log_target))


@kernel("KlDivBackward")
def _kl_div_backward(
    grad: Tensor, x: Tensor, target: Tensor, reduction: int, log_target: bool, out: Tensor
) -> Tensor:
    slope = -target.exp() if log_target else -target.clamp_min(0)
    return write(out, grad * slope / (x.numel() if reduction == 1 else 1))
