"""The kernels by the name of their aclnn operator, and how a kernel is written.

A kernel is a function of the operator's arguments in the order of its signature: tensors are views
of device memory, a null tensor is None, scalars are numbers, arrays and lists are lists. It writes
its results in place and returns the first of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from goemo_utils.rehearsal.state import STATE, plain

Kernel = Callable[..., Any]
KERNELS: dict[str, Kernel] = {}
ATEN: dict[str, str] = {}
"""By aclnn operator: the aten operator whose name a fault of the rehearsal gives."""


def kernel(*names: str, aten: str | None = None) -> Callable[[Kernel], Kernel]:
    """Register a function as the kernel of one or more operators, named without ``aclnn``."""

    def register(function: Kernel) -> Kernel:
        for name in names:
            put(name, function, aten)
        return function

    return register


def put(name: str, function: Kernel, aten: str | None = None) -> None:
    """Register one kernel. Raises ValueError when the operator has one already."""
    full = f"aclnn{name}"
    if full in KERNELS:
        raise ValueError(f"The operator {full} has two kernels; expected one. Remove either.")
    KERNELS[full] = function
    if aten:
        ATEN[full] = f"aten::{aten}"


def write(out: Tensor, value: Any) -> Tensor:
    """Put ``value`` into device memory, in the dtype and shape that torch_npu prepared there."""
    return out.copy_(value)


def compute(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """Run an aten operator with the arithmetic of the rehearsal, if one was asked for."""
    if not STATE.arithmetic:
        return operator(*args, **kwargs)
    handler = STATE.arithmetic.get(operator._schema.name, plain)
    return handler(operator, list(args), kwargs)
