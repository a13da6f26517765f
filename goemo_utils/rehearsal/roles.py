"""A reference or gold that computes badly: CPU arithmetic that is not what it says.

The rehearsal device is not involved. It shows that a comparison judges everybody: a reference with
TensorFloat-32 on, a gold that is not float64.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from goemo_utils.rehearsal.grammar import parse_fault
from goemo_utils.rehearsal.numerics import MATMUL, handlers
from goemo_utils.rehearsal.settings import parse_numerics
from goemo_utils.rehearsal.state import Handler


def degraded(role: str, fault: str | None) -> AbstractContextManager[Any]:
    """Within this context CPU operators compute as ``fault`` says of ``role`` (reference or gold);
    nothing changes if it says nothing of it.

    Needs no_grad, so that products arrive whole. What a fused kernel does inside, such as
    ``scaled_dot_product_attention`` on the CPU, stays right.
    """
    table = _arithmetic(role, fault)
    return Degraded(table) if table else nullcontext()


@cache
def _arithmetic(role: str, fault: str | None) -> dict[str, Handler]:
    """What stands in for which operator of ``role``; empty where ``fault`` says nothing of it."""
    mine = [part.part for part in parse_fault(fault) if part.kind == role]
    if not mine:
        return {}
    if mine[-1] == "float32":
        return dict.fromkeys(MATMUL, _narrow)
    return handlers(parse_numerics(mine[-1]))


def _narrow(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """A product of float64 operands, computed in float32."""
    narrow = [arg.float() if isinstance(arg, Tensor) else arg for arg in args]
    return operator(*narrow, **kwargs).double()


class Degraded(TorchDispatchMode):
    """Replaces the operators in ``table``, by name."""

    def __init__(self, table: dict[str, Handler]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.table = table

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As of ``parity.emulate.Emulate``: torch's compiler is not imported to skip this class."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        stand_in = self.table.get(func._schema.name)
        on_cpu = all(arg.device.type == "cpu" for arg in args if isinstance(arg, Tensor))
        if stand_in is None or not on_cpu:
            return func(*args, **(kwargs or {}))
        return stand_in(func, list(args), kwargs or {})
