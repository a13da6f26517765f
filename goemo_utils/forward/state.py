"""What a forward changes in its model for the next one, and the hook that puts it back."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from goemo_utils.forward.inputs import PLAIN


def accepted(model: nn.Module) -> set[str] | None:
    """The names that the model's forward takes; None where it takes any."""
    parameters = inspect.signature(model.forward).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named if "input_ids" in named else None


@dataclass
class Fitting:
    """A forward pre-hook that gives a model only what its forward takes, and undoes what an earlier
    forward changed. It belongs to the model: a copy of the model has a copy of it.
    """

    refused: frozenset[str]
    restore: list[Switch] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module) -> Fitting:
        takes = accepted(model)
        return cls(frozenset(name for name in PLAIN if takes is not None and name not in takes))

    def __call__(
        self, model: nn.Module, args: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        for switch in self.restore:
            switch.back()
        return args, {name: value for name, value in kwargs.items() if name not in self.refused}


def hook_of(model: nn.Module) -> Fitting:
    """The hook of a model that was looked at."""
    return next(hook for hook in model._forward_pre_hooks.values() if isinstance(hook, Fitting))


@dataclass
class Switch:
    """One thing that a forward changes: an attribute or a child of a module, and what it was."""

    path: str
    module: nn.Module
    name: str
    value: Any
    child: bool

    def back(self) -> None:
        """Put it back as it was."""
        if self.child:
            self.module._modules[self.name] = self.value
        else:
            vars(self.module)[self.name] = self.value

    def elsewhere(self, model: nn.Module) -> Switch:
        """The same place in another copy of the model."""
        module = model.get_submodule(self.path)
        if module is self.module:
            return self
        value = module._modules[self.name] if self.child else self.value
        return Switch(self.path, module, self.name, value, self.child)


def _is_number(value: Any) -> bool:
    """Whether a value is a whole number, or a list of them."""
    numbers = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)


def _another(value: Any) -> Any:
    """A number, or a list of them, that is not the one given."""
    if isinstance(value, int):
        return 2 * value + 2
    return type(value)(2 * n + 2 for n in value)


class State:
    """What a model's modules hold beside weights: switches (texts, truth values) and children.

    Numbers and tensors that a forward leaves are caches, made anew when they do not fit; a switch
    or another child is another way of computing. So is a number that was open until the first
    forward and stays as that one's length made it (Reformer's ``num_buckets``).
    """

    def __init__(self, model: nn.Module) -> None:
        self._held = [
            (path, module, self._switches(module), dict(module._modules))
            for path, module in model.named_modules()
        ]
        self._open = [
            (path, module, [name for name, value in vars(module).items() if value is None])
            for path, module in model.named_modules()
        ]

    @staticmethod
    def _switches(module: nn.Module) -> dict[str, Any]:
        return {name: v for name, v in vars(module).items() if isinstance(v, str | bool)}

    def settled(self, forward: Callable[[], object]) -> list[Switch]:
        """What was open before, has a number now, and keeps any number that it has: a ``forward``
        is run with another one in its place, and what every forward sets anew is none.
        """
        numbers = [
            Switch(path, module, name, vars(module)[name], False)
            for path, module, opened in self._open
            for name in opened
            if _is_number(vars(module).get(name))
        ]
        for number in numbers:
            vars(number.module)[number.name] = _another(number.value)
        if numbers:
            with contextlib.suppress(Exception):  # a number that does not fit is kept, too
                forward()

        kept = [n for n in numbers if vars(n.module).get(n.name) != n.value]
        opened = [replace(number, value=None) for number in numbers]
        for number in opened:
            number.back()
        names = {(number.path, number.name) for number in kept}
        return [number for number in opened if (number.path, number.name) in names]

    def switches(self) -> list[Switch]:
        """What has changed since, children first."""
        children: list[Switch] = []
        attributes: list[Switch] = []
        for path, module, held, modules in self._held:
            for name, child in modules.items():
                if module._modules.get(name) is not child:
                    children.append(Switch(path, module, name, child, True))
            for name, value in held.items():
                if vars(module).get(name) != value:
                    attributes.append(Switch(path, module, name, value, False))
        return children + attributes
