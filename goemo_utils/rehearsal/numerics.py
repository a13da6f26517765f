"""The arithmetic of accelerators, emulated on CPU tensors. Also used, off the device, to build the
rungs of the parity ladder.

Rounding acts on operands only; products are accumulated in float32 (float64 for float64 operands)
by the CPU's own kernels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.settings import Numerics
from goemo_utils.rehearsal.state import Handler, plain

REORDER_BLOCK = 48
"""Length of the blocks of K that ``reorder`` sums from the last to the first."""

MANY_ROWS = 48
"""Rows from which on a blocked product is computed by columns; of fewer its last bits differ."""

ROW_BLOCKS = (48, 16)
"""Lengths of the blocks of K under ``row_order``: of the first half of the rows, and the second."""

TRUNCATED_BLOCK = 16
"""Length of the blocks of K that ``truncating`` cuts off after: a fractal of Ascend's cube unit is
16 x 16.
"""

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

BATCHED = ("aten::bmm", "aten::baddbmm", "aten::baddbmm_", "aten::addbmm", "aten::addbmm_")
"""Products of batches of matrices, as eager attention makes them; the others are linear layers."""


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
    words = tensor.view(integer)
    if mode == "rne":
        rounded = (words >> drop).bitwise_and_(1).add_((1 << (drop - 1)) - 1).add_(words)
    elif mode == "away":
        rounded = words + (1 << (drop - 1))
    else:
        rounded = words.clone(memory_format=torch.preserve_format)

    kept = rounded.bitwise_and_(-(1 << drop)).view(tensor.dtype)
    # A sum that is a number had no NaN among its terms, and costs a tenth of looking for one.
    if bool(tensor.sum().isnan()):
        return torch.where(tensor.isnan(), tensor, kept)
    return kept


ROUNDING: dict[str, Callable[[Tensor], Tensor]] = {
    "hf32": lambda operand: round_mantissa(operand, 11),
    "hf32_away": lambda operand: round_mantissa(operand, 11, "away"),
    "hf32_trunc": lambda operand: round_mantissa(operand, 11, "trunc"),
    "tf32": lambda operand: round_mantissa(operand, 10),
    "fp16_matmul": lambda operand: operand.half().to(operand.dtype),
    "bf16_matmul": lambda operand: operand.bfloat16().to(operand.dtype),
}
"""How each mode rounds one float32 or float64 operand; see ``round_operand`` for fewer bits."""
HALVES = {"fp16_matmul": torch.bfloat16, "bf16_matmul": torch.float16}
"""The half precision that a unit of the other one casts too; its own and integers it keeps."""


def round_operand(operand: Tensor, rounding: str | None) -> Tensor:
    """``operand`` as a matrix unit working in ``rounding`` sees it; half precision has no bits that
    HF32 or TF32 would drop, and integers are unchanged.
    """
    rounds = (torch.float32, torch.float64, HALVES.get(rounding or ""))
    if rounding is None or operand.dtype not in rounds:
        return operand
    return KEPT.rounded(operand, rounding, ROUNDING[rounding])


def blocked_matmul(left: Tensor, right: Tensor, block: int = REORDER_BLOCK) -> Tensor:
    """``left @ right`` with K summed in blocks from the last to the first; halves are accumulated
    in float32.
    """
    wide = torch.promote_types(left.dtype, torch.float32)
    # Of two matrices a sum in place spares a pass over the product, and gives the same bits; of
    # batches of small ones it does not give them.
    plain = left.dim() == right.dim() == 2
    if plain and left.shape[0] >= MANY_ROWS and left.shape[1] > block:
        return _blocked_by_columns(left.to(wide), right.to(wide), block).to(left.dtype)

    total: Tensor | None = None
    for start in reversed(range(0, left.shape[-1], block)):
        rows = left[..., start : start + block].to(wide)
        columns = right[..., start : start + block, :].to(wide)
        if total is None:
            total = rows @ columns
        elif plain:
            total.addmm_(rows, columns)
        else:
            total.add_(rows @ columns)
    return (left @ right) if total is None else total.to(left.dtype)


def _blocked_by_columns(left: Tensor, right: Tensor, block: int) -> Tensor:
    """The same sums as the columns of the transposed product, in half the time: a thin block of a
    weight is contiguous where its columns are not.
    """
    columns, rows = right.t(), left.t()
    blocks = list(reversed(range(0, left.shape[-1], block)))
    total = columns[:, blocks[0] :] @ rows[blocks[0] :]
    for start in blocks[1:]:
        total.addmm_(columns[:, start : start + block], rows[start : start + block])
    return total.t().contiguous()


def row_ordered_matmul(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` with K summed in other blocks in the second half of the rows."""
    half = left.shape[-2] // 2
    first = blocked_matmul(left[..., :half, :], right, ROW_BLOCKS[0])
    second = blocked_matmul(left[..., half:, :], right, ROW_BLOCKS[1])
    return torch.cat([first, second], dim=-2)


