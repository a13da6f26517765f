"""The parts of torch that the rehearsal device rests on and that torch does not type, each named
once.
"""

from typing import Any

import torch

Library: Any = torch.library.Library
"""Registers kernels with the dispatcher; must be kept alive by its owner."""

DispatchKey: Any = torch._C.DispatchKey
"""Keys of the dispatcher, such as ``CPU`` and ``AutocastPrivateUse1``."""

DispatchKeySet: Any = torch._C.DispatchKeySet
"""Sets of those keys, which ``redispatch`` takes."""

Storage: Any = torch.UntypedStorage
"""Bytes behind a tensor, with the weak references by which their death is noticed."""


def npu() -> Any:
    """``torch.npu``, which exists once the device is registered."""
    return torch.npu  # type: ignore[attr-defined]  # put there at run time, by us or by torch_npu
