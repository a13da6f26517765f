"""A simulated Ascend NPU on ordinary memory: good enough to learn, test and break things on, never
evidence of a port.

``enable()`` gives this process a device called ``npu``. Every tensor on it is a genuine torch
tensor whose bytes lie in host memory and whose operators are computed by the CPU kernels, so in
``exact`` mode its answers are the CPU's answers. On request it computes with the arithmetic of an
accelerator (``numerics``) or misbehaves in a chosen place (``fault``).

Importing this package imports neither torch nor transformers: the names below load what they need
on first use. The user's guide is docs/rehearsal.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from goemo_utils.rehearsal.grammar import Fault, parse_fault
from goemo_utils.rehearsal.settings import NUMERICS, Numerics, parse_numerics
from goemo_utils.rehearsal.state import is_simulated

if TYPE_CHECKING:
    from goemo_utils.rehearsal.device import attach, enable, fault_hits

__all__ = [
    "NUMERICS",
    "Fault",
    "Numerics",
    "attach",
    "enable",
    "fault_hits",
    "is_simulated",
    "parse_fault",
    "parse_numerics",
]

_NEEDS_TORCH = {"attach", "enable", "fault_hits"}


def __getattr__(name: str) -> Any:
    """Load the part that needs torch on first use."""
    if name in _NEEDS_TORCH:
        return getattr(import_module("goemo_utils.rehearsal.device"), name)
    raise AttributeError(f"module 'goemo_utils.rehearsal' has no attribute {name!r}")
