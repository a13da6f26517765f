"""The same bytes under another device label: how a CPU tensor becomes an ``npu`` tensor and back,
without a copy.

A DLPack capsule describes a tensor by pointer, device, shape and strides. Rewriting the device
field between export and import yields a genuine tensor on the other device that shares the memory.
The layout of the struct is DLPack's stable ABI: a pointer, then two 32-bit integers, the device
type and the device index.
"""

import ctypes

import torch
from torch import Tensor

from goemo_utils.rehearsal import memory
from goemo_utils.rehearsal.state import MARK

_DL_CPU = 1
_DL_EXTENSION = 12
_DEVICE_FIELD = 8
_NAME = b"dltensor"

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_field = ctypes.c_uint64.from_address
_export = torch._C._to_dlpack
_import = torch._C._from_dlpack


def host(tensor: Tensor) -> Tensor:
    """The CPU tensor that shares the memory of an ``npu`` tensor. Any shape and strides; never
    requires grad.

    Conjugation and negation that torch has put off are taken off the device tensor and put back on
    the CPU tensor.
    """
    if tensor.is_conj():
        return torch._conj(host(torch._conj(tensor)))
    if tensor.is_neg():
        return torch._neg_view(host(torch._neg_view(tensor)))
    capsule = _export(tensor.detach() if tensor.requires_grad else tensor)
    _field(_pointer(capsule, _NAME) + _DEVICE_FIELD).value = _DL_CPU
    return _import(capsule)


def device(tensor: Tensor, index: int) -> Tensor:
    """The ``npu:index`` tensor that takes over the memory of a fresh CPU tensor; its bytes are
    charged to that device.

    Raises:
        RuntimeError: the tensor is sparse, quantized or nested.
        torch.OutOfMemoryError: the device's memory limit would be exceeded.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise dense_only(
            tensor.layout if tensor.layout is not torch.strided else "quantized or nested"
        )
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()

    memory.charge(tensor.untyped_storage(), index)
    capsule = _export(tensor)
    _field(_pointer(capsule, _NAME) + _DEVICE_FIELD).value = _DL_EXTENSION | index << 32

    return _import(capsule)


def dense_only(kind: object) -> RuntimeError:
    """The error for anything but a plain dense tensor."""
    return RuntimeError(
        f"The rehearsal device holds dense tensors only, but this one is {kind}; compute it on the"
        f" CPU. {MARK}"
    )


def complex_refused(dtype: torch.dtype) -> RuntimeError:
    """The error for complex numbers sent to the device."""
    return RuntimeError(
        f"The rehearsal device takes no complex numbers, but a tensor of {dtype} was sent to it;"
        f" compute it on the CPU. {MARK}"
    )
