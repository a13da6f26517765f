"""The operators that have no CPU kernel to borrow: allocation, copies between devices, resizing,
and casts.

``double()`` on the device yields float32 with torch_npu's own warning, because that is what the
real device does.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from goemo_utils.rehearsal import memory
from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.kernels import CPU, CPU_KEYS, ordinal
from goemo_utils.rehearsal.retag import complex_refused, dense_only, device, host
from goemo_utils.rehearsal.state import MARK, STATE

NO_DOUBLE = (
    "Warning: Device do not support double dtype now, dtype cast replace with float. (function"
    " operator())"
)


def empty(
    size: Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
    memory_format: torch.memory_format | None = None,
) -> Tensor:
    """``aten::empty.memory_format`` on the device named by ``device``."""
    _refuse_layout(layout)
    kept = memory_format or torch.contiguous_format
    try:
        made = torch.empty(size, dtype=dtype, device=CPU, memory_format=kept)
    except RuntimeError as error:
        raise memory.no_room(error, ordinal(device)) from None

    return _label(made, device)


def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
) -> Tensor:
    """``aten::empty_strided`` on the device named by ``device``."""
    _refuse_layout(layout)
    return _label(torch.empty_strided(size, stride, dtype=dtype, device=CPU), device)


def _label(made: Tensor, where: torch.device | None) -> Tensor:
    return device(made, ordinal(where))


def zeros(
    size: Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
) -> Tensor:
    """``aten::_efficientzerotensor``: real zeros, because torch's own keeps no memory that could
    change its label.
    """
    return _label(torch.zeros(size, dtype=dtype, device=CPU), device)


def _refuse_layout(layout: torch.layout | None) -> None:
    if layout not in (None, torch.strided):
        raise dense_only(layout)


def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    """``aten::_copy_from``: between host and device, and between devices."""
    if source.is_complex() and source.device.type != "npu":
        raise complex_refused(source.dtype)
    given = host(source) if source.device.type == "npu" else source
    taken = host(target) if target.device.type == "npu" else target
    KEPT.forget(target)
    taken.copy_(given)
    return target


def resize(
    self: Tensor, size: Sequence[int], *, memory_format: torch.memory_format | None = None
) -> Tensor:
    """``aten::resize_``: new memory when the old is too small, its bytes kept, as on the CPU."""
    if memory_format not in (None, torch.contiguous_format):
        raise RuntimeError(
            f"The rehearsal device resizes contiguous tensors only, but {memory_format} was asked"
            f" for. {MARK}"
        )

    needed = (math.prod(size) + self.storage_offset()) * self.element_size()
    storage = self.untyped_storage()
    if needed > storage.nbytes():
        grown = torch.empty(needed, dtype=torch.uint8)
        if storage.nbytes():
            whole = torch.empty(0, dtype=torch.uint8, device=self.device)
            whole = torch.ops.aten.set_.source_Storage_storage_offset.redispatch(
                CPU_KEYS, whole, storage, 0, [storage.nbytes()], [1]
            )
            grown[: storage.nbytes()].copy_(host(whole))
        storage = device(grown, self.device.index).untyped_storage()

    strides = [
        math.prod([max(extent, 1) for extent in size[axis + 1 :]]) for axis in range(len(size))
    ]
    set_storage = torch.ops.aten.set_.source_Storage_storage_offset
    resized: Tensor = set_storage.redispatch(
        CPU_KEYS, self, storage, self.storage_offset(), list(size), strides
    )

    return resized


def to_copy(self: Tensor, **options: Any) -> Tensor:
    """``aten::_to_copy``: as torch composes it, but float64 becomes float32 when the tensor already
    is on the device.
    """
    target = options.get("device")
    if (
        options.get("dtype") == torch.float64
        and self.device.type == "npu"
        and (target is None or target.type == "npu")
    ):
        options["dtype"] = torch.float32
        _warn_once(NO_DOUBLE)
    copied: Tensor = torch.ops.aten._to_copy.default.redispatch(CPU_KEYS, self, **options)
    return copied


def _warn_once(text: str) -> None:
    if text not in STATE.warned:
        STATE.warned.add(text)
        write_stderr(text)


def write_stderr(text: str) -> None:
    """Write one line to file descriptor 2, where torch_npu's C++ warnings go: Python's ``warnings``
    never see them.
    """
    os.write(2, f"[W compiler_depend.ts:51] {text} {MARK}\n".encode())


RESERVED = {
    "aten::empty.memory_format": empty,
    "aten::empty_strided": empty_strided,
    "aten::_copy_from": copy_from,
    "aten::_efficientzerotensor": zeros,
    "aten::resize_": resize,
    "aten::_to_copy": to_copy,
}
