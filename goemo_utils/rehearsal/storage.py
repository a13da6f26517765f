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
_PINNED = "_goemo_pinned"


def _allocate(size: int, where: torch.device | None) -> torch.UntypedStorage:
    return device(torch.empty(size, dtype=torch.uint8), ordinal(where)).untyped_storage()


def _transfer(source: Any, where: torch.device | None, non_blocking: bool) -> Any:
    index = ordinal(where)
    if source.device.type == "npu" and source.device.index == index:
        return source
    return _allocate(source.nbytes(), torch.device("npu", index)).copy_(source, non_blocking)


def _index(device: Any) -> torch.device | None:
    """The device meant by None, an int, a name or a ``torch.device``."""
    if isinstance(device, int):
        return torch.device("npu", device)
    return None if device is None else torch.device(device)


def patch() -> None:
    """Lead ``clone``, ``npu`` and ``to`` of storages, and pinning of tensors, around the missing
    allocator.
    """
    storage: Any = _StorageBase
    tensor: Any = torch.Tensor
    plain_clone, plain_to, plain_pin = storage.clone, storage.to, tensor.pin_memory

    def clone(self: Any) -> Any:
        if self.device.type != "npu":
            return plain_clone(self)
        return _allocate(self.nbytes(), self.device).copy_(self, False)

    def npu(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
        return _transfer(self, _index(device), non_blocking)

    def to(self: Any, *, device: Any, non_blocking: bool = False) -> Any:
        where = torch.device(device)
        if where.type != "npu":
            return plain_to(self, device=where, non_blocking=non_blocking)
        return _transfer(self, where, non_blocking)

    def pin_memory(self: Any, device: Any = None) -> torch.Tensor:
        """Host memory is the device's memory: a pinned tensor is a copy that remembers that it was
        asked for.
        """
        if self.device.type != "cpu":
            pinned: torch.Tensor = plain_pin(self)
            return pinned
        copied: torch.Tensor = self.clone()
        setattr(copied, _PINNED, True)
        return copied

    def is_pinned(self: torch.Tensor, device: Any = None) -> bool:
        return hasattr(self, _PINNED)

    storage.clone, storage.to, storage.npu = clone, to, npu
    storage.is_npu = property(lambda self: self.device.type == "npu")
    tensor.pin_memory, tensor.is_pinned = pin_memory, is_pinned


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
