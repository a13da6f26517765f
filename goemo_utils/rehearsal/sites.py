"""Where in a model a fault acts: the modules that have its thing, and the hooks that hold it."""

from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from torch import Tensor, nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.state import STATE, Disturbance
from goemo_utils.rehearsal.tracker import TRACKER

Named = tuple[str, nn.Module]
HANDLES: list[Any] = []
"""Of the hooks of every fault in the attached model, to be let go of together."""


def scope(model: nn.Module, fault: Fault) -> Iterator[Named]:
    """Every module that ``fault`` may act in."""
    return ((name, module) for name, module in model.named_modules() if TRACKER.within(fault, name))


def chosen(
    model: nn.Module, fault: Fault, thing: str, fits: Callable[[str, nn.Module], bool]
) -> list[nn.Module]:
    """The modules within reach of ``fault`` that are or hold its thing.

    Raises:
        DeviceError: there are none.
    """
    fitting = [module for name, module in scope(model, fault) if fits(name, module)]
    if not fitting:
        where = f"{type(model).__name__} has no {thing}"
        place = f" in {fault.module}" if fault.module else ""
        raise DeviceError(
            f"The fault {fault.text!r} has nothing to act on: {where}{place}. Choose a fault of a"
            " thing that this model has (docs/rehearsal-faults.md)."
        )

    return fitting


def on_device(value: Any) -> TypeGuard[Tensor]:
    """Whether ``value`` is a tensor of the rehearsal device."""
    return isinstance(value, Tensor) and value.device.type == "npu"


def main_output(output: Any) -> Tensor | None:
    """The tensor that a module gives back, of the tuple it may be in; None if not on the device."""
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return first if on_device(first) else None


def before_forward(module: nn.Module, change: Callable[..., Any]) -> None:
    """Let ``change(module, args, kwargs)`` see or replace what ``module`` is given."""
    HANDLES.append(module.register_forward_pre_hook(change, with_kwargs=True))


def after_forward(module: nn.Module, change: Callable[..., Any], always: bool = False) -> None:
    """Let ``change(module, args, output)`` see what ``module`` gives back, even where it raised if
    ``always``.
    """
    HANDLES.append(module.register_forward_hook(change, always_call=always))


def disturb_too(operator: str, disturb: Disturbance) -> None:
    """Disturb ``operator`` beside what a fault of the operator itself does."""
    other = STATE.disturbances.get(operator)

    def both(result: Any, args: list[Any]) -> None:
        if other is not None:
            other(result, args)
        disturb(result, args)

    STATE.disturbances[operator] = both
