"""Residual sums, known as they are computed: of the two addends one has been used before.

x + f(x) adds to a fresh f(x) the very x that f was computed from. No name of a module and no order
of the addends says which is which, and the ways of writing it are as many as there are models.
"""

from typing import Any

from torch import Tensor

from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.tracker import TRACKER, hits


class Residuals:
    """Watches which memory operators have read since it was written, and takes the used addend out
    of sums of hidden states ``[batch, tokens, width]``.
    """

    def __init__(self, width: int, fault: Fault) -> None:
        self.width = width
        self.fault = fault
        self.used: set[int] = set()

    def observe(self, result: Any, args: list[Any]) -> None:
        """Note what an operator has read and written; memory that is written anew is fresh."""
        read = {arg.data_ptr() for arg in args if isinstance(arg, Tensor)}
        for value in args:
            if isinstance(value, list):
                read |= {item.data_ptr() for item in value if isinstance(item, Tensor)}
        results = result if isinstance(result, (tuple, list)) else (result,)
        written = {one.data_ptr() for one in results if isinstance(one, Tensor)}
        self.used = (self.used | read) - written

    def disturb(self, result: Any, args: list[Any]) -> None:
        """Let a residual sum ``args[0] + args[1]``, computed as ``result``, be its fresh addend."""
        first, second = args[0], args[1]
        if not (self._is_state(first) and self._is_state(second)) or first.shape != second.shape:
            return
        was_used = first.data_ptr() in self.used, second.data_ptr() in self.used
        if was_used[0] == was_used[1]:
            return
        if not TRACKER.inside(self.fault) or not TRACKER.is_time(self.fault, result):
            return

        hits[self.fault.text] += 1
        residual, fresh = (first, second) if was_used[0] else (second, first)
        if fresh.data_ptr() == result.data_ptr():
            result.sub_(residual)
        else:
            result.copy_(fresh)

    def _is_state(self, value: Any) -> bool:
        return (
            isinstance(value, Tensor)
            and value.is_floating_point()
            and value.dim() == 3
            and value.shape[-1] == self.width
        )
