"""Backward operators of the pointwise functions and activations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import compute, kernel, put, write

aten = torch.ops.aten

# grad_output, then the value that the forward saved, then the gradient
for _name, _operator in {
    "SigmoidBackward": aten.sigmoid_backward,
    "TanhBackward": aten.tanh_backward,
    "SiluBackward": aten.silu_backward,
    "MishBackward": aten.mish_backward,
    "HardsigmoidBackward": aten.hardsigmoid_backward,
    "HardswishBackward": aten.hardswish_backward,
}.items():
    put(_name, lambda grad, x, out, f=_operator: write(out, f(grad, x)), _operator.__name__)


@kernel("HardswishBackwardV2", aten="hardswish_backward")
def _hardswish_backward(grad: Tensor, x: Tensor, out: Tensor) -> Tensor:
    return write(out, aten.hardswish_backward(grad, x))


@kernel("GeluBackward", aten="gelu_backward")
def _gelu_backward(grad: Tensor, x: Tensor, out: Tensor) -> Tensor:
    # the tanh form, as aclnnGelu's forward has
    return write(out, compute(aten.gelu_backward.default, grad, x, approximate="tanh"))


@kernel("GeluBackwardV2", aten="gelu_backward")
def _gelu_backward_v2(grad: Tensor, x: Tensor, form: str, out: Tensor) -> Tensor:
    return write(out, compute(aten.gelu_backward.default, grad, x, approximate=form or "none"))


@kernel("FastGeluBackward")
def _fast_gelu_backward(grad: Tensor, x: Tensor, out: Tensor) -> Tensor:
    gate = torch.sigmoid(1.702 * x)
    return write(out, grad * (gate + 1.702 * x * gate * (1 - gate)))


@kernel("LogSigmoidBackward", aten="log_sigmoid_backward")
def _log_sigmoid_backward(grad: Tensor, x: Tensor, buffer: Any, out: Tensor) -> Tensor:
    return write(out, grad * torch.sigmoid(-x))


@kernel("ThresholdBackward", aten="threshold_backward")
def _threshold_backward(grad: Tensor, x: Tensor, threshold: Any, out: Tensor) -> Tensor:
    return write(out, aten.threshold_backward(grad, x, threshold))


@kernel("EluBackward", aten="elu_backward")
def _elu_backward(
    grad: Tensor, alpha: Any, scale: Any, inner: Any, is_result: bool, x: Tensor, out: Tensor
) -> Tensor:
    return write(out, aten.elu_backward(grad, alpha, scale, inner, is_result, x))


@kernel("LeakyReluBackward", aten="leaky_relu_backward")
def _leaky_relu_backward(
    grad: Tensor, x: Tensor, slope: Any, is_result: bool, out: Tensor
) -> Tensor:
    return write(out, aten.leaky_relu_backward(grad, x, slope, is_result))


@kernel("HardtanhBackward", aten="hardtanh_backward")
def _hardtanh_backward(grad: Tensor, x: Tensor, low: Any, high: Any, out: Tensor) -> Tensor:
    return write(out, aten.hardtanh_backward(grad, x, low, high))


@kernel("HardshrinkBackward", aten="hardshrink_backward")
def _hardshrink_backward(grad: Tensor, x: Tensor, lambd: Any, out: Tensor) -> Tensor:
    return write(out, aten.hardshrink_backward(grad, x, lambd))


@kernel("SoftshrinkBackward", aten="softshrink_backward")
def _softshrink_backward(grad: Tensor, x: Tensor, lambd: Any, out: Tensor) -> Tensor:
    return write(out, aten.softshrink_backward(grad, x, lambd))


@kernel("SoftplusBackward", aten="softplus_backward")
def _softplus_backward(grad: Tensor, x: Tensor, beta: Any, threshold: Any, out: Tensor) -> Tensor:
    return write(out, aten.softplus_backward(grad, x, beta, threshold))


@kernel("GluBackward", aten="glu_backward")
def _glu_backward(grad: Tensor, x: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, aten.glu_backward(grad, x, dim))


@kernel("PreluBackward", aten="_prelu_kernel_backward")
def _prelu_backward(
    grad: Tensor, x: Tensor, weight: Tensor, grad_input: Tensor, grad_weight: Tensor
) -> Tensor:
    by_input, by_weight = aten._prelu_kernel_backward(grad, x, weight)
    write(grad_weight, by_weight.sum_to_size(grad_weight.shape))
    return write(grad_input, by_input)


@kernel("LogitGrad", aten="logit_backward")
def _logit_grad(x: Tensor, grad: Tensor, eps: float, out: Tensor) -> Tensor:
    return write(out, aten.logit_backward(grad, x, eps if eps >= 0 else None))


@kernel("SoftmaxBackward", aten="_softmax_backward_data")
def _softmax_backward(grad: Tensor, output: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, aten._softmax_backward_data(grad, output, dim, output.dtype))


@kernel("LogSoftmaxBackward", aten="_log_softmax_backward_data")
def _log_softmax_backward(grad: Tensor, output: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, aten._log_softmax_backward_data(grad, output, dim, output.dtype))


@kernel("MaskedScale", aten="native_dropout_backward")
def _masked_scale(x: Tensor, mask: Tensor, scale: float, out: Tensor) -> Tensor:
    return write(out, x * mask * scale)


@kernel("UnfoldGrad", aten="unfold_backward")
def _unfold_grad(
    grad: Tensor, sizes: list[int], dim: int, size: int, step: int, out: Tensor
) -> Tensor:
    return write(out, aten.unfold_backward(grad, sizes, dim, size, step))
