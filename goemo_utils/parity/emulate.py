"""Arithmetic that a device may claim, emulated on plain CPU tensors: the rungs of the ladder.

A claim says how the operands of matrix products are rounded and which form GELU has. It is emulated
under any CPU model, in float32 (a rung) or in float64 (the rung's gold), by replacing single
``aten`` operators.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.numerics import (
    CONVOLUTION,
    GELU,
    MATMUL,
    ROUNDING,
    VECTOR,
    blocked_matmul,
    round_mantissa,
    ulp_noise,
)

FUSED_CALL = "scaled_dot_product_attention"

NOISE_SEED = 20_011
"""Another seed than the rehearsal device's, so that a rung's own noise is independent of what it is
compared with.
"""

_GRID = re.compile(r"matmul_(\d+)bit_(rne|away|trunc)")


FLOAT32 = "float32"
"""A family that rounds no operand beside products that do."""
CONV, BATCHED, ATTENTION, LINEAR = "_conv", "_bmm", "_attention", "_linear"
"""How a rounding of one family alone is named: ``hf32_conv``."""


@dataclass(frozen=True)
class Claim:
    """An arithmetic: how the operands of products are rounded, by family, and GELU's form.

    ``matmul`` is the rounding of linear layers (None: float32 operands). ``batched`` (``bmm``),
    ``attention`` (fused) and ``convolution`` are roundings of their own where they differ
    (``float32``: none), as on an untouched Ascend (HF32 in convolutions alone) or where a fused
    kernel is exact beside HF32 layers; None: ``batched`` and ``convolution`` as ``matmul``,
    ``attention`` as ``batched``.
    """

    matmul: str | None = None
    tanh_gelu: bool = False
    convolution: str | None = None
    batched: str | None = None
    attention: str | None = None

    @property
    def convolves(self) -> str | None:
        """How operands of convolutions are rounded; None for float32."""
        return None if self.convolution == FLOAT32 else self.convolution or self.matmul

    @property
    def multiplies(self) -> str | None:
        """How operands of batched products (``bmm``) are rounded; None for float32."""
        return None if self.batched == FLOAT32 else self.batched or self.matmul

    @property
    def attends(self) -> str | None:
        """How operands inside a fused attention are rounded; None for float32."""
        return None if self.attention == FLOAT32 else self.attention or self.multiplies

    @property
    def rounds(self) -> bool:
        """Whether any family rounds its operands."""
        return any((self.matmul, self.convolves, self.multiplies, self.attends))

    def within_attention(self) -> "Claim":
        """The claim as it holds inside a fused attention, whose products are batched ones."""
        return replace(self, batched=self.attends or FLOAT32, attention=None)

    @property
    def causes(self) -> list[str]:
        """Names of what differs from plain float32 with the GELU that the model asks for; none for
        plain rounding.
        """
        products = [self.matmul] if self.matmul else []
        exact_elsewhere = FLOAT32 in (self.batched, self.attention) and not self.attends
        if self.matmul and exact_elsewhere:
            products = [f"{self.matmul}{LINEAR}"]

        own = [
            f"{value}{suffix}"
            for value, suffix in (
                (self.convolution, CONV),
                (self.batched, BATCHED),
                (self.attention, ATTENTION),
            )
            if value not in (None, FLOAT32)
        ]

        return products + (["tanh_gelu"] if self.tanh_gelu else []) + own

    @property
    def name(self) -> str:
        return " + ".join(self.causes) or "plain"


PLAIN = Claim()


@dataclass(frozen=True)
class Detail:
    """What no claim fixes: in blocks of how many K is summed (0: the library's order), and noise of
    the vector kernels in 2^-24, drawn by ``seed``.
    """

    block: int = 0
    ulp: float = 0.0
    seed: int = 0


DEFAULT = Detail()
DETAILS = (DEFAULT, Detail(64), Detail(16, 4.0))
"""Runs of one rung. Their distance is the rung's own noise; two perturbations, because one alone is
heavy-tailed.
"""


def details(n_texts: int) -> list[Detail]:
    """The perturbations that a rung's noise is measured by: two, and with fewer than 16 texts as
    many more as keep it from being too small.

    With one text whether an operand crosses a rounding boundary is decided a few times in all, so
    that two runs may both miss it: of 480 clean runs of one text 7 were refused with two, of 2,400
    2 with ten.
    """
    count = round(2 * max(1.0, STAY_TEXTS / max(n_texts, 1)) ** 0.5)
    return [*DETAILS[1:], *(Detail(24 + 8 * (i % 4), 4.0, i) for i in range(1, count - 1))]


STAY, STAY_TEXTS = 0.05, 24
"""Share of a rounding rung's own error that counts as its noise at least, for so many texts or
more.
"""


def stay(n_texts: int) -> float:
    """That share for ``n_texts`` texts.

    The measured spread is heavy-tailed: an operand that lies on a rounding boundary moves by a
    whole step in one run and not in another. With fewer texts such an event weighs more, as one
    over the square root of their number.
    """
    return STAY * math.sqrt(max(1.0, STAY_TEXTS / max(n_texts, 1)))


def rounding(name: str | None) -> Callable[[Tensor], Tensor]:
    """How the operands of a matrix product are rounded under ``name``: a rehearsal mode, or a grid
    such as matmul_9bit_rne.
    """
    if name is None:
        return lambda operand: operand
    if name in ROUNDING:
        return lambda operand: KEPT.rounded(operand, name, ROUNDING[name])

    match = _GRID.fullmatch(name)
    if match is None:
        raise ValueError(
            f"Unknown operand rounding {name!r}: expected one of {', '.join(ROUNDING)} or a name"
            " such as matmul_9bit_rne."
        )

    return lambda operand: round_mantissa(operand, int(match[1]), match[2])


def grid_bits(name: str) -> int | None:
    """Mantissa bits of a grid such as matmul_9bit_rne; None for any other name."""
    match = _GRID.fullmatch(name)
    return int(match[1]) if match else None


BATCHED_PRODUCTS = frozenset(name for name in MATMUL if "bmm" in name)


def _product(name: str, first: int, claim: Claim, detail: Detail) -> Callable[..., Any]:
    rounded = rounding(claim.multiplies if name in BATCHED_PRODUCTS else claim.matmul)
    blocks = detail.block and name in ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")

    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        left, right = args[first : first + 2]
        if left.dtype in (torch.float32, torch.float64):
            left, right = rounded(left), rounded(right)
        if not blocks or left.shape[-1] <= detail.block or operator._overloadname != "default":
            return operator(*args[:first], left, right, *args[first + 2 :], **kwargs)
        product = blocked_matmul(left, right, detail.block)
        return (
            kwargs.get("beta", 1) * args[0] + kwargs.get("alpha", 1) * product if first else product
        )

    return compute


def _convolution(count: int, claim: Claim) -> Callable[..., Any]:
    rounded = rounding(claim.convolves)

    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return operator(
            *(rounded(a) if a.dtype in (torch.float32, torch.float64) else a for a in args[:count]),
            *args[count:],
            **kwargs,
        )

    return compute


def _tanh(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return operator(*args, **{**kwargs, "approximate": "tanh"})


def _plain(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return operator(*args, **kwargs)


def _noisy(inner: Callable[..., Any], units: float, seed: int) -> Callable[..., Any]:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = inner(operator, args, kwargs)
        if isinstance(result, tuple):
            return (ulp_noise(result[0], NOISE_SEED + seed, units), *result[1:])
        return ulp_noise(result, NOISE_SEED + seed, units)

    return compute


@cache
def replacements(claim: Claim, detail: Detail = DEFAULT) -> dict[str, Callable[..., Any]]:
    """What stands in for which ``aten`` operator; empty for the plain claim."""
    table: dict[str, Callable[..., Any]] = {}
    if claim.matmul or claim.multiplies or detail.block:
        table |= {name: _product(name, first, claim, detail) for name, first in MATMUL.items()}
    if claim.convolves:
        table["aten::convolution"] = _convolution(CONVOLUTION["aten::convolution"], claim)
    if claim.tanh_gelu:
        table |= dict.fromkeys(GELU, _tanh)
    if detail.ulp:
        table |= {name: _noisy(table.get(name, _plain), detail.ulp, detail.seed) for name in VECTOR}
    return table


class Emulate(TorchDispatchMode):
    """Within this context CPU operators compute as ``claim`` and ``detail`` say. Needs no_grad, so
    that products arrive whole.
    """

    def __init__(self, claim: Claim, detail: Detail = DEFAULT) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self.table = replacements(claim, detail)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch's own switch: nothing is compiled here, and its compiler, asked to skip this class,
        would be imported for that, for a second.
        """
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        stand_in = self.table.get(func._schema.name)
        if stand_in is None:
            return func(*args, **(kwargs or {}))
        return stand_in(func, list(args), kwargs or {})


class _Fused(TorchFunctionMode):
    """Lets a fused attention compute in its own arithmetic inside a model that is emulated."""

    def __init__(self, mode: Emulate, table: dict[str, Callable[..., Any]]) -> None:
        super().__init__()
        self.mode, self.inside = mode, table

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") != FUSED_CALL:
            return func(*args, **(kwargs or {}))
        outside, self.mode.table = self.mode.table, self.inside
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.mode.table = outside


@contextmanager
def emulated(claim: Claim, detail: Detail = DEFAULT) -> Iterator[None]:
    """A whole model on the CPU computes as ``claim`` and ``detail`` say; nothing is changed where
    both are plain. Attention is computed in separate steps: nothing inside a fused kernel could be
    rounded.
    """
    if claim == PLAIN and detail == DEFAULT:
        yield
        return

    with ExitStack() as stack:
        mode = stack.enter_context(Emulate(claim, detail))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if claim.attends != claim.multiplies:
            own = replacements(claim.within_attention(), detail)
            stack.enter_context(_Fused(mode, own))
        yield
