"""Attention that sees what it should not: masks, windows, relative positions."""

import inspect
import re
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.rehearsal import masks, retag
from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.sites import (
    after_forward,
    before_forward,
    chosen,
    disturb_too,
    on_device,
    scope,
)
from goemo_utils.rehearsal.tracker import TRACKER, hits
from goemo_utils.rehearsal.wrong_embeddings import is_table, silence

_RELATIVE = re.compile(r"(?:^|\.)relative_attention_bias$")
_MASKS = ("attention_mask", "mask")


def _parameters(module: nn.Module) -> list[str]:
    return [*inspect.signature(type(module).forward).parameters][1:]


def takes_mask(module: nn.Module) -> bool:
    """Whether ``module`` is given hidden states and a mask for them."""
    taken = _parameters(module)
    return "hidden_states" in taken and any(name in taken for name in _MASKS)


def is_attention(_name: str, module: nn.Module) -> bool:
    """Whether ``module`` takes a mask and hands it to no module inside it."""
    inner = (part for part in module.modules() if part is not module)
    return takes_mask(module) and not any(takes_mask(part) for part in inner)


def set_mask(model: nn.Module, fault: Fault) -> None:
    """Let attention get a mask that drops, inverts or forgets the padding."""
    thing = "attention that takes a mask of its own"
    for module in chosen(model, fault, thing, is_attention):
        _change_mask(module, fault)


def set_window(model: nn.Module, fault: Fault) -> None:
    """Let attention with a window see every token of the text."""

    def local(name: str, module: nn.Module) -> bool:
        return is_attention(name, module) and bool(getattr(module, "sliding_window", None))

    for module in chosen(model, fault, "attention with a window", local):
        _change_mask(module, fault)


def _change_mask(module: nn.Module, fault: Fault) -> None:
    """Let ``module`` get another mask than the one it is given."""
    names = _parameters(module)
    name = next(name for name in _MASKS if name in names)
    place = names.index(name)

    def change(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        given = kwargs.get(name, args[place] if place < len(args) else None)
        if not on_device(given) or given.dim() != 4 or not TRACKER.is_time(fault, given):
            return None
        mask = retag.host(given)
        changed = _wrong_mask(mask, fault)
        if changed is None:
            return None
        hits[fault.text] += 1
        replaced = retag.device(changed, given.device.index)
        if name in kwargs:
            return args, {**kwargs, name: replaced}
        return (*args[:place], replaced, *args[place + 1 :]), kwargs

    before_forward(module, change)


def _wrong_mask(mask: Tensor, fault: Fault) -> Tensor | None:
    """The mask under ``fault``; None where nothing changes."""
    seen = masks.allowed(mask)
    if fault.kind != "mask:soft":
        wrong = masks.wrong(seen, fault)
        return None if torch.equal(wrong, seen) else masks.rewritten(mask, wrong)
    if bool(seen.all()) or not mask.is_floating_point():
        return None
    return masks.soft(mask, fault.value)


_FILLING = ("aten::masked_fill", "aten::masked_fill_", "aten::where")
"""How scores are masked where the mask is a truth value: by DeBERTa's attention, and by torch's own
``scaled_dot_product_attention``.
"""


def set_soft_mask(model: nn.Module, fault: Fault) -> None:
    """As ``set_mask`` for masks that are added; those that are filled in are disturbed there."""
    set_mask(model, fault)
    attention = {name for name, module in scope(model, fault) if is_attention(name, module)}

    def disturb(result: Any, _args: list[Any]) -> None:
        if TRACKER.path[-1] not in attention or not result.is_floating_point():
            return
        dropped = result < masks.DROPPED
        if bool(dropped.any()) and TRACKER.is_time(fault, result):
            hits[fault.text] += 1
            result.masked_fill_(dropped, fault.value)

    TRACKER.watch(model)
    for operator in _FILLING:
        disturb_too(operator, disturb)


def set_relative(model: nn.Module, fault: Fault) -> None:
    """Leave relative positions out: a table of biases gives zeros, and attention that can do
    without (DeBERTa's ``relative_attention``) does.
    """
    of_biases = is_table(_RELATIVE)

    def can_do_without(module: nn.Module) -> bool:
        return getattr(module, "relative_attention", False) is True and takes_mask(module)

    def fits(name: str, module: nn.Module) -> bool:
        return of_biases(name, module) or (can_do_without(module) and is_attention(name, module))

    for module in chosen(model, fault, "bias of relative positions", fits):
        if isinstance(module, nn.Embedding):
            after_forward(module, lambda _module, _args, output: silence(output, fault))
        else:
            _without_relative(module, fault)


def _without_relative(attention: Any, fault: Fault) -> None:
    def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        first = args[0] if args else kwargs.get("hidden_states")
        if on_device(first) and TRACKER.is_time(fault, first):
            hits[fault.text] += 1
            attention.relative_attention = False

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        attention.relative_attention = True

    before_forward(attention, enter)
    after_forward(attention, leave, always=True)
