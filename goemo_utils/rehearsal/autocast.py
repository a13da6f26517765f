"""``torch.autocast("npu")``: which operators run in the lower precision and which stay in float32.

The lists are those of torch's CUDA autocast for the operators a transformer meets, which torch_npu
follows.
"""

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor

from goemo_utils.rehearsal.dispatcher import DispatchKey, DispatchKeySet, Library

LOWER = [
    "linear",
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "addbmm",
    "mv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d.input",
    "conv_transpose3d.input",
    "_convolution",
    "scaled_dot_product_attention",
    "prelu",
    "einsum",
    "chain_matmul",
]
FLOAT32 = [
    "softmax.int",
    "log_softmax.int",
    "layer_norm",
    "native_layer_norm",
    "group_norm",
    "cross_entropy_loss",
    "nll_loss",
    "norm.Scalar",
    "norm.ScalarOpt_dim",
    "exp",
    "log",
    "log10",
    "log2",
    "log1p",
    "expm1",
    "pow.Tensor_Scalar",
    "pow.Tensor_Tensor",
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "kl_div",
    "binary_cross_entropy_with_logits",
    "cosine_similarity",
    "cosine_embedding_loss",
    "cumsum",
    "cumprod",
    "prod",
    "sum",
    "sum.dim_IntList",
    "rsqrt",
    "reciprocal",
    "softplus",
    "acos",
    "asin",
    "cosh",
    "sinh",
    "tan",
    "dist",
    "renorm",
    "erfinv",
]
_KEY = DispatchKeySet(DispatchKey.AutocastPrivateUse1)


def register() -> list[Library]:
    """Register the lists; everything else passes through. The libraries must be kept alive by the
    caller.
    """
    passing = Library("_", "IMPL")
    passing.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    library = Library("aten", "IMPL")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for names, dtype in ((LOWER, None), (FLOAT32, torch.float32)):
            for name in names:
                packet, _, overload = name.partition(".")
                operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
                library.impl(name, partial(_cast_and_call, operator, dtype), "AutocastPrivateUse1")

    return [passing, library]


def _cast_and_call(operator: Any, dtype: torch.dtype | None, *args: Any, **kwargs: Any) -> Any:
    wanted = dtype or torch.get_autocast_dtype("npu")

    def cast(value: Any) -> Any:
        if isinstance(value, Tensor):
            castable = (
                value.is_floating_point()
                and value.device.type == "npu"
                and value.dtype not in (wanted, torch.float64)
            )
            return value.to(wanted) if castable else value
        if isinstance(value, (list, tuple)):
            return [cast(item) for item in value]
        return value

    with torch._C._ExcludeDispatchKeyGuard(_KEY):
        return operator(
            *(cast(value) for value in args), **{key: cast(value) for key, value in kwargs.items()}
        )
