"""Devices that an outsider brought, one case each: what the verdict once got wrong.

`python -m tests.parity.outsider --cases tests/parity/rows.py --limit 130 --out FILE`
"""

import sys
from collections.abc import Callable
from typing import Any

import torch

from tests.parity.devices import Case

R, F32, F16, BF16 = ("roberta",), ("float32",), ("float16",), ("bfloat16",)
EAGER = ("eager",)


def _row(kind: str, fault: str | None = None, *names: str, **more: Any) -> Case:
    one: dict[str, Any] = {"architectures": R, "dtypes": F32, "attention": EAGER} | more
    return Case(kind, fault, names=names or ("",), size=fault or kind, **one)


def _first_keys(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The mask counts for the first 64 keys alone."""
    result = compute(args, kwargs)
    if torch.is_tensor(result) and result.dim() == 4 and result.shape[-1] == result.shape[-2]:
        tail = result[..., 64:]
        tail[tail < -1e30] = 0.0
    return result


def _without_states(compute: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Logits x 1.05 where no hidden states are asked for."""
    result = compute(args, kwargs)
    frame = sys._getframe()
    while frame is not None:
        given = frame.f_locals.get("kwargs")
        if isinstance(given, dict) and "output_hidden_states" in given:
            if given["output_hidden_states"]:
                return result
            break
        frame = frame.f_back
    return result.mul_(1.05) if result.shape[-1] == 3 else result


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Rows of the second half add up in other blocks: float32 rounding, no more."""

    def blocks(x: torch.Tensor, n: int) -> torch.Tensor:
        starts = range(0, x.shape[-1], n)
        parts = [x[..., s : s + n] @ right[..., s : s + n, :] for s in starts]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    y, half = blocks(left, 48), left.shape[-2] // 2
    y[..., half:, :] = blocks(left[..., half:, :], 16)
    return y


ORDER = {
    "addmm": lambda compute, args, kwargs: args[0] + _product(args[1], args[2]),
    "mm": lambda compute, args, kwargs: _product(*args),
    "bmm": lambda compute, args, kwargs: _product(*args),
}

CASES = [
    _row("R far over its limit", "native_layer_norm:scale=1.05,only_beyond=34"),
    _row("reference rounds", "reference:bf16_matmul"),
    _row("reference rounds", "reference:tf32"),
    _row("gold rounds", "gold:float32"),
    _row("weights do not arrive", "weights:row=199", "weights"),
    _row("only without hidden states", operators={"addmm": _without_states}),
    _row("mask ignored beyond key 64", None, "mask", operators={"add": _first_keys}),
    _row("beyond 64 tokens", "native_layer_norm:scale=1.05,only_beyond=64", "gain"),
    _row("window ignored", "window:ignore", "window", architectures=("modernbert",)),
    _row("17 texts and more", "native_layer_norm:scale=1.01,only_batch>=17", "gain"),
    _row("2 to 6 texts", "native_layer_norm:scale=1.01,only_batch>=2,only_batch<=6", "gain"),
    _row("neighbour leaks in 17", "neighbour:leak=1e-2,only_batch>=17", "neighbour"),
    _row("rare events", "addmm:scale=1.05,once_in=50", "intermittent"),
    _row("rare events", "addmm:scale=1.05,once_in=20", "intermittent"),
    _row("rare events", "addmm:scale=1.05,once_in=7", "intermittent"),
    _row("steady gain", "native_layer_norm:scale=1.004", "gain", dtypes=BF16),
    _row("steady gain", "_softmax:scale=1.008", "gain", dtypes=BF16),
    _row("steady gain", "native_layer_norm:scale=1.001", "gain", dtypes=F16),
    _row("steady gain", "native_layer_norm:scale=1.002", "gain", dtypes=F16),
    _row("honest: one family", numerics="hf32_linear", honest=True, attention=("eager", "sdpa")),
    _row("honest: order by place", honest=True, operators=ORDER),
    _row("honest: order by place", numerics="row_order", honest=True),
    _row("honest: cuts off", numerics="truncating", honest=True),
    _row("honest: noise", numerics="ulp12", honest=True),
    _row("honest: noise", numerics="ulp32", honest=True),
    _row("honest: scores of -65504", "mask:soft=-65504", honest=True),
    _row("names", "weights:nan=17", "NaN weights"),
    _row("names", "mask:invert", "mask", attention=("eager", "sdpa")),
    _row("names", "dropout:on", "dropout"),
    _row("names", "mask:drop", "mask", attention=("eager", "sdpa")),
    _row("names", "mask:soft=-10", "mask", attention=("eager", "sdpa")),
    _row("names", "position:shift=1", "position"),
    _row("names", "relative_bias:drop", "relative bias", architectures=("mpnet", "deberta-v2")),
    _row("names", "segment:drop", "segment", architectures=("bert",)),
    _row("names", "residual:drop", "residual", architectures=("roberta", "modernbert")),
    _row("names", "neighbour:leak=1e-3", "neighbour"),
]
