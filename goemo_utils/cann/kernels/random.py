"""Random numbers: torch_npu decides seed and offset, the numbers are torch's for that pair.

A real card draws others from the same seed; what holds is that the same seed and offset give the
same numbers, and that a later offset gives others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from goemo_utils.cann.kernels.registry import kernel, write

aten = torch.ops.aten
_LONG = 2**63 - 1


def generator(seed: int, offset: int) -> torch.Generator:
    """A generator of the numbers that belong to one seed and offset."""
    return torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + offset) % _LONG)


@kernel("InplaceNormal", aten="normal_")
def _normal(x: Tensor, mean: float, std: float, seed: int, offset: int) -> Tensor:
    return write(x, torch.randn(x.shape, generator=generator(seed, offset)) * std + mean)


@kernel(
    "NormalTensorTensor",
    "NormalTensorFloat",
    "NormalFloatTensor",
    "NormalFloatFloat",
    aten="normal",
)
def _normal_out(mean: Any, std: Any, seed: int, offset: int, out: Tensor) -> Tensor:
    return write(out, torch.randn(out.shape, generator=generator(seed, offset)) * std + mean)


@kernel("InplaceUniform", aten="uniform_")
def _uniform(x: Tensor, low: float, high: float, seed: int, offset: int) -> Tensor:
    drawn = torch.rand(x.shape, generator=generator(seed, offset))
    return write(x, drawn * (high - low) + low)


@kernel("InplaceRandom", aten="random_")
def _random(x: Tensor, low: int, high: int, seed: int, offset: int) -> Tensor:
    return write(x, torch.randint(low, high, x.shape, generator=generator(seed, offset)))


@kernel("InplaceRandomWithoutFromTo", aten="random_")
def _random_any(x: Tensor, seed: int, offset: int) -> Any:
    highest = 2**24 if x.is_floating_point() else torch.iinfo(x.dtype).max
    return _random(x, 0, highest, seed, offset)


@kernel("InplaceBernoulli", "InplaceBernoulliTensor", aten="bernoulli_")
def _bernoulli(x: Tensor, probability: Any, seed: int, offset: int) -> Tensor:
    return write(x, torch.rand(x.shape, generator=generator(seed, offset)) < probability)


@kernel("Randperm", aten="randperm")
def _randperm(n: int, seed: int, offset: int, out: Tensor) -> Tensor:
    return write(out, torch.randperm(n, generator=generator(seed, offset)))


@kernel("Multinomial", aten="multinomial")
def _multinomial(
    x: Tensor, count: int, replacement: bool, seed: int, offset: int, out: Tensor
) -> Tensor:
    drawn = torch.multinomial(x, count, replacement, generator=generator(seed, offset))
    return write(out, drawn)


@kernel("SimThreadExponential", aten="exponential_")
def _exponential(x: Tensor, count: int, rate: float, seed: int, offset: int) -> Tensor:
    drawn = torch.rand(x.shape, generator=generator(seed, offset))
    return write(x, -torch.log1p(-drawn) / rate)


# ---- dropout: masks of one bit a value, the first value in the lowest bit ----


def pack_bits(kept: Tensor, out: Tensor) -> Tensor:
    """Put a flat bool tensor into the bits of ``out``, a uint8 tensor with room for all of them."""
    room = torch.zeros(out.numel() * 8, dtype=torch.uint8)
    room[: kept.numel()] = kept.reshape(-1).to(torch.uint8)
    weights = 2 ** torch.arange(8, dtype=torch.int32)
    # [bytes, 8] times the value of each bit
    return write(out, (room.reshape(-1, 8).to(torch.int32) * weights).sum(1).reshape(out.shape))


def unpack_bits(mask: Tensor, count: int) -> Tensor:
    """The first ``count`` bits of a uint8 tensor as a flat bool tensor."""
    bits = mask.reshape(-1, 1).to(torch.int32) >> torch.arange(8, dtype=torch.int32)
    return (bits & 1).reshape(-1)[:count].bool()


@kernel("DropoutGenMask")
def _dropout_mask(shape: list[int], p: float, seed: int, offset: int, out: Tensor) -> Tensor:
    count = torch.Size(shape).numel()
    return pack_bits(torch.rand(count, generator=generator(seed, offset)) >= p, out)


@kernel("DropoutGenMaskV2")
def _dropout_mask_v2(
    shape: list[int], p: float, seed: int, offset: int, dtype: torch.dtype, out: Tensor
) -> Any:
    return _dropout_mask(shape, p, seed, offset, out)


@kernel("DropoutDoMask", aten="native_dropout")
def _dropout(x: Tensor, mask: Tensor, p: float, out: Tensor) -> Tensor:
    kept = unpack_bits(mask, x.numel()).reshape(x.shape)
    scale = 1 / (1 - p) if p < 1 else 0.0
    return write(out, x * kept * scale)


@kernel("DropoutV3", aten="native_dropout")
def _dropout_v3(
    x: Tensor,
    noise_shape: Tensor | None,
    p: float,
    seed: int,
    offset: int,
    out: Tensor,
    mask: Tensor,
) -> Tensor:
    kept = torch.rand(x.numel(), generator=generator(seed, offset)) >= p
    pack_bits(kept, mask)
    scale = 1 / (1 - p) if p < 1 else 0.0
    return write(out, x * kept.reshape(x.shape) * scale)
