"""Operators that compute each element by itself: unary, binary, comparisons, clamps, rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import compute, kernel, put, write
from goemo_utils.cann.signatures import signatures

aten = torch.ops.aten
Function = Callable[..., Any]


def _out_of_place(function: Function) -> Function:
    """A kernel that gets its output last."""
    return lambda *args: write(args[-1], function(*args[:-1]))


def _in_place(function: Function) -> Function:
    """A kernel whose first argument is input and output at once."""
    return lambda *args: write(args[0], function(*args))


def _both(name: str, function: Function, operator: str | None = None) -> None:
    """Register ``name``, and its in-place form if torch_npu calls one; a fault of the rehearsal
    names both by the aten ``operator``, which is the function's own name unless it is given.
    """
    called = operator or function.__name__
    if f"aclnn{name}" in signatures():
        put(name, _out_of_place(function), called)
    if f"aclnnInplace{name}" in signatures():
        put(f"Inplace{name}", _in_place(function), called)


UNARY: dict[str, Function] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "AngleV2": torch.angle,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Erfc": torch.erfc,
    "Erfinv": torch.erfinv,
    "Exp": torch.exp,
    "Exp2": torch.exp2,
    "Expm1": torch.expm1,
    "Floor": torch.floor,
    "Frac": torch.frac,
    "Hardsigmoid": torch.nn.functional.hardsigmoid,
    "Hardswish": torch.nn.functional.hardswish,
    "Inverse": torch.inverse,
    "IsFinite": torch.isfinite,
    "IsNegInf": torch.isneginf,
    "IsPosInf": torch.isposinf,
    "Log": torch.log,
    "Log10": torch.log10,
    "Log1p": torch.log1p,
    "Log2": torch.log2,
    "LogicalNot": torch.logical_not,
    "LogSigmoid": torch.nn.functional.logsigmoid,
    "Mish": torch.nn.functional.mish,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Rsqrt": torch.rsqrt,
    "Sigmoid": torch.sigmoid,
    "Sign": lambda x: torch.sgn(x) if x.is_complex() else torch.sign(x),
    "Signbit": torch.signbit,
    "Silu": torch.nn.functional.silu,
    "Sin": torch.sin,
    "Sinc": torch.sinc,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": lambda x: compute(aten.tanh.default, x),
    "Trunc": torch.trunc,
}
BINARY: dict[str, Function] = {
    "Atan2": torch.atan2,
    "BitwiseAndTensor": torch.bitwise_and,
    "BitwiseOrTensor": torch.bitwise_or,
    "BitwiseXorTensor": torch.bitwise_xor,
    "Complex": torch.complex,
    "Div": torch.true_divide,
    "EqTensor": torch.eq,
    "FloorDivide": torch.floor_divide,
    "FmodTensor": torch.fmod,
    "Gcd": torch.gcd,
    "GeTensor": torch.ge,
    "GtTensor": torch.gt,
    "LeTensor": torch.le,
    "LeftShift": torch.bitwise_left_shift,
    "LogAddExp": torch.logaddexp,
    "LogAddExp2": torch.logaddexp2,
    "LogicalAnd": torch.logical_and,
    "LogicalOr": torch.logical_or,
    "LogicalXor": torch.logical_xor,
    "LtTensor": torch.lt,
    "Maximum": torch.maximum,
    "Minimum": torch.minimum,
    "Mul": torch.mul,
    "NeTensor": torch.ne,
    "Polar": torch.polar,
    "PowTensorTensor": torch.pow,
    "RemainderTensorTensor": torch.remainder,
    "RightShift": torch.bitwise_right_shift,
    "XLogYTensor": torch.xlogy,
    # a tensor and a number
    "BitwiseAndScalar": torch.bitwise_and,
    "BitwiseOrScalar": torch.bitwise_or,
    "BitwiseXorScalar": torch.bitwise_xor,
    "ClampMax": torch.clamp_max,
    "ClampMaxTensor": torch.clamp_max,
    "ClampMin": torch.clamp_min,
    "ClampMinTensor": torch.clamp_min,
    "Divs": torch.true_divide,
    "EqScalar": torch.eq,
    "FloorDivides": torch.floor_divide,
    "FmodScalar": torch.fmod,
    "GeScalar": torch.ge,
    "GtScalar": torch.gt,
    "Hardshrink": torch.nn.functional.hardshrink,
    "LeakyRelu": torch.nn.functional.leaky_relu,
    "LeScalar": torch.le,
    "LeftShifts": torch.bitwise_left_shift,
    "LtScalar": torch.lt,
    "Muls": torch.mul,
    "NeScalar": torch.ne,
    "PowTensorScalar": torch.pow,
    "RemainderTensorScalar": torch.remainder,
    "Softshrink": torch.nn.functional.softshrink,
    "XLogYScalarOther": torch.xlogy,
    # a number and a tensor
    "PowScalarTensor": torch.pow,
    "RemainderScalarTensor": torch.remainder,
    "XLogYScalarSelf": torch.xlogy,
}
for _name, _function in {**UNARY, **BINARY}.items():
    _both(_name, _function, {"Tanh": "tanh", "Sign": "sign"}.get(_name))


def _scaled(function: Function) -> Function:
    return lambda a, b, alpha: function(a, b, alpha=alpha)


for _name in ("Add", "Sub", "Rsub"):
    _both(_name, _scaled(getattr(torch, _name.lower())), _name.lower())
    _both(f"{_name}s", _scaled(getattr(torch, _name.lower())), _name.lower())

_both("Addcdiv", lambda a, b, c, value: torch.addcdiv(a, b, c, value=value), "addcdiv")
_both("Addcmul", lambda a, b, c, value: torch.addcmul(a, b, c, value=value), "addcmul")
_both("Lerp", torch.lerp)
_both("Lerps", torch.lerp)
_both("Threshold", torch.nn.functional.threshold)
_both("Hardtanh", torch.nn.functional.hardtanh)
_both("Elu", lambda x, alpha, scale, inner: aten.elu(x, alpha, scale, inner), "elu")
_both("Celu", torch.nn.functional.celu)
_both("RoundDecimals", lambda x, decimals: torch.round(x, decimals=decimals), "round")
_both("NanToNum", torch.nan_to_num)
_both("Renorm", torch.renorm)

ROUNDING_MODES = {0: None, 1: "trunc", 2: "floor"}
"""Of aclnnDivMod: what its documentation calls the rounding modes 0, 1 and 2."""


def _div_mod(a: Tensor, b: Any, mode: int) -> Tensor:
    return torch.div(a, b, rounding_mode=ROUNDING_MODES[mode])


_both("DivMod", _div_mod, "div")
_both("DivMods", _div_mod, "div")


@kernel("AddV3", aten="add")
def _add_v3(number: Any, other: Tensor, alpha: Any, out: Tensor) -> Tensor:
    return write(out, number + alpha * other)


@kernel("Clamp", aten="clamp")
def _clamp(x: Tensor, low: Any, high: Any, out: Tensor) -> Tensor:
    return write(out, torch.clamp(x, low, high))


@kernel("ClampTensor", aten="clamp")
def _clamp_tensor(x: Tensor, low: Tensor | None, high: Tensor | None, out: Tensor) -> Tensor:
    return write(out, torch.clamp(x, low, high))


@kernel("Equal", aten="equal")
def _equal(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.tensor(torch.equal(a, b)))


@kernel("IsClose", aten="isclose")
def _is_close(
    a: Tensor, b: Tensor, rtol: float, atol: float, equal_nan: bool, out: Tensor
) -> Tensor:
    return write(out, torch.isclose(a, b, rtol, atol, equal_nan))


@kernel("IsInTensorScalar", aten="isin")
def _is_in(elements: Tensor, test: Any, unique: bool, invert: bool, out: Tensor) -> Tensor:
    return write(out, torch.isin(elements, test, assume_unique=unique, invert=invert))


@kernel("IsInScalarTensor", aten="isin")
def _scalar_is_in(element: Any, test: Tensor, unique: bool, invert: bool, out: Tensor) -> Tensor:
    return write(out, torch.isin(element, test, assume_unique=unique, invert=invert))


@kernel("Logit", aten="logit")
def _logit(x: Tensor, eps: float, out: Tensor) -> Tensor:
    return write(out, torch.logit(x, eps if eps >= 0 else None))


@kernel("Prelu", aten="_prelu_kernel")
def _prelu(x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.where(x > 0, x, weight * x))


@kernel("Softplus", aten="softplus")
def _softplus(x: Tensor, beta: float, threshold: float, out: Tensor) -> Tensor:
    return write(out, torch.nn.functional.softplus(x, beta, threshold))


@kernel("Glu", aten="glu")
def _glu(x: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, torch.nn.functional.glu(x, dim))
