"""Faults of the model on the device: a mask, positions, segments, a window, relative positions, a
residual, a neighbour in the batch, dropout or weights.

Each finds its thing in the attached model by what the modules are and take, not by the name of an
architecture, and is refused in a sentence where there is none. It acts on tensors of the device
only, so that a copy of the model on the CPU stays right.
"""

from collections.abc import Callable, Sequence

from torch import nn

from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.sites import HANDLES
from goemo_utils.rehearsal.state import STATE
from goemo_utils.rehearsal.wrong_attention import set_mask, set_relative, set_soft_mask, set_window
from goemo_utils.rehearsal.wrong_embeddings import SEGMENTS, set_position, set_weights, set_zero
from goemo_utils.rehearsal.wrong_layers import set_dropout, set_neighbour, set_residual

SETTERS: dict[str, Callable[[nn.Module, Fault], None]] = {
    "mask:drop": set_mask,
    "mask:invert": set_mask,
    "mask:beyond": set_mask,
    "mask:soft": set_soft_mask,
    "position:shift": set_position,
    "segment:drop": set_zero("embedding of segments", SEGMENTS),
    "window:ignore": set_window,
    "relative_bias:drop": set_relative,
    "residual:drop": set_residual,
    "neighbour:leak": set_neighbour,
    "dropout:on": set_dropout,
    "weights:row": set_weights,
    "weights:nan": set_weights,
}
"""How each kind is set in a model."""


def attach(model: nn.Module, faults: Sequence[Fault]) -> None:
    """Set the faults that belong to ``model``, and let go of the model before.

    Raises:
        DeviceError: the model has no such thing, there or at all.
    """
    for handle in HANDLES:
        handle.remove()
    HANDLES.clear()
    STATE.observer = None
    for fault in faults:
        setter = SETTERS.get(fault.kind)
        if setter is not None:
            setter(model, fault)
