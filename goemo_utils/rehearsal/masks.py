"""What an attention mask says, whatever its form, and the same mask with a fault in it, on the CPU.

A mask ``[batch, 1 or heads, 1 or queries, keys]`` is additive (0 keeps, a huge negative number
drops) or a truth value or integer (non-zero keeps).
"""

import torch
from torch import Tensor

from goemo_utils.rehearsal.grammar import Fault

DROPPED = -1e4
"""An additive mask drops a key below this: the least of float16 is -65504."""


def allowed(mask: Tensor) -> Tensor:
    """Where attention may look: bool, of the shape of ``mask``."""
    return mask > DROPPED if mask.is_floating_point() else mask != 0


def padding(seen: Tensor) -> Tensor:
    """The keys that no query may see: bool ``[batch, 1 or heads, 1, keys]``."""
    return ~seen.any(dim=-2, keepdim=True)


def near(seen: Tensor) -> Tensor:
    """The pairs whose distance some query of the batch may bridge: bool ``[queries, keys]``.

    It is everything, but for a layer with a window. It is read off the mask itself, because a
    window is told in as many ways as there are models; a distance both ways is one distance.
    """
    queries, keys = seen.shape[-2:]
    if queries == 1:
        return torch.ones(1, keys, dtype=torch.bool)

    distance = (torch.arange(queries)[:, None] - torch.arange(keys)[None, :]).abs()
    # [batch, heads, queries, keys] -> [queries, keys]
    bridged = seen.flatten(0, -3).any(dim=0)
    reach = torch.zeros(max(queries, keys), dtype=torch.bool)
    reach[distance[bridged]] = True

    return reach[distance]


def wrong(seen: Tensor, fault: Fault) -> Tensor:
    """Where attention looks under ``fault``: bool, of the shape of ``seen``."""
    if fault.kind == "mask:invert":
        return ~seen
    if fault.kind == "window:ignore":
        return ~padding(seen).expand_as(seen)
    bridged = padding(seen) & near(seen)
    if fault.kind == "mask:beyond":
        bridged = bridged & (torch.arange(seen.shape[-1]) >= fault.value)
    return seen | bridged


def rewritten(mask: Tensor, seen: Tensor) -> Tensor:
    """``seen`` in the form that ``mask`` has."""
    if not mask.is_floating_point():
        return seen.to(mask.dtype)
    lowest = torch.finfo(mask.dtype).min
    return torch.zeros_like(mask).masked_fill_(~seen, lowest)


def soft(mask: Tensor, score: float) -> Tensor:
    """The additive mask that adds ``score`` where the additive ``mask`` drops."""
    return torch.zeros_like(mask).masked_fill_(~allowed(mask), score)
