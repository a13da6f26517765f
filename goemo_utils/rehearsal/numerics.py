"""The arithmetic of accelerators, emulated on CPU tensors. Also used, off the device, to build the
rungs of the parity ladder.

Rounding acts on operands only; products are accumulated in float32 (float64 for float64 operands)
by the CPU's own kernels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from goemo_utils.rehearsal.settings import Numerics
from goemo_utils.rehearsal.state import Handler, plain

REORDER_BLOCK = 48
"""Length of the blocks of K that ``reorder`` sums from the last to the first."""

ULP_UNITS = 4
"""Largest relative noise of ``ulp``, in units of 2^-24 (half the spacing of float32 at 1)."""

MATMUL: dict[str, int] = {
    "aten::mm": 0,
    "aten::bmm": 0,
    "aten::mv": 0,
    "aten::dot": 0,
    "aten::addmm": 1,
    "aten::addmm_": 1,
    "aten::baddbmm": 1,
    "aten::baddbmm_": 1,
    "aten::addbmm": 1,
    "aten::addbmm_": 1,
    "aten::addmv": 1,
    "aten::addmv_": 1,
    "aten::_addmm_activation": 1,
}
"""Matrix products, and the position of the first of their two operands."""

CONVOLUTION: dict[str, int] = {"aten::convolution": 2, "aten::convolution_backward": 3}
"""Convolutions, and how many of their leading arguments are operands."""

VECTOR = (
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::gelu",
    "aten::tanh",
    "aten::native_layer_norm",
)
GELU = ("aten::gelu", "aten::gelu_", "aten::gelu_backward")


def round_mantissa(tensor: Tensor, bits: int, mode: str = "rne") -> Tensor:
    """Keep ``bits`` explicit mantissa bits of a float32 or float64 tensor of any shape; NaN and
    infinity stay as they are.

    ``mode``: ``rne`` to nearest, ties to even; ``away`` to nearest, ties away from zero; ``trunc``
    towards zero.

    Raises:
        ValueError: another dtype or mode, or ``bits`` is not between 1 and the dtype's mantissa
        bits less one.
    """
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"Cannot round the mantissa of {tensor.dtype}; expected torch.float32 or torch.float64."
        )
    integer, mantissa = (torch.int32, 23) if tensor.dtype == torch.float32 else (torch.int64, 52)
    if mode not in ("rne", "away", "trunc") or not 1 <= bits < mantissa:
        raise ValueError(
            f"Cannot round to {bits} bits by {mode!r}; expected 1 to {mantissa - 1} bits and rne,"
            " away or trunc."
        )
    drop = mantissa - bits
    words = tensor.clone(memory_format=torch.preserve_format).view(integer)
    if mode == "rne":
        words += ((words >> drop) & 1).add_((1 << (drop - 1)) - 1)
    elif mode == "away":
        words += 1 << (drop - 1)
    words &= -(1 << drop)
    rounded = words.view(tensor.dtype)
    return torch.where(tensor.isnan(), tensor, rounded)


ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "hf32": lambda operand: round_mantissa(operand, 11),
    "hf32_away": lambda operand: round_mantissa(operand, 11, "away"),
    "hf32_trunc": lambda operand: round_mantissa(operand, 11, "trunc"),
    "tf32": lambda operand: round_mantissa(operand, 10),
    "fp16_matmul": lambda operand: operand.half().to(operand.dtype),
    "bf16_matmul": lambda operand: operand.bfloat16().to(operand.dtype),
}
"""How each mode rounds one float32 or float64 operand. Tensors of fewer bits pass unchanged through
``round_operand``.
"""


def round_operand(operand: Tensor, rounding: str | None) -> Tensor:
    """``operand`` as a matrix unit working in ``rounding`` sees it; half precision and integers are
    unchanged.
    """
    if rounding is None or operand.dtype not in (torch.float32, torch.float64):
        return operand
    return ROUNDING[rounding](operand)


def blocked_matmul(left: Tensor, right: Tensor, block: int = REORDER_BLOCK) -> Tensor:
    """``left @ right`` with K summed in blocks from the last to the first; halves are accumulated
    in float32.
    """
    wide = torch.promote_types(left.dtype, torch.float32)
    total: Tensor | None = None
    for start in reversed(range(0, left.shape[-1], block)):
        part = left[..., start : start + block].to(wide) @ right[..., start : start + block, :].to(
            wide
        )
        total = part if total is None else total.add_(part)
    return (left @ right) if total is None else total.to(left.dtype)


def ulp_noise(tensor: Tensor, seed: int, units: float = ULP_UNITS) -> Tensor:
    """``tensor * (1 + e)``, ``e`` uniform in ±``units`` x 2^-24 and a fixed function of seed and
    value: equal inputs stay equal.

    Float32 only; other dtypes are returned unchanged, because such noise vanishes in their
    rounding.
    """
    if tensor.dtype != torch.float32:
        return tensor
    words = tensor.contiguous().view(torch.int32) ^ (seed * 0x9E3779B1 & 0x7FFFFFFF)
    for multiplier in (0x45D9F3B, 0x119DE1F3):
        words = (words ^ ((words >> 16) & 0xFFFF)) * multiplier
    uniform = ((words >> 8) & 0xFFFFFF).to(torch.float32).mul_(2.0**-23).sub_(1.0)
    return tensor * uniform.mul_(units * 2.0**-24).add_(1.0)


def handlers(numerics: Numerics, seed: int = 0) -> dict[str, Handler]:
    """What replaces the CPU kernel, by operator name, so that the device computes as ``numerics``
    says.
    """
    table: dict[str, Handler] = {}
    if numerics.matmul or numerics.reorder:
        for name, first in MATMUL.items():
            table[name] = _matmul(name, first, numerics)
    if numerics.convolution:
        for name, count in CONVOLUTION.items():
            table[name] = _convolution(count, numerics.convolution)
    if numerics.tanh_gelu:
        for name in GELU:
            table[name] = _tanh
    if numerics.ulp:
        for name in VECTOR:
            table[name] = _noisy(table.get(name, plain), seed)
    return table


def _tanh(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return operator(*args, **{**kwargs, "approximate": "tanh"})


def _matmul(name: str, first: int, numerics: Numerics) -> Handler:
    plain_product = name in ("aten::mm", "aten::bmm")
    added_product = name in ("aten::addmm", "aten::baddbmm")

    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        left, right = (
            round_operand(operand, numerics.matmul) for operand in args[first : first + 2]
        )
        reorder = (
            numerics.reorder
            and (plain_product or added_product)
            and left.is_floating_point()
            and left.shape[-1] > REORDER_BLOCK
        )
        if (
            not reorder
            or left.dtype != right.dtype
            or operator._overloadname not in ("default", "out")
        ):
            return operator(*args[:first], left, right, *args[first + 2 :], **kwargs)
        product = blocked_matmul(left, right)
        if added_product:
            product = kwargs.get("beta", 1) * args[0] + kwargs.get("alpha", 1) * product
        return kwargs["out"].resize_(product.shape).copy_(product) if "out" in kwargs else product

    return compute


def _convolution(count: int, rounding: str) -> Handler:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return operator(
            *(round_operand(operand, rounding) for operand in args[:count]), *args[count:], **kwargs
        )

    return compute


def _noisy(inner: Handler, seed: int) -> Handler:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = inner(operator, args, kwargs)
        main = result[0] if isinstance(result, tuple) else result
        noisy = ulp_noise(main, seed)
        if noisy is main:
            return result
        if "out" in kwargs or operator._schema.is_mutable:
            main.copy_(noisy)
            return result
        return (noisy, *result[1:]) if isinstance(result, tuple) else noisy

    return compute
