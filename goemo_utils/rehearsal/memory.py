"""How many bytes live on each simulated device. Storages are followed by weak references, swept
when a count is asked for.

No callback runs when a storage dies: a destructor that enters Python can swallow a pending
exception.
"""

import re
from collections import Counter

import torch

from goemo_utils.rehearsal.dispatcher import Storage
from goemo_utils.rehearsal.state import DEFAULT_TOTAL, MARK, STATE

_NO_ROOM = re.compile(r"DefaultCPUAllocator: .*tried to allocate (\d+) bytes")
_living: dict[int, tuple[int, int]] = {}
_charged: Counter[int] = Counter()
_peak: Counter[int] = Counter()


def charge(storage: Storage, index: int) -> None:
    """Count a storage as memory of device ``index`` until it dies.

    Raises:
        torch.OutOfMemoryError: the memory limit would be exceeded.
    """
    size = storage.nbytes()
    if not size:
        return
    if _charged[index] + size > _peak[index]:
        living, limit = allocated(index), STATE.memory_limit
        if limit is not None and living + size > limit:
            raise torch.OutOfMemoryError(_out_of_memory(size, living, limit, index))
        _peak[index] = max(_peak[index], living + size)

    _charged[index] += size
    _living[storage._weak_ref()] = (size, index)


def allocated(index: int) -> int:
    """Bytes alive on device ``index`` now."""
    for reference in list(_living):
        if Storage._expired(reference):
            size, owner = _living.pop(reference)
            _charged[owner] -= size
            Storage._free_weak_ref(reference)
    return _charged[index]


def peak(index: int) -> int:
    """Most bytes that were alive on device ``index`` since ``reset_peak``."""
    return max(_peak[index], allocated(index))


def reset_peak(index: int) -> None:
    """Let the peak start again from what is alive now."""
    _peak[index] = allocated(index)


def total() -> int:
    """Bytes a device has: the limit if one is set, else what a 910B3 has."""
    return STATE.memory_limit or DEFAULT_TOTAL


def no_room(error: RuntimeError, index: int) -> RuntimeError:
    """What an allocation for device ``index`` raises: OutOfMemoryError where the host, in whose
    memory it lies, had no room; else the error itself.
    """
    match = _NO_ROOM.search(str(error))
    if match is None:
        return error
    return torch.OutOfMemoryError(_out_of_memory(int(match[1]), allocated(index), total(), index))


def _out_of_memory(size: int, living: int, limit: int, index: int) -> str:
    def mib(number: int) -> str:
        return f"{number / 2**20:.2f} MiB"

    return (
        f"NPU out of memory. Tried to allocate {mib(size)} (NPU {index}; {mib(limit)} total"
        f" capacity; {mib(living)} already allocated; {mib(living)} current active;"
        f" {mib(limit - living)} free; {mib(living)} reserved in total by PyTorch). Use a smaller"
        f" batch size, or raise the memory limit of the rehearsal device. {MARK}"
    )
