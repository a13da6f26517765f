"""Storages on the device. The device has no allocator in C++, so Python paths that allocate a bare
storage are led around it.

Without this, ``deepcopy``, ``torch.save`` and ``torch.load`` would reach a null allocator and end
the process.
"""

import ctypes
import sys
from pathlib import Path
from typing import Any

import torch
from torch.storage import _StorageBase

from goemo_utils.rehearsal.kernels import ordinal
from goemo_utils.rehearsal.retag import device

_PRIVATE_USE_1 = 20
_CPU = 0


def _allocate(size: int, where: torch.device | None) -> torch.UntypedStorage:
    return device(torch.empty(size, dtype=torch.uint8), ordinal(where)).untyped_storage()


def _transfer(source: Any, where: torch.device | None, non_blocking: bool) -> Any:
    index = ordinal(where)
    if source.device.type == "npu" and source.device.index == index:
        return source
    return _allocate(source.nbytes(), torch.device("npu", index)).copy_(source, non_blocking)


def patch() -> None:
    """Lead ``clone``, ``npu`` and ``to`` of storages, and pinning of tensors, around the missing
    allocator.
    """
    plain_clone, plain_to = _StorageBase.clone, _StorageBase.to
    plain_pin = torch.Tensor.pin_memory

    def clone(self: Any) -> Any:
        return (
            _allocate(self.nbytes(), self.device).copy_(self, False)
            if self.device.type == "npu"
            else plain_clone(self)
        )

    def npu(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
        where = (
            torch.device("npu", device)
            if isinstance(device, int)
            else device and torch.device(device)
        )
        return _transfer(self, where, non_blocking)

    def to(self: Any, *, device: Any, non_blocking: bool = False) -> Any:
        where = torch.device(device)
        return (
            _transfer(self, where, non_blocking)
            if where.type == "npu"
            else plain_to(self, device=where, non_blocking=non_blocking)
        )

    def pin_memory(self: torch.Tensor, device: Any = None) -> torch.Tensor:
        """Host memory is the device's memory: a pinned tensor is a copy that remembers that it was
        asked for.
        """
        if self.device.type != "cpu":
            return plain_pin(self)
        pinned = self.clone()
        pinned._goemo_pinned = True
        return pinned

    def is_pinned(self: torch.Tensor, device: Any = None) -> bool:
        return getattr(self, "_goemo_pinned", False)

    _StorageBase.clone, _StorageBase.to, _StorageBase.npu = clone, to, npu
    _StorageBase.is_npu = property(lambda self: self.device.type == "npu")
    torch.Tensor.pin_memory, torch.Tensor.is_pinned = pin_memory, is_pinned


def borrow_allocator() -> None:
    """Let a path that was missed above get a CPU storage, which raises, instead of a null pointer,
    which kills.

    Linux and macOS only: it needs the mangled names of two functions of libc10.
    """
    if sys.platform == "win32":
        return
    library = next(Path(torch.__file__).parent.joinpath("lib").glob("libc10.*"), None)
    try:
        functions = ctypes.CDLL(str(library))
        get, put = (
            functions._ZN3c1012GetAllocatorERKNS_10DeviceTypeE,
            functions._ZN3c1012SetAllocatorENS_10DeviceTypeEPNS_9AllocatorEh,
        )
    except (OSError, AttributeError):
        return
    get.restype = ctypes.c_void_p
    put(
        ctypes.c_int8(_PRIVATE_USE_1),
        ctypes.c_void_p(get(ctypes.byref(ctypes.c_int8(_CPU)))),
        ctypes.c_uint8(0),
    )