def truncated_matmul(left: Tensor, right: Tensor, block: int = TRUNCATED_BLOCK) -> Tensor:
    """``left @ right`` with an accumulator of float32 that cuts off towards zero after each block
    of K; the products of a block are exact.
    """
    total = torch.zeros((), dtype=torch.float32)
    for start in range(0, left.shape[-1], block):
        rows, columns = left[..., start : start + block], right[..., start : start + block, :]
        total = _cut(total.double() + rows.double() @ columns.double())
    return total.to(left.dtype)


def _cut(exact: Tensor) -> Tensor:
    """float64 to float32, towards zero."""
    nearest = exact.float()
    beyond = nearest.double().abs() > exact.abs()
    return torch.where(beyond, nearest.nextafter(torch.zeros(())), nearest)


ORDERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "reorder": blocked_matmul,
    "row_order": row_ordered_matmul,
    "truncating": truncated_matmul,
}
"""How each order of accumulation multiplies two CPU tensors ``[..., M, K]`` and ``[..., K, N]``."""

SHORTEST = {"reorder": REORDER_BLOCK, "row_order": ROW_BLOCKS[1], "truncating": 0}
"""The longest K that an order leaves to the CPU, because one block holds it."""


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
    for name, first in MATMUL.items():
        family = numerics.batched if name in BATCHED else numerics.linear
        if family or numerics.order:
            table[name] = _matmul(name, first, family, numerics.order)

    if numerics.convolution:
        for name, count in CONVOLUTION.items():
            table[name] = _convolution(count, numerics.convolution)
    if numerics.tanh_gelu:
        for name in GELU:
            table[name] = _tanh
    if numerics.ulp:
        for name in VECTOR:
            table[name] = _noisy(table.get(name, plain), seed, numerics.ulp)

    return table


def _tanh(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return operator(*args, **{**kwargs, "approximate": "tanh"})


_ORDERED = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")
"""The products whose order of accumulation can be chosen, in these overloads."""


def _orders(name: str, operator: Any, left: Tensor, right: Tensor, order: str | None) -> bool:
    """Whether ``order`` has something to say about this product."""
    return (
        order is not None
        and name in _ORDERED
        and operator._overloadname in ("default", "out")
        and left.is_floating_point()
        and left.dtype == right.dtype
        and left.shape[-1] > SHORTEST[order]
    )


def _matmul(name: str, first: int, rounding: str | None, order: str | None) -> Handler:
    """A product whose operands are ``args[first]`` and the next; ``first`` 1 adds ``args[0]``."""

    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        left = round_operand(args[first], rounding)
        right = round_operand(args[first + 1], rounding)
        if order is None or not _orders(name, operator, left, right, order):
            return operator(*args[:first], left, right, *args[first + 2 :], **kwargs)

        product = ORDERS[order](left, right)
        if first == 1:
            product = kwargs.get("beta", 1) * args[0] + kwargs.get("alpha", 1) * product
        if "out" not in kwargs:
            return product
        return kwargs["out"].resize_(product.shape).copy_(product)

    return compute


def _convolution(count: int, rounding: str) -> Handler:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        operands = (round_operand(operand, rounding) for operand in args[:count])
        return operator(*operands, *args[count:], **kwargs)

    return compute


def _noisy(inner: Handler, seed: int, units: int) -> Handler:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = inner(operator, args, kwargs)
        main = result[0] if isinstance(result, tuple) else result
        noisy = ulp_noise(main, seed, units)
        if noisy is main:
            return result
        if "out" in kwargs or operator._schema.is_mutable:
            main.copy_(noisy)
            return result
        return (noisy, *result[1:]) if isinstance(result, tuple) else noisy

    return compute
