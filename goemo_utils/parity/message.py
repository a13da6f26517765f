"""What the two processes of an analysis say to each other, in bytes: a line of JSON, and tensors as
their bytes behind it. Nothing is pickled, and only what KINDS names is made of what is read.
"""

from __future__ import annotations

import builtins
import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from goemo_utils import errors
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.exercise import Batch, Exercise, Text
from goemo_utils.parity.forms import Form
from goemo_utils.parity.invariance import Answers
from goemo_utils.parity.row import Row, Shape

KINDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (Answers, Batch, Claim, Exercise, Form, Row, Shape, Text)
}
HEAD = struct.Struct("<Q")
"""The length of the JSON, before it."""


def written(value: Any) -> bytes:
    """``value`` in bytes: numbers, texts, lists, tuples, mappings, tensors, errors and KINDS within
    each other. Raises TypeError for anything else.
    """
    tensors: list[Tensor] = []
    tree = _tree(value, tensors)
    parts = [_bytes(tensor) for tensor in tensors]
    forms = [[str(t.dtype).removeprefix("torch."), list(t.shape)] for t in tensors]
    head = json.dumps([tree, forms, [len(part) for part in parts]]).encode()
    return b"".join([HEAD.pack(len(head)), head, *parts])


def read(message: bytes) -> Any:
    """The value of a message: equal to the one that was written, its tensors on the CPU."""
    start = HEAD.size + HEAD.unpack_from(message)[0]
    tree, forms, lengths = json.loads(message[HEAD.size : start])
    tensors = []
    for (dtype, shape), length in zip(forms, lengths, strict=True):
        values = bytearray(memoryview(message)[start : start + length])
        tensors.append(_tensor(values, getattr(torch, dtype), shape))
        start += length
    return _value(tree, tensors)


def _tree(value: Any, tensors: list[Tensor]) -> Any:
    """``value`` as JSON has it; an object has one key, what it stands for."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        tensors.append(value.detach())
        return {"tensor": len(tensors) - 1}
    if isinstance(value, list | tuple):
        inside = [_tree(one, tensors) for one in value]
        return inside if isinstance(value, list) else {"tuple": inside}
    if isinstance(value, Mapping):
        return {"dict": [[_tree(k, tensors), _tree(v, tensors)] for k, v in value.items()]}
    if isinstance(value, Exception):
        return {"error": [type(value).__name__, str(value)]}
    if is_dataclass(value) and KINDS.get(type(value).__name__) is type(value):
        held = [_tree(getattr(value, field.name), tensors) for field in fields(value)]
        return {type(value).__name__: held}
    raise TypeError(f"{type(value).__name__} cannot be said to another process")


def _value(tree: Any, tensors: list[Tensor]) -> Any:
    """What ``_tree`` was given."""
    if isinstance(tree, list):
        return [_value(one, tensors) for one in tree]
    if not isinstance(tree, dict):
        return tree
    [(kind, held)] = tree.items()
    if kind == "tensor":
        return tensors[held]
    inside = [_value(one, tensors) for one in held]
    if kind == "tuple":
        return tuple(inside)
    if kind == "dict":
        return {key: value for key, value in inside}  # keys may be tuples
    if kind == "error":
        return _error(*inside)
    return KINDS[kind](*inside)


def _error(name: str, words: str) -> Exception:
    """An error of goemo's or of Python's by its name; another one by its words."""
    for place in (errors, builtins):
        kind = getattr(place, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            with suppress(TypeError):  # one that is made of more than words
                return kind(words)
    return RuntimeError(f"{name}: {words}")


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _tensor(values: bytearray, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if not values:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(values, dtype=torch.uint8).view(dtype).reshape(shape)
