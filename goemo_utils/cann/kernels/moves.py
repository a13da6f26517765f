"""Operators that copy, make, join, repeat or pad values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import Kernel, kernel, put, write

aten = torch.ops.aten

# ---- copies and constants ----


@kernel("InplaceCopy", aten="copy_")
def _copy(x: Tensor, source: Tensor) -> Tensor:
    return write(x, source)


@kernel("NpuFormatCast")
def _format_cast(source: Tensor, out: Tensor) -> Tensor:
    return write(out, source)


@kernel("Cast", aten="_to_copy")
def _cast(x: Tensor, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, x)


@kernel("InplaceZero", aten="zero_")
def _zero(x: Tensor) -> Tensor:
    return x.zero_()


@kernel("InplaceOne", aten="fill_")
def _one(x: Tensor) -> Tensor:
    return x.fill_(1)


@kernel("InplaceFillScalar", "InplaceFillTensor", aten="fill_")
def _fill(x: Tensor, value: Any) -> Tensor:
    return x.fill_(value.reshape(()) if isinstance(value, Tensor) else value)


@kernel("InplaceFillDiagonal", aten="fill_diagonal_")
def _fill_diagonal(x: Tensor, value: Any, wrap: bool) -> Tensor:
    return x.fill_diagonal_(value, wrap)


@kernel("Arange", aten="arange")
def _arange(start: Any, end: Any, step: Any, out: Tensor) -> Tensor:
    return write(out, torch.arange(start, end, step, dtype=out.dtype))


@kernel("Range", aten="range")
def _range(start: Any, end: Any, step: Any, out: Tensor) -> Tensor:
    return write(out, start + step * torch.arange(out.numel()))


@kernel("Linspace", aten="linspace")
def _linspace(start: Any, end: Any, steps: int, out: Tensor) -> Tensor:
    return write(out, torch.linspace(start, end, steps, dtype=out.dtype))


@kernel("LogSpace", aten="logspace")
def _logspace(start: Any, end: Any, steps: int, base: float, out: Tensor) -> Tensor:
    return write(out, torch.logspace(start, end, steps, base, dtype=out.dtype))


@kernel("Eye", aten="eye")
def _eye(rows: int, columns: int, out: Tensor) -> Tensor:
    return write(out, torch.eye(rows, columns, dtype=out.dtype))


@kernel("Tril", aten="tril")
def _tril(x: Tensor, diagonal: int, out: Tensor) -> Tensor:
    return write(out, torch.tril(x, diagonal))


@kernel("Triu", aten="triu")
def _triu(x: Tensor, diagonal: int, out: Tensor) -> Tensor:
    return write(out, torch.triu(x, diagonal))


@kernel("InplaceTril", aten="tril")
def _tril_(x: Tensor, diagonal: int) -> Tensor:
    return write(x, torch.tril(x, diagonal))


@kernel("InplaceTriu", aten="triu")
def _triu_(x: Tensor, diagonal: int) -> Tensor:
    return write(x, torch.triu(x, diagonal))


# ---- joining, splitting, repeating ----


@kernel("Cat", aten="cat")
def _cat(tensors: list[Tensor], dim: int, out: Tensor) -> Tensor:
    return write(out, torch.cat([tensor.to(out.dtype) for tensor in tensors], dim))


@kernel("Stack", aten="stack")
def _stack(tensors: list[Tensor], dim: int, out: Tensor) -> Tensor:
    return write(out, torch.stack([tensor.to(out.dtype) for tensor in tensors], dim))


@kernel("SplitWithSize", aten="split_with_sizes")
def _split(x: Tensor, sizes: list[int], dim: int, outputs: list[Tensor]) -> Tensor:
    for out, part in zip(outputs, torch.split(x, sizes, dim), strict=True):
        write(out, part)
    return outputs[0]


@kernel("Flip", aten="flip")
def _flip(x: Tensor, dims: list[int], out: Tensor) -> Tensor:
    return write(out, torch.flip(x, dims))


@kernel("Roll", aten="roll")
def _roll(x: Tensor, shifts: list[int], dims: list[int] | None, out: Tensor) -> Tensor:
    return write(out, torch.roll(x, shifts, dims or []))


@kernel("Repeat", aten="repeat")
def _repeat(x: Tensor, repeats: list[int], out: Tensor) -> Tensor:
    return write(out, x.repeat(repeats))


@kernel("RepeatInterleaveInt", "RepeatInterleave", aten="repeat_interleave")
def _interleave(x: Tensor, repeats: Any, size: int, out: Tensor) -> Tensor:
    return write(out, torch.repeat_interleave(x, repeats).reshape(out.shape))


@kernel("RepeatInterleaveIntWithDim", "RepeatInterleaveWithDim", aten="repeat_interleave")
def _interleave_dim(x: Tensor, repeats: Any, dim: int, size: int, out: Tensor) -> Tensor:
    return write(out, torch.repeat_interleave(x, repeats, dim))


@kernel("RepeatInterleaveTensor", aten="repeat_interleave")
def _interleave_counts(repeats: Tensor, size: int, out: Tensor) -> Tensor:
    return write(out, torch.repeat_interleave(repeats))


@kernel("StridedSlice", aten="slice")
def _strided_slice(
    x: Tensor,
    begin: list[int],
    end: list[int],
    strides: list[int],
    begin_mask: int,
    end_mask: int,
    ellipsis: int,
    new_axis: int,
    shrink: int,
    out: Tensor,
) -> Tensor:
    parts = tuple(slice(*part) for part in zip(begin, end, strides, strict=True))
    return write(out, x[parts])


@kernel("ConstantPadNd", aten="constant_pad_nd")
def _pad(x: Tensor, pad: list[int], value: Any, out: Tensor) -> Tensor:
    return write(out, aten.constant_pad_nd(x, pad, value))


def _padded(operator: Any) -> Kernel:
    return lambda x, padding, out: write(out, operator(x, padding))


def _padded_backward(operator: Any) -> Kernel:
    return lambda grad, x, padding, out: write(out, operator(grad, x, padding))


for _kind in ("Reflection", "Replication"):
    for _rank in (1, 2, 3):
        _name = f"{_kind.lower()}_pad{_rank}d"
        put(f"{_kind}Pad{_rank}d", _padded(getattr(aten, _name)), _name)
        _back = getattr(aten, f"{_name}_backward")
        put(f"{_kind}Pad{_rank}dBackward", _padded_backward(_back), f"{_name}_backward")
