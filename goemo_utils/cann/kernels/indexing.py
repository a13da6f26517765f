"""Choosing and scattering values by index or mask."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import kernel, write

aten = torch.ops.aten


@kernel("SWhere", aten="where")
def _where(condition: Tensor, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.where(condition.bool(), a, b))


@kernel("InplaceMaskedFillScalar", "InplaceMaskedFillTensor", aten="masked_fill_")
def _masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    return x.masked_fill_(mask, value.reshape(()) if isinstance(value, Tensor) else value)


@kernel("InplaceMaskedScatter", aten="masked_scatter_")
def _masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    return x.masked_scatter_(mask, source)


@kernel("Gather", aten="gather")
def _gather(x: Tensor, dim: int, index: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.gather(x, dim, index.long()))


@kernel("Take", aten="take")
def _take(x: Tensor, index: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.take(x, index.long()))


@kernel("InplacePut", aten="put_")
def _put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool) -> Tensor:
    return x.put_(index.long(), source, accumulate)


@kernel("IndexSelect", aten="index_select")
def _index_select(x: Tensor, dim: int, index: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.index_select(x, dim, index.long()))


def _indices(indices: list[Tensor]) -> tuple[Any, ...]:
    """torch_npu hands over an empty tensor for an axis without an index."""
    empty = [index.dim() == 1 and index.numel() == 0 for index in indices]
    chosen = (
        index if index.dtype in (torch.bool, torch.uint8) else index.long() for index in indices
    )
    return tuple(slice(None) if no else index for no, index in zip(empty, chosen, strict=True))


@kernel("Index", aten="index")
def _index(x: Tensor, indices: list[Tensor], out: Tensor) -> Tensor:
    return write(out, x[_indices(indices)]) if out.numel() else out


@kernel("IndexPutImpl", aten="_index_put_impl_")
def _index_put(
    x: Tensor, indices: list[Tensor], values: Tensor, accumulate: bool, unsafe: bool
) -> Any:
    if not values.numel():
        return x
    places = _indices(indices)
    if accumulate:
        chosen = [None if isinstance(place, slice) else place for place in places]
        return aten._index_put_impl_(x, chosen, values, True, unsafe)
    x[places] = values
    return x


@kernel("IndexAdd", aten="index_add")
def _index_add(
    x: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Any, out: Tensor
) -> Tensor:
    return write(out, torch.index_add(x, dim, index.long(), source, alpha=alpha))


@kernel("IndexCopy", aten="index_copy")
def _index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.index_copy(x, dim, index.long(), source))


@kernel("InplaceIndexCopy", aten="index_copy")
def _index_copy_(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    return x.index_copy_(dim, index.long(), source)


@kernel("IndexFill", "IndexFillTensor", aten="index_fill")
def _index_fill(x: Tensor, dim: int, index: Any, value: Any, out: Tensor) -> Tensor:
    return write(out, torch.index_fill(x, dim, torch.as_tensor(index).long(), value))


@kernel("InplaceIndexFill", "InplaceIndexFillTensor", aten="index_fill")
def _index_fill_(x: Tensor, dim: int, index: Any, value: Any) -> Any:
    return _index_fill(x, dim, index, value, x)


@kernel("Nonzero", aten="nonzero")
def _nonzero(x: Tensor, out: Any) -> Any:
    return out.write(torch.nonzero(x))  # [values, dimensions]


@kernel("NonzeroV2", aten="nonzero")
def _nonzero_v2(x: Tensor, out: Any) -> Any:
    return out.write(torch.nonzero(x).T)  # [dimensions, values]: index takes a row of each


@kernel("MaskedSelect", aten="masked_select")
def _masked_select(x: Tensor, mask: Tensor, out: Any) -> Any:
    return out.write(torch.masked_select(x, mask.bool()))


@kernel("Unique", aten="_unique")
def _unique(x: Tensor, ordered: bool, inverse: bool, out: Any, places: Tensor) -> Any:
    values, where = torch.unique(x, return_inverse=True)
    if inverse:
        write(places, where)
    return out.write(values)


@kernel("Unique2", aten="_unique2")
def _unique2(
    x: Tensor,
    ordered: bool,
    inverse: bool,
    counts: bool,
    out: Any,
    places: Tensor,
    counted: Any,
) -> Any:
    values, where, numbers = torch.unique(x, return_inverse=True, return_counts=True)
    if inverse:
        write(places, where)
    if counts:
        counted.write(numbers)

    return out.write(values)


@kernel("UniqueConsecutive", aten="unique_consecutive")
def _unique_consecutive(
    x: Tensor,
    inverse: bool,
    counts: bool,
    dim: int,
    out: Any,
    places: Tensor,
    counted: Any,
) -> Any:
    axis = dim if -x.dim() <= dim < x.dim() else None
    values, where, numbers = torch.unique_consecutive(x, True, True, axis)
    if inverse:
        write(places, where)
    if counts:
        counted.write(numbers)

    return out.write(values)


REDUCTIONS = {0: "sum", 1: "prod", 2: "mean", 3: "amax", 4: "amin"}
"""Of aclnnScatterReduce."""


def _scattered(x: Tensor, dim: int, index: Tensor, source: Any, reduce: int) -> Tensor:
    """0 replaces, 1 adds, 2 multiplies: the reductions of aclnnScatter."""
    if reduce == 0:
        return torch.scatter(x, dim, index.long(), source)
    return torch.scatter(x, dim, index.long(), source, reduce={1: "add", 2: "multiply"}[reduce])


@kernel("Scatter", "ScatterValue", aten="scatter")
def _scatter(x: Tensor, dim: int, index: Tensor, source: Any, reduce: int, out: Tensor) -> Tensor:
    return write(out, _scattered(x, dim, index, source, reduce))


@kernel("InplaceScatter", "InplaceScatterValue", aten="scatter")
def _scatter_(x: Tensor, dim: int, index: Tensor, source: Any, reduce: int) -> Tensor:
    return write(x, _scattered(x, dim, index, source, reduce))


@kernel("ScatterAdd", aten="scatter_add")
def _scatter_add(x: Tensor, dim: int, index: Tensor, source: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.scatter_add(x, dim, index.long(), source))


@kernel("InplaceScatterReduce", aten="scatter_reduce")
def _scatter_reduce_(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: int, include: bool
) -> Tensor:
    kind = REDUCTIONS[reduce]
    return write(x, torch.scatter_reduce(x, dim, index.long(), source, kind, include_self=include))


@kernel("ScatterReduce", aten="scatter_reduce")
def _scatter_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: int, include: bool, out: Tensor
) -> Tensor:
    kind = REDUCTIONS[reduce]
    value = torch.scatter_reduce(x, dim, index.long(), source, kind, include_self=include)
    return write(out, value)
