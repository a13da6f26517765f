"""Reductions, scans, sorting and searching."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import kernel, write

aten = torch.ops.aten


def _dims(x: Tensor, dims: list[int] | None) -> list[int]:
    """The axes of a reduction: none named means every one."""
    return list(dims) if dims else list(range(x.dim()))


def _pair(values: Any, out: Tensor, indices: Tensor) -> Tensor:
    write(indices, values[1])
    return write(out, values[0])


@kernel("ReduceSum", aten="sum")
def _sum(x: Tensor, dims: list[int] | None, keep: bool, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.sum(x, _dims(x, dims), keepdim=keep, dtype=dtype))


@kernel("ReduceNansum", aten="nansum")
def _nansum(
    x: Tensor, dims: list[int] | None, keep: bool, dtype: torch.dtype, out: Tensor
) -> Tensor:
    return write(out, torch.nansum(x, _dims(x, dims), keepdim=keep, dtype=dtype))


@kernel("Mean", aten="mean")
def _mean(x: Tensor, dims: list[int] | None, keep: bool, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.mean(x, _dims(x, dims), keepdim=keep, dtype=dtype))


@kernel("Prod", aten="prod")
def _prod(x: Tensor, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.prod(x, dtype=dtype))


@kernel("ProdDim", aten="prod")
def _prod_dim(x: Tensor, dim: int, keep: bool, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.prod(x, dim, keep, dtype=dtype))


@kernel("All", aten="all")
def _all(x: Tensor, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.all(x, dim=_dims(x, dims), keepdim=keep) if x.dim() else x.bool())


@kernel("Any", aten="any")
def _any(x: Tensor, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.any(x, dim=_dims(x, dims), keepdim=keep) if x.dim() else x.bool())


@kernel("Amax", aten="amax")
def _amax(x: Tensor, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.amax(x, _dims(x, dims), keep))


@kernel("Amin", aten="amin")
def _amin(x: Tensor, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.amin(x, _dims(x, dims), keep))


@kernel("Aminmax", aten="aminmax")
def _aminmax(x: Tensor, dims: list[int] | None, keep: bool, low: Tensor, high: Tensor) -> Tensor:
    write(high, torch.amax(x, _dims(x, dims), keep))
    return write(low, torch.amin(x, _dims(x, dims), keep))


@kernel("AminmaxDim", aten="aminmax")
def _aminmax_dim(x: Tensor, dim: int, keep: bool, low: Tensor, high: Tensor) -> Any:
    return _aminmax(x, [dim], keep, low, high)


@kernel("AminmaxAll", aten="aminmax")
def _aminmax_all(x: Tensor, low: Tensor, high: Tensor) -> Any:
    return _aminmax(x, None, False, low, high)


@kernel("Max", aten="max")
def _max(x: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.max(x))


@kernel("Min", aten="min")
def _min(x: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.min(x))


@kernel("MaxDim", aten="max")
def _max_dim(x: Tensor, dim: int, keep: bool, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.max(x, dim, keepdim=keep), out, indices)


@kernel("MinDim", aten="min")
def _min_dim(x: Tensor, dim: int, keep: bool, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.min(x, dim, keepdim=keep), out, indices)


@kernel("ArgMax", aten="argmax")
def _argmax(x: Tensor, dim: int, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.argmax(x, dim, keepdim=keep))


@kernel("ArgMin", aten="argmin")
def _argmin(x: Tensor, dim: int, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.argmin(x, dim, keepdim=keep))


@kernel("Median", aten="median")
def _median(x: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.median(x))


@kernel("NanMedian", aten="nanmedian")
def _nanmedian(x: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.nanmedian(x))


@kernel("MedianDim", aten="median")
def _median_dim(x: Tensor, dim: int, keep: bool, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.median(x, dim, keepdim=keep), out, indices)


@kernel("NanMedianDim", aten="nanmedian")
def _nanmedian_dim(x: Tensor, dim: int, keep: bool, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.nanmedian(x, dim, keepdim=keep), out, indices)


@kernel("Kthvalue", aten="kthvalue")
def _kthvalue(x: Tensor, k: int, dim: int, keep: bool, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.kthvalue(x, k, dim, keepdim=keep), out, indices)


@kernel("Norm", aten="norm")
def _norm(x: Tensor, p: Any, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.linalg.vector_norm(x.to(out.dtype), p, _dims(x, dims), keep))


@kernel("LinalgVectorNorm", aten="linalg_vector_norm")
def _vector_norm(
    x: Tensor, p: Any, dims: list[int] | None, keep: bool, dtype: torch.dtype, out: Tensor
) -> Tensor:
    return write(out, torch.linalg.vector_norm(x.to(dtype), p, _dims(x, dims), keep))


@kernel("Std", aten="std")
def _std(x: Tensor, dims: list[int] | None, correction: int, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.std(x, _dims(x, dims), correction=correction, keepdim=keep))


@kernel("VarCorrection", aten="var")
def _var(x: Tensor, dims: list[int] | None, correction: int, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.var(x, _dims(x, dims), correction=correction, keepdim=keep))


@kernel("StdMeanCorrection", aten="std_mean")
def _std_mean(
    x: Tensor, dims: list[int] | None, correction: int, keep: bool, std: Tensor, mean: Tensor
) -> Tensor:
    values = torch.std_mean(x, _dims(x, dims), correction=correction, keepdim=keep)
    return _pair(values, std, mean)


@kernel("VarMean", aten="var_mean")
def _var_mean(
    x: Tensor, dims: list[int] | None, correction: int, keep: bool, var: Tensor, mean: Tensor
) -> Tensor:
    values = torch.var_mean(x, _dims(x, dims), correction=correction, keepdim=keep)
    return _pair(values, var, mean)


@kernel("LogSumExp", aten="logsumexp")
def _logsumexp(x: Tensor, dims: list[int] | None, keep: bool, out: Tensor) -> Tensor:
    return write(out, torch.logsumexp(x, _dims(x, dims), keepdim=keep))


@kernel("Cumsum", aten="cumsum")
def _cumsum(x: Tensor, dim: int, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.cumsum(x, dim, dtype=dtype))


@kernel("Cumprod", aten="cumprod")
def _cumprod(x: Tensor, dim: int, dtype: torch.dtype, out: Tensor) -> Tensor:
    return write(out, torch.cumprod(x, int(dim), dtype=dtype))


@kernel("Cummax", aten="cummax")
def _cummax(x: Tensor, dim: int, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.cummax(x, dim), out, indices)


@kernel("Cummin", aten="cummin")
def _cummin(x: Tensor, dim: int, out: Tensor, indices: Tensor) -> Tensor:
    return _pair(torch.cummin(x, dim), out, indices)


@kernel("Trace", aten="trace")
def _trace(x: Tensor, out: Tensor) -> Tensor:
    return write(out, torch.trace(x))


@kernel("Bincount", aten="bincount")
def _bincount(x: Tensor, weights: Tensor | None, least: int, out: Tensor) -> Tensor:
    return write(out, torch.bincount(x, weights, out.numel()))


@kernel("Histc", aten="histc")
def _histc(x: Tensor, bins: int, low: Any, high: Any, out: Tensor) -> Tensor:
    return write(out, torch.histc(x.float(), bins, low, high))


@kernel("Sort", aten="sort")
def _sort(
    x: Tensor, stable: bool, dim: int, descending: bool, out: Tensor, indices: Tensor
) -> Tensor:
    return _pair(torch.sort(x, stable=stable, dim=dim, descending=descending), out, indices)


@kernel("Topk", aten="topk")
def _topk(
    x: Tensor, k: int, dim: int, largest: bool, ordered: bool, out: Tensor, indices: Tensor
) -> Tensor:
    return _pair(torch.topk(x, k, dim, largest, ordered), out, indices)


@kernel("TopkV2", aten="topk")
def _topk_v2(*arguments: Any) -> Any:
    # V2 has one more number before the outputs
    return _topk(*arguments[:5], *arguments[6:])


@kernel("SearchSorted", "SearchSorteds", aten="searchsorted")
def _searchsorted(
    ordered: Tensor, x: Any, int32: bool, right: bool, sorter: Tensor | None, out: Tensor
) -> Tensor:
    return write(out, torch.searchsorted(ordered, x, right=right, sorter=sorter))


@kernel("LinalgCross", aten="linalg_cross")
def _cross(a: Tensor, b: Tensor, dim: int, out: Tensor) -> Tensor:
    return write(out, torch.linalg.cross(a, b, dim=dim))
