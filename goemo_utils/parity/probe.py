"""What a device does to matrix operands, in what it accumulates, and which GELU it has: read
exactly, without any model.

``X @ I`` returns every left operand as the matrix unit rounded it, ``I @ X`` every right one. Takes
milliseconds.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d, gelu, scaled_dot_product_attention
from torch.utils._python_dispatch import _disable_current_modes

from goemo_utils.parity.emulate import rounding
from goemo_utils.rehearsal.numerics import ROUNDING, round_mantissa

SIZE = 128
SMALL = 2.0**-10
"""Well above the least normal number of float16, 2^-14."""
RANGE = {"tf32": "fp16_matmul", "fp16_matmul": "tf32"}
"""Two roundings that agree inside the range of float16; only large and tiny values tell them apart.
"""


def operands(seed: int = 0) -> Tensor:
    """A float32 matrix over twelve binades; half of its rows are exact ties at 6 to 21 bits, where
    rounding rules differ.
    """
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(SIZE, SIZE, generator=g) * torch.exp2(
        torch.randint(-6, 7, (SIZE, SIZE), generator=g).float()
    )
    for place, bits in enumerate(range(6, 22)):
        rows = slice(4 * place, 4 * place + 4)
        x[rows] = round_mantissa(x[rows], bits + 1, "trunc")
    return x


def name_rounding(x: Tensor, y: Tensor) -> str | None:
    """Name of the rounding that turned ``x`` into ``y`` bit for bit: None for float32, a mode, a
    grid, or ``unknown``.
    """
    if torch.equal(x, y):
        return None
    for name, function in ROUNDING.items():
        if torch.equal(y, function(x)):
            return name
    for bits in range(3, 23):
        for mode in ("rne", "away", "trunc"):
            if torch.equal(y, round_mantissa(x, bits, mode)):
                return f"matmul_{bits}bit_{mode}"
    return "unknown"


def batched_rounding(device: str) -> dict[str, Any]:
    """The same of a batched product, which has kernels of its own."""
    eye = torch.eye(SIZE).unsqueeze(0).to(device)
    return {
        "bmm_left": _named(lambda v: torch.bmm(v.unsqueeze(0).to(device), eye)[0].cpu()),
        "bmm_right": _named(lambda v: torch.bmm(eye, v.unsqueeze(0).to(device))[0].cpu()),
    }


def attention_rounding(device: str) -> dict[str, Any]:
    """The same of the values of a fused attention, where every place attends to itself alone: its
    probabilities are 1 and 0, so that it gives its values back.
    """
    only = (torch.eye(SIZE) * 2.0**8).reshape(1, 1, SIZE, SIZE).to(device)

    def attended(v: Tensor) -> Tensor:
        values = v.reshape(1, 1, SIZE, SIZE).to(device)
        return scaled_dot_product_attention(only, only, values)[0, 0].cpu()

    return {"attention": _named(attended)}


def matmul_rounding(device: str) -> dict[str, Any]:
    """How the device rounds left and right operands of a float32 product, told apart over float16's
    range too.
    """
    eye = torch.eye(SIZE).to(device)
    return {
        "left": _named(lambda v: (v.to(device) @ eye).cpu()),
        "right": _named(lambda v: (eye @ v.to(device)).cpu()),
    }


def half_operands(device: str, dtype: torch.dtype) -> dict[str, str | None]:
    """How products in half precision round operands that are in it already: null where they give
    them back. Without tiny values, which a unit may take for zero.
    """
    x = operands()
    x = torch.where(x.abs() < SMALL, 1.0, x).to(dtype)
    eye = torch.eye(SIZE, dtype=dtype).to(device)
    given = x.to(device)
    seen = {
        "left": given @ eye,
        "right": eye @ given,
        "bmm_left": torch.bmm(given.unsqueeze(0), eye.unsqueeze(0))[0],
        "bmm_right": torch.bmm(eye.unsqueeze(0), given.unsqueeze(0))[0],
    }
    return {side: name_rounding(x.float(), y.cpu().float()) for side, y in seen.items()}


def convolution_rounding(device: str) -> dict[str, Any]:
    """The same of the input of a float32 convolution, whose kernel of one place passes every
    channel on.
    """
    eye = torch.eye(SIZE).unsqueeze(-1).to(device)
    return {"convolution": _named(lambda v: conv1d(v.unsqueeze(0).to(device), eye)[0].cpu())}


def _named(product: Callable[[Tensor], Tensor]) -> str | None:
    """Name of the rounding by which ``product`` gives its operand back."""
    x = operands()
    found = name_rounding(x, product(x))
    if found in RANGE:  # the same grid: which of the two also holds far outside float16's range?
        survive = all(
            torch.equal(product(v), rounding("tf32")(v)) for v in (x * 2.0**-30, x * 2.0**20)
        )
        return "tf32" if survive else "fp16_matmul"
    return found


def accumulator(device: str, k: int = 4096) -> float:
    """Error of 1 + (k - 1) 2^-14 summed by a matrix product: 0 for a float32 accumulator, -0.25 for
    one that loses the small terms.
    """
    row = torch.full((16, k), 2.0**-14)
    row[:, 0] = 1.0
    total = (row.to(device) @ torch.ones(k, 16).to(device)).cpu()[0, 0]
    return float(total) - (1 + (k - 1) * 2.0**-14)


def gelu_form(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Which GELU the device computes when asked for the erf form: rms distance to both forms in
    float64, on [-6, -1.5].

    There the value is small and the forms differ most, so that even bfloat16 tells them apart.
    """
    v = torch.linspace(-6, -1.5, 4001).to(dtype)
    y = gelu(v.to(device)).cpu().double()
    with (
        _disable_current_modes()
    ):  # an arithmetic imitated around the probe must not reach what it is compared with
        erf, tanh = (
            float((y - gelu(v.double(), approximate=form)).square().mean().sqrt())
            for form in ("none", "tanh")
        )

    return {"gelu": "erf" if erf <= tanh else "tanh", "gelu_erf_rms": erf, "gelu_tanh_rms": tanh}


@torch.no_grad()
def probe(
    device: str,
    dtype: torch.dtype = torch.float32,
    convolutions: bool = False,
    fused: bool = False,
) -> dict[str, Any]:
    """All answers: ``left`` and ``right`` operand rounding (null: float32) of products, of batched
    ones (``bmm_left``, ``bmm_right``), ``accumulate_error``, ``gelu``; with ``convolutions`` and
    ``fused`` attention theirs too.

    A model in half precision has its operands in that dtype already: ``half_operands`` says whether
    they are kept, and the float32 questions are left out for it.
    """
    answers: dict[str, Any] = {
        "dtype": str(dtype).removeprefix("torch."),
        **gelu_form(device, dtype),
    }
    if dtype == torch.float32:
        answers |= {**matmul_rounding(device), **batched_rounding(device)}
        answers["accumulate_error"] = accumulator(device)
        answers |= convolution_rounding(device) if convolutions else {}
        answers |= attention_rounding(device) if fused else {}
    else:
        answers["half_operands"] = half_operands(device, dtype)

    return answers
