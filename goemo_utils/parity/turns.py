"""Calls that two processes share: the device is one's, and both judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from goemo_utils.parity.calls import PRODUCT_CALLS
from goemo_utils.parity.row import Row

Seen = list[tuple[int, Row | tuple[str, str, str]]]
"""What became of calls, by their numbers: a row, or where and why there is none."""


class Elsewhere(Protocol):
    """A device that another process has, which judges a part of the calls itself."""

    def made(self, module: str, operator: str) -> Sequence[Tensor] | str:
        """What the device made of the next call, or why it could not repeat it."""

    def judged(self) -> Seen:
        """The other process' own calls, once all were made."""


class Turns:
    """Which of two processes judges a call: all calls of one address the same one, and the one
    that has the device a third of the work, since it makes all calls besides.
    """

    def __init__(self) -> None:
        self.own: dict[tuple[str, str], bool] = {}
        self.work = {True: 0, False: 0}

    def at_device(self, module: str, operator: str, results: Sequence[Tensor]) -> bool:
        """Whether the process that has the device judges a call with these results."""
        own = self.own.setdefault((module, operator), 2 * self.work[True] < self.work[False])
        weight = 4 if operator in PRODUCT_CALLS else 1
        self.work[own] += weight * sum(result.numel() for result in results)
        return own


class Refused(Exception):
    """The device, which another process has, could not repeat a call; its words are that error."""


def told(error: Exception) -> str:
    """Why a call could not be repeated."""
    if isinstance(error, Refused):
        return str(error)
    first = (str(error).splitlines() or [""])[0][:120]
    return f"{type(error).__name__}: {first}"
