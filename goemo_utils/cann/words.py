"""A record of one operator call, as source/operators.c writes it: 64-bit words that become tensors
over device memory, numbers, lists.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.signatures import signatures

DTYPES: dict[int, torch.dtype] = {
    0: torch.float32,
    1: torch.float16,
    2: torch.int8,
    3: torch.int32,
    4: torch.uint8,
    6: torch.int16,
    7: torch.uint16,
    8: torch.uint32,
    9: torch.int64,
    10: torch.uint64,
    11: torch.float64,
    12: torch.bool,
    16: torch.complex64,
    17: torch.complex128,
    27: torch.bfloat16,
}
"""aclDataType, from acl/acl_base_rt.h."""

MOST_VIEWS = 4096
_VIEWS: dict[tuple[int, ...], Tensor] = {}
_CPU = torch.device("cpu")


class Words:
    """A reader of one record, front to back."""

    def __init__(self, words: list[int]) -> None:
        self._words = words
        self._at = 0

    def take(self) -> int:
        """The next word."""
        self._at += 1
        return self._words[self._at - 1]

    def many(self, count: int) -> list[int]:
        """The next ``count`` words."""
        self._at += count
        return self._words[self._at - count : self._at]

    def double(self) -> float:
        """The next word, read as a double."""
        value: float = struct.unpack("<d", struct.pack("<q", self.take()))[0]
        return value


@dataclass(frozen=True)
class Growing:
    """An output whose shape depends on the values, in memory that has room for the largest."""

    handle: int
    dtype: torch.dtype
    address: int

    def write(self, value: Tensor) -> Tensor:
        """Put ``value`` there, dense, and tell its shape to whoever asks for the view's shape."""
        shape = list(value.shape)
        ctypes.CDLL("libopapi.so").goemo_reshape(
            ctypes.c_void_p(self.handle), len(shape), (ctypes.c_int64 * len(shape))(*shape)
        )
        dense = torch.empty(shape, dtype=self.dtype, device="meta").stride()
        return view(self.dtype, shape, list(dense), 0, self.address).copy_(value)


def _tensor(words: Words) -> Tensor | None:
    if not words.take():
        return None
    dtype, rank, offset, address = words.many(4)
    numbers = words.many(2 * rank)

    # the allocator gives the same addresses again: half of a view's time is making it
    described = (dtype, rank, offset, address, *numbers)
    known = _VIEWS.get(described)
    if known is None:
        known = view(DTYPES[dtype], numbers[:rank], numbers[rank:], offset, address)
        if len(_VIEWS) == MOST_VIEWS:
            _VIEWS.clear()
        _VIEWS[described] = known
    return known


def view(
    dtype: torch.dtype, shape: list[int], strides: list[int], offset: int, address: int
) -> Tensor:
    """A tensor over device memory at ``address``; ``offset`` and ``strides`` count values."""
    if 0 in shape or not address:
        return torch.empty(shape, dtype=dtype)
    reach = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
    storage = torch._C._construct_storage_from_data_pointer(address, _CPU, reach * dtype.itemsize)
    viewed: Tensor = torch.empty(0, dtype=dtype).set_(storage, offset, shape, strides)
    return viewed


def _growing(words: Words) -> Growing:
    handle, _is_there = words.many(2)
    dtype, rank, _offset, address = words.many(4)
    words.many(2 * rank)
    return Growing(handle, DTYPES[dtype], address)


_SCALARS = {0: "<f", 2: "<b", 3: "<i", 4: "<B", 6: "<h", 9: "<q", 11: "<d", 12: "<?"}


def _scalar(words: Words) -> Any:
    if not words.take():
        return None
    dtype, *value = words.many(3)
    data = struct.pack("<qq", *value)
    if dtype in _SCALARS:
        return struct.unpack_from(_SCALARS[dtype], data)[0]
    kind = DTYPES[dtype]
    return torch.frombuffer(bytearray(data[: kind.itemsize]), dtype=kind)[0].item()


def _array(words: Words) -> list[int] | None:
    return words.many(words.take()) if words.take() else None


def _bools(words: Words) -> list[bool] | None:
    values = _array(words)
    return None if values is None else [bool(value) for value in values]


def _floats(words: Words) -> list[float] | None:
    return [words.double() for _ in range(words.take())] if words.take() else None


def _tensors(words: Words) -> list[Tensor | None] | None:
    return [_tensor(words) for _ in range(words.take())] if words.take() else None


def _scalars(words: Words) -> list[Any] | None:
    return [_scalar(words) for _ in range(words.take())] if words.take() else None


def _text(words: Words) -> str:
    return bytes(words.many(words.take())).decode("utf-8", "replace")


READERS: dict[str, Callable[[Words], Any]] = {
    "T": _tensor,
    "O": _growing,
    "S": _scalar,
    "I": _array,
    "B": _bools,
    "F": _floats,
    "L": _tensors,
    "C": _scalars,
    "s": _text,
    "d": Words.double,
    "f": Words.double,
    "b": lambda words: bool(words.take()),
    **dict.fromkeys("iuye", Words.take),
}


def arguments(name: str, words: list[int]) -> list[Any]:
    """The arguments of one call as the operator's kernel takes them."""
    reader = Words(words)
    readers, dtypes = _plan(name)
    values = [read(reader) for read in readers]
    for place in dtypes:
        values[place] = DTYPES[values[place]]
    return values


@cache
def _plan(name: str) -> tuple[list[Callable[[Words], Any]], list[int]]:
    """How each argument of an operator is read, and the places of those that name a dtype."""
    signature = signatures()[name]
    readers = [READERS[letter] for letter in signature.letters]
    named = ("dtype", "probDataType")
    return readers, [place for place, called in enumerate(signature.names) if called in named]
