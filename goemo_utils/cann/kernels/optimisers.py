"""Operators over lists of tensors (foreach), the fused optimisers, and the gradient scaler's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import Kernel, kernel, put, write

_FUNCTIONS = (
    "abs acos asin atan cos cosh erf erfc exp expm1 log log10 log1p log2 neg reciprocal sigmoid"
    " sign sin sinh sqrt tan tanh"
)


def _each(function: Any) -> Kernel:
    """A kernel over lists: the last is written, value by value of the others."""

    def run(*lists: Any) -> Any:
        for *values, out in zip(*lists, strict=True):
            write(out, function(*values))
        return lists[-1][0]

    return run


def _with_number(function: Any) -> Kernel:
    """The same with one number (or a tensor of one) before the outputs."""

    def run(*arguments: Any) -> Any:
        *lists, number, outputs = arguments
        value = number.item() if isinstance(number, Tensor) else number
        for *values, out in zip(*lists, outputs, strict=True):
            write(out, function(*values, value))
        return outputs[0]

    return run


for _name in _FUNCTIONS.split():
    put(f"Foreach{_name.capitalize()}", _each(getattr(torch, _name)), f"_foreach_{_name}")

put("ForeachCopy", _each(lambda x: x), "_foreach_copy_")
put("ForeachMulList", _each(torch.mul), "_foreach_mul")
put("ForeachDivList", _each(torch.true_divide), "_foreach_div")
put("ForeachMaximumList", _each(torch.maximum), "_foreach_maximum")
put("ForeachMinimumList", _each(torch.minimum), "_foreach_minimum")
put("ForeachPowList", _each(torch.pow), "_foreach_pow")
put("ForeachLerpList", _each(torch.lerp), "_foreach_lerp")
put("ForeachLerpScalar", _with_number(torch.lerp), "_foreach_lerp")
put("ForeachNorm", _with_number(torch.linalg.vector_norm), "_foreach_norm")

_NUMBER = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.true_divide,
    "Maximum": torch.clamp_min,
    "Minimum": torch.clamp_max,
    "Pow": torch.pow,
    "Addcdiv": lambda a, b, c, value: torch.addcdiv(a, b, c, value=value),
    "Addcmul": lambda a, b, c, value: torch.addcmul(a, b, c, value=value),
}
for _name, _function in _NUMBER.items():
    put(f"Foreach{_name}Scalar", _with_number(_function), f"_foreach_{_name.lower()}")
    put(f"Foreach{_name}ScalarV2", _with_number(_function), f"_foreach_{_name.lower()}")
    put(f"Foreach{_name}ScalarList", _each(_function), f"_foreach_{_name.lower()}")
for _name, _function in (("Add", torch.add), ("Sub", torch.sub)):
    _scaled = _with_number(lambda a, b, alpha, f=_function: f(a, b, alpha=alpha))
    put(f"Foreach{_name}List", _scaled, f"_foreach_{_name.lower()}")
    put(f"Foreach{_name}ListV2", _scaled, f"_foreach_{_name.lower()}")


@kernel("ForeachZeroInplace", aten="_foreach_zero_")
def _zero(tensors: list[Tensor]) -> Tensor:
    for tensor in tensors:
        tensor.zero_()
    return tensors[0]


@kernel("ForeachPowScalarAndTensor", aten="_foreach_pow")
def _power_of_number(number: Any, tensors: list[Tensor], outputs: list[Tensor]) -> Tensor:
    for tensor, out in zip(tensors, outputs, strict=True):
        write(out, torch.pow(number, tensor))
    return outputs[0]


ROUNDINGS = {1: torch.floor, 2: torch.ceil, 3: torch.round, 4: torch.trunc, 5: torch.frac}
"""roundMode of aclnnForeachRoundOffNumber, as torch_npu hands it over."""


@kernel("ForeachRoundOffNumberV2")
def _round_off(tensors: list[Tensor], mode: Any, outputs: list[Tensor]) -> Tensor:
    for tensor, out in zip(tensors, outputs, strict=True):
        write(out, ROUNDINGS[int(mode)](tensor))
    return outputs[0]


@kernel("ForeachNonFiniteCheckAndUnscale", aten="_amp_foreach_non_finite_check_and_unscale_")
def _unscale(gradients: list[Tensor], found: Tensor, inverse: Tensor) -> Tensor:
    for gradient in gradients:
        if not bool(torch.isfinite(gradient).all()):
            found.fill_(1.0)
        write(gradient, gradient * inverse)
    return gradients[0]


@kernel("AmpUpdateScale", aten="_amp_update_scale_")
def _update_scale(
    scale: Tensor,
    tracker: Tensor,
    found: Tensor,
    growth: float,
    backoff: float,
    interval: int,
    new_scale: Tensor,
    new_tracker: Tensor,
) -> Tensor:
    values, steps = scale.clone(), tracker.clone()
    torch._amp_update_scale_(values, steps, found, growth, backoff, interval)
    write(new_tracker, steps)
    return write(new_scale, values)


@kernel("ApplyAdamWV2", aten="npu_apply_adam_w")
def _adamw(
    weight: Tensor,
    first: Tensor,
    second: Tensor,
    highest: Tensor | None,
    grad: Tensor,
    step: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    decay: float,
    eps: float,
    amsgrad: bool,
    maximize: bool,
) -> Tensor:
    # the formula of CANN's documentation of aclnnApplyAdamWV2; t counts from the step handed over
    g = -grad if maximize else grad
    t = float(step) + 1
    first.lerp_(g.to(first.dtype), 1 - beta1)
    second.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    spread = second
    if amsgrad and highest is not None:
        spread = torch.maximum(highest, second, out=highest)

    weight.mul_(1 - lr * decay)
    size = (spread / (1 - beta2**t)).sqrt_().add_(eps)
    return weight.addcdiv_(first / (1 - beta1**t), size, value=-lr)


@kernel("FusedAdam", aten="_fused_adam_")
def _fused_adam(
    weights: list[Tensor],
    gradients: list[Tensor],
    firsts: list[Tensor],
    seconds: list[Tensor],
    highest: list[Tensor] | None,
    steps: list[Tensor],
    grad_scale: Tensor | None,
    found: Tensor | None,
    lr: float,
    beta1: float,
    beta2: float,
    decay: float,
    eps: float,
    amsgrad: bool,
    maximize: bool,
) -> Tensor:
    torch._fused_adam_(
        weights,
        gradients,
        firsts,
        seconds,
        highest or [],
        steps,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=decay,
        eps=eps,
        amsgrad=amsgrad,
        maximize=maximize,
        grad_scale=grad_scale,
        found_inf=found,
    )

    return weights[0]
