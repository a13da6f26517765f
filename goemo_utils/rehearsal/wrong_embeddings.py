"""Tables that are looked up wrongly or arrived wrong: positions, segments, weights."""

import math
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import retag
from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.sites import (
    HANDLES,
    after_forward,
    before_forward,
    chosen,
    main_output,
    on_device,
)
from goemo_utils.rehearsal.tracker import TRACKER, hits, resolve

_POSITIONS = re.compile(r"(?:^|\.)(?:position_embeddings?|embed_positions|wpe)$")
SEGMENTS = re.compile(r"(?:^|\.)(?:token_type_embeddings|seg_embed)$")


def is_table(pattern: re.Pattern[str]) -> Callable[[str, nn.Module], bool]:
    """Whether a module is an embedding whose path matches ``pattern``."""
    return lambda name, module: isinstance(module, nn.Embedding) and bool(pattern.search(name))


def set_position(model: nn.Module, fault: Fault) -> None:
    """Look every position up some rows further, within the table."""
    thing = "table of positions (its positions are relative or rotary)"
    for table in chosen(model, fault, thing, is_table(_POSITIONS)):
        before_forward(table, _shift(fault))


def _shift(fault: Fault) -> Callable[..., Any]:
    def shift(table: Any, args: Any, kwargs: Any) -> Any:
        if not args or not on_device(args[0]) or not TRACKER.is_time(fault):
            return None
        hits[fault.text] += 1
        places = retag.host(args[0]) + int(fault.value)
        places = places.clamp_(0, table.num_embeddings - 1)
        return (retag.device(places, args[0].device.index), *args[1:]), kwargs

    return shift


def set_zero(thing: str, pattern: re.Pattern[str]) -> Callable[[nn.Module, Fault], None]:
    """Tables named by ``pattern`` give zeros."""

    def set_fault(model: nn.Module, fault: Fault) -> None:
        for table in chosen(model, fault, thing, is_table(pattern)):
            after_forward(table, lambda _module, _args, output: silence(output, fault))

    return set_fault


def silence(output: Any, fault: Fault) -> None:
    """Set what a module gave back to zero, in place, if it is time for ``fault``."""
    main = main_output(output)
    if main is not None and TRACKER.is_time(fault, main):
        hits[fault.text] += 1
        retag.host(main).zero_()


def set_weights(model: nn.Module, fault: Fault) -> None:
    """Spoil one row of a parameter or buffer once it is on the device."""
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
        KEPT.forget(weights)
        values = retag.host(weights)[row]
        if fault.kind == "weights:nan":
            values.view(-1)[0] = math.nan
        else:
            values.zero_()

    spoil()
    HANDLES.append(model.register_forward_pre_hook(spoil))


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
