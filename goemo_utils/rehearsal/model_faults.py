"""Faults of the model on the device: a mask, positions, segments, a window, relative positions, a
residual, a neighbour in the batch, dropout or weights.

Each finds its thing in the attached model by what the modules are and take, not by the name of an
architecture, and is refused in a sentence where there is none. It acts on tensors of the device
only, so that a copy of the model on the CPU stays right.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import masks, retag
from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.residuals import Residuals
from goemo_utils.rehearsal.state import STATE, Disturbance
from goemo_utils.rehearsal.tracker import TRACKER, hits, resolve

Named = tuple[str, nn.Module]

_handles: list[Any] = []

_POSITIONS = re.compile(r"(?:^|\.)(?:position_embeddings?|embed_positions|wpe)$")
_SEGMENTS = re.compile(r"(?:^|\.)(?:token_type_embeddings|seg_embed)$")
_RELATIVE = re.compile(r"(?:^|\.)relative_attention_bias$")
_MASKS = ("attention_mask", "mask")


def attach(model: nn.Module, faults: Sequence[Fault]) -> None:
    """Set the faults that belong to ``model``, and let go of the model before.

    Raises:
        DeviceError: the model has no such thing, there or at all.
    """
    for handle in _handles:
        handle.remove()
    _handles.clear()
    STATE.observer = None
    for fault in faults:
        setter = SETTERS.get(fault.kind)
        if setter is not None:
            setter(model, fault)


def _disturb_too(operator: str, disturb: Disturbance) -> None:
    """Disturb ``operator`` beside what a fault of the operator itself does."""
    other = STATE.disturbances.get(operator)

    def both(result: Any, args: list[Any]) -> None:
        if other is not None:
            other(result, args)
        disturb(result, args)

    STATE.disturbances[operator] = both


def _scope(model: nn.Module, fault: Fault) -> Iterator[Named]:
    """Every module that ``fault`` may act in."""
    return ((name, module) for name, module in model.named_modules() if TRACKER.within(fault, name))


def _chosen(
    model: nn.Module, fault: Fault, thing: str, fits: Callable[[str, nn.Module], bool]
) -> list[nn.Module]:
    """The modules within reach of ``fault`` that are or hold its thing.

    Raises:
        DeviceError: there are none.
    """
    chosen = [module for name, module in _scope(model, fault) if fits(name, module)]
    if not chosen:
        where = f"{type(model).__name__} has no {thing}"
        place = f" in {fault.module}" if fault.module else ""
        raise DeviceError(
            f"The fault {fault.text!r} has nothing to act on: {where}{place}. Choose a fault of a"
            " thing that this model has (docs/rehearsal-faults.md)."
        )
    return chosen


def _on_device(value: Any) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.device.type == "npu"


def _main(output: Any) -> Tensor | None:
    """The tensor that a module gives back, of the tuple it may be in; None if not on the device."""
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return first if _on_device(first) else None


def _before(module: nn.Module, change: Callable[..., Any]) -> None:
    _handles.append(module.register_forward_pre_hook(change, with_kwargs=True))


def _after(module: nn.Module, change: Callable[..., Any], always: bool = False) -> None:
    _handles.append(module.register_forward_hook(change, always_call=always))


# --- attention masks


def _parameters(module: nn.Module) -> list[str]:
    return [*inspect.signature(type(module).forward).parameters][1:]


def _takes_mask(module: nn.Module) -> bool:
    taken = _parameters(module)
    return "hidden_states" in taken and any(name in taken for name in _MASKS)


def _is_attention(_name: str, module: nn.Module) -> bool:
    """Whether ``module`` takes a mask and hands it to no module inside it."""
    inner = (part for part in module.modules() if part is not module)
    return _takes_mask(module) and not any(_takes_mask(part) for part in inner)


def _set_mask(model: nn.Module, fault: Fault) -> None:
    thing = "attention that takes a mask of its own"
    for module in _chosen(model, fault, thing, _is_attention):
        _change_mask(module, fault)


def _set_window(model: nn.Module, fault: Fault) -> None:
    def local(name: str, module: nn.Module) -> bool:
        return _is_attention(name, module) and bool(getattr(module, "sliding_window", None))

    for module in _chosen(model, fault, "attention with a window", local):
        _change_mask(module, fault)


def _change_mask(module: nn.Module, fault: Fault) -> None:
    """Let ``module`` get another mask than the one it is given."""
    names = _parameters(module)
    name = next(name for name in _MASKS if name in names)
    place = names.index(name)

    def change(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        given = kwargs.get(name, args[place] if place < len(args) else None)
        if not _on_device(given) or given.dim() != 4 or not TRACKER.is_time(fault, given):
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

    _before(module, change)


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


def _set_soft_mask(model: nn.Module, fault: Fault) -> None:
    """As ``_set_mask`` for masks that are added; those that are filled in are disturbed there."""
    _set_mask(model, fault)
    attention = {name for name, module in _scope(model, fault) if _is_attention(name, module)}

    def disturb(result: Any, _args: list[Any]) -> None:
        if TRACKER.path[-1] not in attention or not result.is_floating_point():
            return
        dropped = result < masks.DROPPED
        if bool(dropped.any()) and TRACKER.is_time(fault, result):
            hits[fault.text] += 1
            result.masked_fill_(dropped, fault.value)

    TRACKER.watch(model)
    for operator in _FILLING:
        _disturb_too(operator, disturb)


# --- embeddings


def _is_table(pattern: re.Pattern[str]) -> Callable[[str, nn.Module], bool]:
    return lambda name, module: isinstance(module, nn.Embedding) and bool(pattern.search(name))


def _set_position(model: nn.Module, fault: Fault) -> None:
    thing = "table of positions (its positions are relative or rotary)"
    for table in _chosen(model, fault, thing, _is_table(_POSITIONS)):
        _before(table, _shift(fault))


def _shift(fault: Fault) -> Callable[..., Any]:
    def shift(table: Any, args: Any, kwargs: Any) -> Any:
        if not args or not _on_device(args[0]) or not TRACKER.is_time(fault):
            return None
        hits[fault.text] += 1
        places = retag.host(args[0]) + int(fault.value)
        places = places.clamp_(0, table.num_embeddings - 1)
        return (retag.device(places, args[0].device.index), *args[1:]), kwargs

    return shift


def _set_zero(thing: str, pattern: re.Pattern[str]) -> Callable[[nn.Module, Fault], None]:
    """Tables named by ``pattern`` give zeros."""

    def set_fault(model: nn.Module, fault: Fault) -> None:
        for table in _chosen(model, fault, thing, _is_table(pattern)):
            _after(table, lambda _module, _args, output: _silence(output, fault))

    return set_fault


def _silence(output: Any, fault: Fault) -> None:
    main = _main(output)
    if main is not None and TRACKER.is_time(fault, main):
        hits[fault.text] += 1
        retag.host(main).zero_()


def _set_relative(model: nn.Module, fault: Fault) -> None:
    """Leave relative positions out: a table of biases gives zeros, and attention that can do
    without (DeBERTa's ``relative_attention``) does.
    """
    is_table = _is_table(_RELATIVE)

    def can_do_without(module: nn.Module) -> bool:
        return getattr(module, "relative_attention", False) is True and _takes_mask(module)

    def fits(name: str, module: nn.Module) -> bool:
        return is_table(name, module) or (can_do_without(module) and _is_attention(name, module))

    for module in _chosen(model, fault, "bias of relative positions", fits):
        if isinstance(module, nn.Embedding):
            _after(module, lambda _module, _args, output: _silence(output, fault))
        else:
            _without_relative(module, fault)


def _without_relative(attention: Any, fault: Fault) -> None:
    def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        first = args[0] if args else kwargs.get("hidden_states")
        if _on_device(first) and TRACKER.is_time(fault, first):
            hits[fault.text] += 1
            attention.relative_attention = False

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        attention.relative_attention = True

    _before(attention, enter)
    _after(attention, leave, always=True)


# --- residuals, neighbours, dropout


def _set_residual(model: nn.Module, fault: Fault) -> None:
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
        _disturb_too(name, residuals.disturb)


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


def _set_neighbour(model: nn.Module, fault: Fault) -> None:
    target = TRACKER.targets.get(fault.module or "")
    first = _layers(model)[:1]
    paths = [target] if target is not None else first

    def leak(_module: nn.Module, _args: Any, output: Any) -> None:
        main = _main(output)
        if main is None or main.dim() < 2 or main.shape[0] < 2:
            return
        if TRACKER.is_time(fault, main):
            hits[fault.text] += 1
            rows = retag.host(main)
            rows.add_(rows.roll(1, 0), alpha=fault.value)

    for module in _chosen(model, fault, "list of layers", lambda name, _module: name in paths):
        _after(module, leak)


def _set_dropout(model: nn.Module, fault: Fault) -> None:
    drops = _chosen(model, fault, "dropout", lambda _name, module: isinstance(module, nn.Dropout))
    rates = {drop: fault.value or _rate(drop) for drop in drops}
    if not any(rates.values()):
        raise DeviceError(
            f"The fault {fault.text!r} would change nothing: every rate of dropout in"
            f" {type(model).__name__} is 0. Give one, such as dropout:on=0.1."
        )
    top = model.get_submodule(TRACKER.targets[fault.module]) if fault.module else model
    before: list[tuple[Any, bool, float | None]] = []

    def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        given = next((v for v in (*args, *kwargs.values()) if _on_device(v)), None)
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

    _before(top, enter)
    _after(top, leave, always=True)


def _rate(drop: Any) -> float:
    return float(drop.p)


def _set_rate(drop: Any, rate: float) -> None:
    drop.p = rate


# --- weights


def _set_weights(model: nn.Module, fault: Fault) -> None:
    name = _name_of_weights(model, fault)
    row, shape = int(fault.value), _tensors(model)[name].shape
    if row >= (shape[0] if shape else 0):
        raise DeviceError(
            f"The fault {fault.text!r} names row {row}, but {name} has {shape[0] if shape else 0}"
            " rows, numbered from 0."
        )
    spoilt: list[int] = []

    def spoil(*_hook: Any) -> None:
        """At once if the weights are on the device, else before the first forward there."""
        weights = _tensors(model)[name]
        if weights.device.type != "npu" or weights.data_ptr() in spoilt:
            return
        spoilt.append(weights.data_ptr())
        hits[fault.text] += 1
        values = retag.host(weights)[row]
        if fault.kind == "weights:nan":
            values.view(-1)[0] = math.nan
        else:
            values.zero_()

    spoil()
    _handles.append(model.register_forward_pre_hook(spoil))


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each under every name it has."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _name_of_weights(model: nn.Module, fault: Fault) -> str:
    """The parameter or buffer that ``fault`` means; the word embeddings without a name."""
    tensors = _tensors(model)
    if fault.module:
        return resolve(fault, list(tensors), "parameter")
    embeddings = getattr(model, "get_input_embeddings", lambda: None)()
    words = getattr(embeddings, "weight", None)
    names = [name for name, tensor in tensors.items() if tensor is words]
    if not names:
        raise DeviceError(
            f"The fault {fault.text!r} means the word embeddings, which {type(model).__name__}"
            " does not name; write weights@PARAMETER."
        )
    return names[0]


SETTERS: dict[str, Callable[[nn.Module, Fault], None]] = {
    "mask:drop": _set_mask,
    "mask:invert": _set_mask,
    "mask:beyond": _set_mask,
    "mask:soft": _set_soft_mask,
    "position:shift": _set_position,
    "segment:drop": _set_zero("embedding of segments", _SEGMENTS),
    "window:ignore": _set_window,
    "relative_bias:drop": _set_relative,
    "residual:drop": _set_residual,
    "neighbour:leak": _set_neighbour,
    "dropout:on": _set_dropout,
    "weights:row": _set_weights,
    "weights:nan": _set_weights,
}
"""How each kind is set in a model."""
