"""Layers that add too little or too much: residuals, neighbours in the batch, dropout."""

from typing import Any

from torch import nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import retag
from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.residuals import Residuals
from goemo_utils.rehearsal.sites import (
    after_forward,
    before_forward,
    chosen,
    disturb_too,
    main_output,
    on_device,
)
from goemo_utils.rehearsal.state import STATE
from goemo_utils.rehearsal.tracker import TRACKER, hits


def set_residual(model: nn.Module, fault: Fault) -> None:
    """Leave the residual out of every sum of hidden states, as wide as the model says they are."""
    config = getattr(model, "config", None)
    width = getattr(config, "hidden_size", None) or getattr(config, "dim", None)
    if width is None:
        raise DeviceError(
            f"The fault {fault.text!r} has nothing to act on: {type(model).__name__} does not say"
            " its hidden_size, by which a residual is known. Choose a fault of a thing that this"
            " model has (docs/rehearsal-faults.md)."
        )

    TRACKER.watch(model)
    residuals = Residuals(int(width), fault)
    STATE.observer = residuals.observe

    for name in ("aten::add", "aten::add_"):
        disturb_too(name, residuals.disturb)


def _layers(model: nn.Module) -> list[str]:
    """The paths of the model's layers: the members of its longest list of modules."""
    lists = [
        (name, len(module))
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
    ]
    if not lists:
        return []
    longest, count = max(lists, key=lambda pair: pair[1])
    return [f"{longest}.{index}" for index in range(count)]


def set_neighbour(model: nn.Module, fault: Fault) -> None:
    """Add part of the row before it to each row of a module's output."""
    target = TRACKER.targets.get(fault.module or "")
    first = _layers(model)[:1]
    paths = [target] if target is not None else first

    def leak(_module: nn.Module, _args: Any, output: Any) -> None:
        main = main_output(output)
        if main is None or main.dim() < 2 or main.shape[0] < 2:
            return
        if TRACKER.is_time(fault, main):
            hits[fault.text] += 1
            rows = retag.host(main)
            rows.add_(rows.roll(1, 0), alpha=fault.value)

    for module in chosen(model, fault, "list of layers", lambda name, _module: name in paths):
        after_forward(module, leak)


def set_dropout(model: nn.Module, fault: Fault) -> None:
    """Put a module into training mode for the length of each of its forwards."""
    drops = chosen(model, fault, "dropout", lambda _name, module: isinstance(module, nn.Dropout))
    rates = {drop: fault.value or _rate(drop) for drop in drops}
    if not any(rates.values()):
        raise DeviceError(
            f"The fault {fault.text!r} would change nothing: every rate of dropout in"
            f" {type(model).__name__} is 0. Give one, such as dropout:on=0.1."
        )
    top = model.get_submodule(TRACKER.targets[fault.module]) if fault.module else model
    before: list[tuple[Any, bool, float | None]] = []

    def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given = next((v for v in (*args, *kwargs.values()) if on_device(v)), None)
        if given is None or not TRACKER.is_time(fault, given):
            return
        hits[fault.text] += 1
        for part in top.modules():
            before.append((part, part.training, getattr(part, "p", None)))
            part.training = True
        for drop, rate in rates.items():
            _set_rate(drop, rate)

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        for part, training, rate in before:
            part.training = training
            if part in rates and rate is not None:
                _set_rate(part, rate)
        before.clear()

    before_forward(top, enter)
    after_forward(top, leave, always=True)


def _rate(drop: Any) -> float:
    return float(drop.p)


def _set_rate(drop: Any, rate: float) -> None:
    drop.p = rate
