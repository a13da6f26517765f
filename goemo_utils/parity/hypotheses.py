"""Gold made to err: faults of a model's own code, each a hypothesis of what the device computes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from goemo_utils.parity.replay import followed
from goemo_utils.parity.weights import TABLES
from goemo_utils.rehearsal.masks import allowed, rewritten

LAYER = re.compile(r"(?:^|\.)(?:layers?|h|block)\.\d+$")
"""The path of one layer of an encoder's stack."""
POSITIONS, SEGMENTS, RELATIVE = (TABLES[kind] for kind in ("position", "segment", "relative bias"))

Context = Callable[[], Any]


def hypotheses(model: nn.Module, layer: int | None) -> Iterator[tuple[str, str, Context]]:
    """(name, how, a context in which ``model`` errs so), of all that the model can have."""
    tables = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Embedding)]
    positions = [m for n, m in tables if POSITIONS.search(n)]
    segments = [m for n, m in tables if SEGMENTS.search(n)]
    biases = [m for n, m in tables if RELATIVE.search(n)]

    for shift in (1, -1, 2, -2) if positions else ():
        yield "position", f"shifted by {shift}", partial(_shifted, positions, shift)

    if segments:
        yield "segment", "dropped", lambda: _silenced(segments)
    if biases:
        yield "relative bias", "dropped", lambda: _silenced(biases)
    for told, modules in _scopes(model, layer):
        if any(getattr(m, "relative_attention", False) is True for m in modules):
            yield "relative bias", f"dropped{told}", partial(_without_relative, modules)
        windows = [m for m in modules if getattr(m, "sliding_window", None)]
        if windows:
            yield "window", f"ignored{told}", partial(_masked, windows, _open)

    for keep in (0, 1):
        yield "residual", "dropped", partial(_without_residual, model, None, keep)
        if layer is not None:
            yield "residual", "dropped", partial(_without_residual, model, layer, keep)

    yield "mask", "inverted", lambda: torch.no_grad()
    for told, modules in _scopes(model, layer):
        names = {id(m): n for n, m in model.named_modules()}
        layers = [m for m in modules if LAYER.search(names[id(m)])]
        yield "mask", f"inverted in its layers{told}", partial(_masked, layers, _turned)


def _scopes(model: nn.Module, layer: int | None) -> Iterator[tuple[str, list[nn.Module]]]:
    """The modules of the whole model, and those of one layer."""
    yield "", list(model.modules())
    if layer is not None:
        inside = re.compile(rf"(?:^|\.)(?:layers?|h|block)\.{layer}(?:\.|$)")
        yield f" in layer {layer}", [m for n, m in model.named_modules() if inside.search(n)]


@contextmanager
def _hooked(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shifted(tables: list[nn.Embedding], by: int) -> Any:
    def shift(table: Any, args: Any) -> Any:
        return ((args[0] + by).clamp(0, table.num_embeddings - 1), *args[1:])

    return _hooked([table.register_forward_pre_hook(shift) for table in tables])


def _silenced(tables: list[nn.Embedding]) -> Any:
    return _hooked([t.register_forward_hook(lambda m, a, output: output * 0) for t in tables])


@contextmanager
def _without_relative(modules: list[nn.Module]) -> Iterator[None]:
    having: list[Any] = [m for m in modules if getattr(m, "relative_attention", False) is True]
    attention = [m for m in having if hasattr(m, "pos_att_type")]
    for module in attention:
        module.relative_attention = False
    try:
        yield
    finally:
        for module in attention:
            module.relative_attention = True


def _masked(modules: list[nn.Module], change: Callable[[Tensor], Tensor]) -> Any:
    """The masks that reach modules, of four axes, changed."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, Tensor) and value.dim() == 4 else value

    def given(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return tuple(map(changed, args)), {name: changed(v) for name, v in kwargs.items()}

    return _hooked([m.register_forward_pre_hook(given, with_kwargs=True) for m in modules])


def _open(mask: Tensor) -> Tensor:
    """A mask that masks nothing: of texts without padding, one that has no window either."""
    return rewritten(mask, torch.ones_like(mask, dtype=torch.bool))


def _turned(mask: Tensor) -> Tensor:
    return rewritten(mask, ~allowed(mask))


class _Dropped(TorchFunctionMode):
    """A sum of two states inside a layer gives one of its addends."""

    def __init__(self, path: list[str], inside: re.Pattern[str], keep: int) -> None:
        super().__init__()
        self.path, self.inside, self.keep = path, inside, keep

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        states = [a for a in args[:2] if isinstance(a, Tensor) and a.dim() == 3]
        sums = name in ("add", "__add__", "__radd__") and len(states) == 2
        if sums and states[0].shape == states[1].shape and self.inside.search(self.path[-1]):
            return states[self.keep].clone()
        return func(*args, **(kwargs or {}))


@contextmanager
def _without_residual(model: nn.Module, layer: int | None, keep: int) -> Iterator[None]:
    number = r"\d+" if layer is None else str(layer)
    inside = re.compile(rf"(?:^|\.)(?:layers?|h|block)\.{number}(?:\.|$)")
    with followed(model) as path, _Dropped(path, inside, keep):
        yield
