"""Which cards a device names: one, a few, or all that the machine has. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from goemo_utils.params.paths import INDEX
from goemo_utils.rehearsal.settings import MOST_DEVICES

_COUNT = "|".join(str(count) for count in range(MOST_DEVICES, 0, -1))
PATTERN = rf"^(rehearsal(:({_COUNT}))?|cpu|(npu|cuda)(:(all|{INDEX}(,{INDEX})*))?)$"
"""What the parameter device of a run may be."""
MEANING = (
    "rehearsal (simulated NPU), npu:N, cuda:N or cpu; never replaced by another; or several"
    " cards: rehearsal:4, npu:0,3, npu:all"
)
EXPECTED = (
    "rehearsal, npu:N, cuda:N or cpu; or several cards, as rehearsal:4 (1 to"
    f" {MOST_DEVICES} simulated ones), npu:0,3 or npu:all"
)


@dataclass(frozen=True)
class Cards:
    """The cards of a device: their kind (rehearsal, npu, cuda or cpu) and their numbers, None for
    all that the machine has. ``listed``: they were asked for as several, be it a list of one.
    """

    kind: str
    indices: tuple[int, ...] | None
    listed: bool

    @classmethod
    def of(cls, device: str) -> Cards:
        """The cards of a device that fits ``PATTERN``."""
        kind, _, which = device.partition(":")
        if which == "all":
            return cls(kind, None, True)
        if kind == "rehearsal":
            return cls(kind, tuple(range(int(which or 1))), bool(which))
        indices = tuple(int(index) for index in (which or "0").split(","))
        return cls(kind, indices, len(indices) > 1)

    @property
    def first(self) -> str:
        """The first card, as a device of its own."""
        return self.device(self.indices[0] if self.indices else 0)

    def device(self, index: int) -> str:
        """A card as a device of its own: each simulated one is the only card of its process."""
        return self.kind if self.kind in ("rehearsal", "cpu") else f"{self.kind}:{index}"

    def name(self, index: int) -> str:
        """A card as a person names it."""
        return f"card {index}" if self.kind == "rehearsal" else self.device(index)


def once_each(device: str) -> str:
    """A device in whose list every card stands once.

    Raises ValueError naming the card that stands there twice.
    """
    indices = Cards.of(device).indices or ()
    twice = next((index for index in indices if indices.count(index) > 1), None)
    if twice is not None:
        once = ",".join(str(index) for index in dict.fromkeys(indices))
        raise ValueError(
            f"and that names card {twice} twice: expected each card once. Write"
            f" {device.partition(':')[0]}:{once}."
        )
    return device


def is_one(device: str) -> bool:
    """Whether a device is one card or the CPU, as whatever computes on one device takes it."""
    return bool(re.fullmatch(PATTERN, device)) and not Cards.of(device).listed


def is_several(device: str) -> bool:
    """Whether a device names several cards, or a list of one: what a run alone can judge."""
    return bool(re.fullmatch(PATTERN, device)) and Cards.of(device).listed
