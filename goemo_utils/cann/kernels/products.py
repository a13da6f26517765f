"""Matrix products and convolutions: what the cube unit computes, in the precision that torch_npu
asks for.

cubeMathType, by CANN's documentation of aclnnMatmul and aclnnConvolution: 0 keeps the dtype, 1
allows float32 to be computed with less precision (HF32 on the Ascend 910B), 2 uses float16, 3 uses
HF32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import compute, kernel, write
from goemo_utils.rehearsal.numerics import round_operand

aten = torch.ops.aten
CUBE: dict[int, str | None] = {0: None, 1: "hf32", 2: "fp16_matmul", 3: "hf32"}


def _operands(cube: int, *tensors: Tensor) -> list[Tensor]:
    """The operands as the cube unit sees them, in one dtype."""
    wide = tensors[0].dtype
    for tensor in tensors[1:]:
        wide = torch.promote_types(wide, tensor.dtype)
    return [round_operand(tensor.to(wide), CUBE[cube]) for tensor in tensors]


@kernel("Matmul", "Mm", "BatchMatMul", "Mv", aten="mm")
def _matmul(left: Tensor, right: Tensor, out: Tensor, cube: int) -> Tensor:
    left, right = _operands(cube, left, right)
    if left.dim() == 2 and right.dim() == 2:
        return write(out, compute(aten.mm.default, left, right))
    if left.dim() == 3 and right.dim() == 3 and left.shape[0] == right.shape[0]:
        return write(out, compute(aten.bmm.default, left, right))
    if left.dim() <= 2 and right.dim() <= 2:
        return write(out, left @ right)

    # broadcast the batches, then one batched product: [..., m, k] @ [..., k, n]
    if left.dim() == 1 or right.dim() == 1:
        return write(out, left @ right)
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = left.expand(*batch, *left.shape[-2:])
    right = right.expand(*batch, *right.shape[-2:])
    product = compute(
        aten.bmm.default,
        left.reshape(-1, *left.shape[-2:]),
        right.reshape(-1, *right.shape[-2:]),
    )
    return write(out, product.reshape(out.shape))


def _added(operator: Any, kwargs: dict[str, Any], x: Tensor, operands: list[Tensor]) -> Any:
    return compute(operator, x.to(operands[0].dtype), *operands, **kwargs)


@kernel("Addmm", aten="addmm")
def _addmm(
    x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, out: Tensor, cube: int
) -> Tensor:
    scales = {"beta": beta, "alpha": alpha}
    return write(out, _added(aten.addmm.default, scales, x, _operands(cube, left, right)))


@kernel("InplaceAddmm", aten="addmm")
def _addmm_(x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, cube: int) -> Any:
    return _addmm(x, left, right, beta, alpha, x, cube)


@kernel("Baddbmm", aten="baddbmm")
def _baddbmm(
    x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, out: Tensor, cube: int
) -> Tensor:
    scales = {"beta": beta, "alpha": alpha}
    return write(out, _added(aten.baddbmm.default, scales, x, _operands(cube, left, right)))


@kernel("Addbmm", aten="addbmm")
def _addbmm(
    x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, out: Tensor, cube: int
) -> Tensor:
    scales = {"beta": beta, "alpha": alpha}
    return write(out, _added(aten.addbmm.default, scales, x, _operands(cube, left, right)))


@kernel("Addmv", aten="addmv")
def _addmv(
    x: Tensor, matrix: Tensor, vector: Tensor, alpha: Any, beta: Any, out: Tensor, cube: int
) -> Tensor:
    scales = {"beta": beta, "alpha": alpha}
    return write(out, _added(aten.addmv.default, scales, x, _operands(cube, matrix, vector)))


@kernel("Addr", aten="addr")
def _addr(x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any, out: Tensor) -> Tensor:
    return write(out, torch.addr(x, left, right, beta=beta, alpha=alpha))


@kernel("InplaceAddr", aten="addr")
def _addr_(x: Tensor, left: Tensor, right: Tensor, beta: Any, alpha: Any) -> Any:
    return _addr(x, left, right, beta, alpha, x)


@kernel("Svd", aten="_linalg_svd")
def _svd(x: Tensor, full: bool, vectors: bool, s: Tensor, u: Tensor, v: Tensor) -> Tensor:
    left, values, right = torch.linalg.svd(x, full_matrices=full)
    if vectors:
        write(u, left)
        write(v, right.mH)
    return write(s, values)


@kernel("TriangularSolve", aten="triangular_solve")
def _triangular_solve(
    b: Tensor, a: Tensor, upper: bool, transpose: bool, unit: bool, out: Tensor, copy: Tensor
) -> Tensor:
    solved = torch.triangular_solve(b, a, upper, transpose, unit)
    if copy is not None and copy.numel() == solved[1].numel():
        write(copy, solved[1])
    return write(out, solved[0])


@kernel("Dot", aten="dot")
def _dot(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    return write(out, compute(aten.dot.default, left, right))


@kernel("Convolution", aten="convolution")
def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    out: Tensor,
    cube: int,
) -> Tensor:
    x, weight = _operands(cube, x, weight)
    result = compute(
        aten.convolution.default,
        x,
        weight,
        None if bias is None else bias.to(x.dtype),
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
    )

    return write(out, result)


@kernel("ConvDepthwise2d", aten="convolution")
def _depthwise(
    x: Tensor,
    weight: Tensor,
    size: list[int],
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    out: Tensor,
    cube: int,
) -> Any:
    groups = x.shape[-3]

    return _convolution(
        x, weight, bias, stride, padding, dilation, False, [0, 0], groups, out, cube
    )


@kernel("ConvolutionBackward", aten="convolution_backward")
def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    mask: list[bool],
    cube: int,
    grad_input: Tensor | None,
    grad_weight: Tensor | None,
    grad_bias: Tensor | None,
) -> Tensor | None:
    grad, x, weight = _operands(cube, grad, x, weight)
    results = compute(
        aten.convolution_backward.default,
        grad,
        x,
        weight,
        bias_sizes,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        mask,
    )
    outputs = (grad_input, grad_weight, grad_bias)

    for wanted, out, value in zip(mask, outputs, results, strict=True):
        if wanted and out is not None:
            write(out, value)

    return grad_input
