"""The error of one call: the device's output beside the CPU's, both against float64 on the same
inputs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

HOT_RMS, HOT_MAX = 10.0, 20.0
"""A call is at fault above either ratio: clean kernels with 8 ulp of noise stay below 9.6 / 17.2.
"""

FEW = 24.0
"""Elements that carry an error at least before its steadiness is told from chance."""


@dataclass(frozen=True)
class Error:
    """Error of one call: ratios of its root mean square and of its largest element to the CPU's;
    ``gain`` <error, gold> / <gold, gold>, and ``gain_noise`` its standard error where the elements
    err independently; ``steady`` the share of the error that a gain and an offset explain; ``ulp``
    the largest error of an element in units of 2^-23 of its value, beyond 20 times the CPU's own
    largest error. ``own`` and ``own_gain`` are the CPU's: its error over eps times the output's
    root mean square, and its gain.
    """

    rms: float
    max: float
    gain: float = 0.0
    steady: float = 0.0
    ulp: float = 0.0
    own: float = 0.0
    own_gain: float = 0.0
    gain_noise: float = 0.0

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
    return Right.of(cpu, gold, real).error(device, spread)


MASKED = 5e3
"""Scores this far from zero are masked: -10,000 or the smallest number of float16 does as well as
that of float32, since the exponential of each is 0."""


@dataclass(frozen=True)
class Right:
    """What is right of one output: gold's values, and the CPU's own error as the yardstick.

    ``gold`` are the values that count, float64 in one row; ``keep`` is where they stand among the
    real rows, None for all of them; ``masked`` likewise what gold masks, of which ``wanted`` are
    the values. ``own`` and ``own_max`` are the CPU's error, ``size`` and ``top`` gold's own, each
    by root mean square and largest element; ``unit`` is eps/4.
    """

    shape: torch.Size
    real: Tensor | None
    gold: Tensor
    keep: Tensor | None
    masked: Tensor | None
    wanted: Tensor | None
    own: float
    own_max: float
    own_gain: float
    size: float
    top: float
    power: float
    unit: float

    @classmethod
    def of(cls, cpu: Tensor, gold: Tensor, real: Tensor | None) -> "Right":
        """The yardstick of one call's output, by the CPU's in the run's dtype and gold's."""
        limits = torch.finfo(cpu.dtype)
        rows = real_rows(gold.detach().double(), real)
        whole = magnitude(rows) < limits.max / 4  # not of NaN
        keep = None if whole else rows.abs() < limits.max / 4
        masked = None if keep is None else ~keep
        kept = rows if keep is None else rows[keep]
        own = _kept(cpu, real, keep) - kept
        own_size, own_max = _sizes(own)
        size, top = _sizes(kept)
        power = size * size * kept.numel()

        return cls(
            shape=gold.shape,
            real=real,
            gold=kept,
            keep=keep,
            masked=masked,
            wanted=None if masked is None else rows[masked],
            own=own_size,
            own_max=own_max,
            own_gain=_along(own, kept) / power if power else 0.0,
            size=size,
            top=top,
            power=power,
            unit=limits.eps / 4,
        )

    def error(self, device: Tensor, spread: Sequence[Other] = ()) -> Error:
        """The device's error beside the CPU's; see ``compare``."""
        if device.shape != self.shape:
            return INFINITE
        rows = real_rows(device.detach().cpu().double(), self.real)
        if not self._masked_alike(rows):
            return INFINITE
        values = rows if self.keep is None else rows[self.keep]
        if not values.numel():
            return Error(0.0, 0.0)
        error = values - self.gold
        sizes = _sizes(error)
        if not math.isfinite(sizes[1]) and not bool(values.isfinite().all()):
            return NOT_A_NUMBER if bool(values.isnan().any()) else INFINITE

        return self._measured(error, sizes, spread)

    def counted(self, values: Tensor) -> Tensor:
        """Of values of the same shape those that count, in float64 in one row."""
        return _kept(values, self.real, self.keep)

    def _masked_alike(self, rows: Tensor) -> bool:
        """Whether every score that gold masks (or makes NaN) is masked (or NaN) on the device."""
        if self.masked is None or self.wanted is None:
            return True
        seen, wanted = rows[self.masked], self.wanted
        alike = (seen.abs() >= MASKED) & (seen.sign() == wanted.sign())
        return bool((alike | (seen.isnan() & wanted.isnan())).all())

    def _measured(
        self, error: Tensor, sizes: tuple[float, float], spread: Sequence[Other]
    ) -> Error:
        """The numbers of an error of those ``sizes``, of finite elements without masked ones."""
        floor, floor_max = self.unit * self.size + 1e-300, self.unit * self.top
        below, below_max = max(floor, self.own), max(floor, floor_max, self.own_max)
        for other in spread:
            apart, apart_max = _sizes(_kept(other.output, self.real, self.keep) - self.gold)
            below = max(below, other.share * apart)
            below_max = max(below_max, other.share * apart_max)

        size, largest = sizes
        gain = _along(error, self.gold) / self.power if self.power else 0.0
        gain_noise = _norm(error * self.gold) / self.power if self.power else 0.0
        relative = self.own / (4 * self.unit * self.size) if self.size > 0 else 0.0
        steady = ulp = 0.0
        if size > HOT_RMS * below or largest > HOT_MAX * below_max:
            steady = _steady(error, self.gold)
            beyond = error.abs() - HOT_MAX * max(self.own_max, floor_max)
            ulp = float((beyond / (self.gold.abs() * 2.0**-23 + 1e-300)).max())

        ratios = size / below, largest / below_max
        return Error(*ratios, gain, steady, ulp, relative, self.own_gain, gain_noise)


def _kept(values: Tensor, real: Tensor | None, keep: Tensor | None) -> Tensor:
    """The values that count, in float64."""
    rows = real_rows(values.detach().cpu().double(), real)
    return rows if keep is None else rows[keep]


def _sizes(values: Tensor) -> tuple[float, float]:
    """Root mean square and largest magnitude; 0 without values."""
    if not values.numel():
        return 0.0, 0.0
    return _norm(values) / math.sqrt(values.numel()), magnitude(values)


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values))


def magnitude(values: Tensor) -> float:
    """The largest magnitude, NaN where there is a NaN; 0 without values. In float64 on the CPU a
    thirtieth of the time of ``linalg.vector_norm``.
    """
    if not values.numel():
        return 0.0
    least, most = torch.aminmax(values)
    return max(abs(float(least)), abs(float(most)))


def _along(a: Tensor, b: Tensor) -> float:
    """The inner product of two tensors of one shape."""
    return float(torch.dot(a.reshape(-1), b.reshape(-1)))


def real_rows(values: Tensor, real: Tensor | None) -> Tensor:
    """The rows of real tokens of ``[batch, length, width]`` or ``[batch, heads, length, width]``;
    other shapes as they are. ``real`` is ``[batch, length]``.
    """
    shape = values.shape
    if real is not None and bool(real.all()):
        return values
    if real is not None and len(shape) == 3 and shape[:2] == real.shape:
        return values[real]  # [tokens, width]
    if real is not None and len(shape) == 4 and (shape[0], shape[2]) == tuple(real.shape):
        return values.transpose(1, 2)[real]  # [tokens, heads, width]
    return values


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


def clamped_at(device: Tensor, right: Right) -> float | None:
    """The value at which the device cuts its outputs off: its largest magnitude, where several
    elements have exactly that and gold goes further in all of them. None if it does not.
    """
    if device.shape != right.shape:
        return None
    c, g = _kept(device, right.real, right.keep).abs(), right.gold.abs()
    if not c.numel() or not bool(c.isfinite().all()):
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
