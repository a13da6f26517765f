"""The error of one call: the device's output beside the CPU's, both against float64 on the same
inputs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goemo_utils.parity.twins import rms

HOT_RMS, HOT_MAX = 10.0, 20.0
"""A call is at fault above either ratio: clean kernels with 8 ulp of noise stay below 9.6 / 17.2.
"""

FEW = 24.0
"""Elements that carry an error at least before its steadiness is told from chance."""


@dataclass(frozen=True)
class Error:
    """Error of one call: ratios of its root mean square and of its largest element to the CPU's;
    ``gain`` <error, gold> / <gold, gold>; ``steady`` the share of the error that a gain and an
    offset explain; ``ulp`` the largest error of an element in units of 2^-23 of its value, beyond
    20 times the CPU's own largest error. ``own`` and ``own_gain`` are the CPU's: its error over eps
    times the output's root mean square, and its gain.
    """

    rms: float
    max: float
    gain: float = 0.0
    steady: float = 0.0
    ulp: float = 0.0
    own: float = 0.0
    own_gain: float = 0.0

    @property
    def over(self) -> float:
        """The larger of both ratios over their limits; infinite for NaN."""
        if math.isnan(self.rms):
            return math.inf
        return max(self.rms / HOT_RMS, self.max / HOT_MAX)


INFINITE = Error(math.inf, math.inf, math.nan, math.nan, math.inf)
NOT_A_NUMBER = Error(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Other:
    """Another output of the same call, and the share of its error that the call's own error is at
    least."""

    output: Tensor
    share: float


def compare(
    device: Tensor,
    cpu: Tensor,
    gold: Tensor,
    real: Tensor | None,
    spread: Sequence[Other] = (),
) -> Error:
    """The error of one call. Padding rows are nobody's and left out, if the shape has batch and
    length.

    NaN where the device gives NaN; infinite where it gives infinity, another shape, or a masked
    score back.

    The CPU's error has the floor eps/4 x rms(gold), because exact kernels have (nearly) none, and
    its largest element eps/4 x max(gold), half the spacing of numbers there: of few elements the
    CPU may round the largest one exactly by chance. ``spread`` are other outputs and the share of
    their errors that the call's own error is at least. What is NaN in gold must be NaN on the
    device and is left out too. Scores masked with the smallest number are left out of the ratio,
    but must be as large and of the same sign on the device: an ignored mask shows nowhere else.
    """
    if device.shape != gold.shape:
        return INFINITE

    sides = [t.detach().cpu().double() for t in (device, cpu, gold, *(o.output for o in spread))]
    sides = real_rows(sides, real)
    huge = torch.finfo(cpu.dtype).max / 4
    if not _masked_alike(sides[0], sides[2], huge):
        return INFINITE

    keep = sides[2].abs() < huge
    if not bool(keep.all()):
        sides = [t[keep] for t in sides]
    if not sides[2].numel():
        return Error(0.0, 0.0)
    if not bool(sides[0].isfinite().all()):
        return NOT_A_NUMBER if bool(sides[0].isnan().any()) else INFINITE

    return _measured(sides, [o.share for o in spread], torch.finfo(cpu.dtype).eps / 4)


def real_rows(sides: Sequence[Tensor], real: Tensor | None) -> list[Tensor]:
    """The rows of real tokens of ``[batch, length, width]`` or ``[batch, heads, length, width]``;
    other shapes as they are. ``real`` is ``[batch, length]``.
    """
    shape = sides[0].shape
    if real is not None and len(shape) == 3 and shape[:2] == real.shape:
        return [t[real] for t in sides]  # [tokens, width]
    if real is not None and len(shape) == 4 and (shape[0], shape[2]) == tuple(real.shape):
        return [t.transpose(1, 2)[real] for t in sides]  # [tokens, heads, width]
    return list(sides)


def _masked_alike(device: Tensor, gold: Tensor, huge: float) -> bool:
    """Whether every score that gold masks (or makes NaN) is masked (or NaN) on the device too."""
    masked = ~(gold.abs() < huge)
    if not bool(masked.any()):
        return True
    seen, wanted = device[masked], gold[masked]
    alike = (seen.abs() >= MASKED) & (seen.sign() == wanted.sign())
    return bool((alike | (seen.isnan() & wanted.isnan())).all())


MASKED = 5e3
"""Scores this far from zero are masked: -10,000 or the smallest number of float16 does as well as
that of float32, since the exponential of each is 0."""


def _measured(sides: Sequence[Tensor], shares: Sequence[float], unit: float) -> Error:
    """The numbers of an error, of finite elements without masked ones."""
    device, cpu, gold, *others = sides
    error, own = device - gold, cpu - gold
    floor, floor_max = unit * rms(gold) + 1e-300, unit * float(gold.abs().max())
    spread = [(own, 1.0), *((t - gold, share) for t, share in zip(others, shares, strict=True))]

    below = max(floor, *(share * rms(e) for e, share in spread))
    below_max = max(floor, floor_max, *(share * float(e.abs().max()) for e, share in spread))
    power = float((gold * gold).sum())
    gain = float((error * gold).sum()) / power if power else 0.0

    size = rms(gold)
    relative = rms(own) / (4 * unit * size) if size > 0 else 0.0
    own_gain = float((own * gold).sum()) / power if power else 0.0

    beyond = error.abs() - HOT_MAX * max(float(own.abs().max()), floor_max)
    ulp = float((beyond / (gold.abs() * 2.0**-23 + 1e-300)).max())
    largest = float(error.abs().max()) / below_max
    steady = _steady(error, gold) if rms(error) > HOT_RMS * below or largest > HOT_MAX else 0.0
    return Error(rms(error) / below, largest, gain, steady, ulp, relative, own_gain)


def _steady(error: Tensor, gold: Tensor) -> float:
    """Share of sum(error^2) that the best a x gold + b explains."""
    total = float((error * error).sum())
    effective = float((error * error).sum()) ** 2 / max(float((error**4).sum()), 1e-300)
    if not total or effective < FEW:
        return 0.0
    mean, centre = float(error.mean()), gold - gold.mean()
    power = float((centre * centre).sum())
    slope = float((error * centre).sum()) / power if power else 0.0
    explained = error.numel() * mean * mean + slope * slope * power
    return min(1.0, explained / total)


def clamped_at(device: Tensor, gold: Tensor) -> float | None:
    """The value at which the device cuts its outputs off: its largest magnitude, where several
    elements have exactly that and gold goes further in all of them. None if it does not.
    """
    c, g = device.detach().cpu().double().abs(), gold.detach().cpu().double().abs()
    if c.shape != g.shape or not c.numel() or not bool(c.isfinite().all()):
        return None
    top = c.max()
    beyond = g > top * (1 + 1e-6)
    several = int(g[beyond].unique().numel()) > 2  # the same row twice has the same values
    cut = several and bool((c[beyond] >= top * (1 - 1e-6)).all())
    return float(top) if cut else None


def is_addend(device: Tensor, operands: Sequence[Tensor]) -> bool:
    """Whether a sum came out as one of its addends: the other was not added."""
    return any(
        one.shape == device.shape and torch.equal(device, one.detach().cpu().to(device.dtype))
        for one in operands[:2]
    )
