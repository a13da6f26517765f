"""Rounded weights, kept while the weights themselves stay as they are.

A product rounds its operands anew at each call, a weight like any other; for short texts that is
most of a forward. Within ``KEPT.keeping`` a weight is rounded once, and once for two devices on
which it has the same bits. Whatever writes to memory that may hold a weight says so (``forget``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from goemo_utils.rehearsal.retag import host

LEAST = 4096
"""Elements of a weight that is worth keeping."""

Rounding = Callable[[Tensor], Tensor]


@dataclass
class Weight:
    """A weight's elements on the CPU in the order of its memory, their version when they were seen,
    and how they are when they are rounded as ``name`` says, the first that was asked for.
    """

    elements: Tensor
    version: int
    name: str | None = None
    rounded: Tensor | None = None

    def as_rounded(self, name: str, rounding: Rounding) -> Tensor | None:
        """The rounded elements; None of another rounding, or once they were written to."""
        if self.elements._version != self.version:
            return None
        if self.rounded is None:
            self.name, self.rounded = name, rounding(self.elements)
        return self.rounded if self.name == name else None


@dataclass
class Kept:
    """The weights that are kept, by the address of their memory."""

    weights: dict[int, Weight] = field(default_factory=dict)

    @contextmanager
    def keeping(self, weights: Iterable[Sequence[Tensor]]) -> Iterator[None]:
        """Within this context each of ``weights``, given as it lies on each device, is rounded
        once.
        """
        before, self.weights = self.weights, {}
        for sides in weights:
            self._keep(sides)
        try:
            yield
        finally:
            self.weights = before

    def _keep(self, sides: Sequence[Tensor]) -> None:
        kept: list[Weight] = []
        for side in sides:
            if side.dim() != 2 or side.numel() < LEAST or not side.is_contiguous():
                continue
            elements = (host(side) if side.device.type == "npu" else side.detach()).view(-1)
            same = (weight for weight in kept if _same_bits(weight.elements, elements))
            weight = next(same, None) or Weight(elements, elements._version)
            kept.append(weight)
            self.weights[side.data_ptr()] = weight

    def forget(self, tensor: Tensor) -> None:
        """Something writes to ``tensor``, on whichever device it lies."""
        if not self.weights:
            return
        storage = tensor.untyped_storage()
        memory = range(storage.data_ptr(), storage.data_ptr() + storage.nbytes())
        for place in [place for place in self.weights if place in memory]:
            del self.weights[place]

    def rounded(self, operand: Tensor, name: str, rounding: Rounding) -> Tensor:
        """``rounding(operand)``, whose name is ``name``: as it is kept, where the operand is a
        whole weight with its axes in either order, or one widened by ``widened``.
        """
        weight = self.weights.get(operand.data_ptr()) if self.weights else None
        if weight is None or not _whole(operand, weight):
            return rounding(operand)
        kept = weight.as_rounded(name, rounding)
        if kept is None:
            return rounding(operand)
        return kept.to(operand.dtype).as_strided(operand.shape, operand.stride())

    @contextmanager
    def widened(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
        """Within this context a tensor of float64 is rounded as the weight beside it is kept, whose
        values it has.
        """
        places = []
        for wide, narrow in pairs:
            weight = self.weights.get(narrow.data_ptr())
            if weight is not None and wide.is_contiguous():
                self.weights[wide.data_ptr()] = weight
                places.append(wide.data_ptr())
        try:
            yield
        finally:
            for place in places:
                self.weights.pop(place, None)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    alike = a.dtype == b.dtype and a.shape == b.shape
    return alike and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def _whole(operand: Tensor, weight: Weight) -> bool:
    """Whether an operand of a product has exactly a weight's elements."""
    if operand.dim() != 2 or operand.numel() != weight.elements.numel():
        return False
    return operand.is_contiguous() or operand.t().is_contiguous()


KEPT = Kept()
"""The weights that this process keeps; none outside ``keeping``."""
