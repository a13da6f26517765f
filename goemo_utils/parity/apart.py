"""Every call of a reference forward, repeated on the device by one process and judged by two."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.replay import Judge, Skipped, forwards
from goemo_utils.parity.row import Row
from goemo_utils.parity.turns import Elsewhere, Seen
from goemo_utils.parity.twins import Twins


@torch.no_grad()
def judged_apart(
    twins: Twins, batches: Sequence[dict[str, Tensor]], claim: Claim, device: Elsewhere
) -> tuple[list[Row], Skipped]:
    """As ``replay``, of a device on which another process repeats the calls (``repeated``)."""
    judge = Judge(twins, [claim], device)
    forwards(judge, batches, judge.take, None)
    return judge.result()


@torch.no_grad()
def repeated(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claim: Claim,
    send: Callable[[str, str, Sequence[Tensor] | str], None],
) -> Seen:
    """Every call over all batches repeated on the device, and what it makes of each, or why it
    cannot, handed to ``send`` for a process that judges it, whose forwards are the same. Gives what
    became of the calls that are judged here.
    """
    judge = Judge(twins, [claim])
    forwards(judge, batches, lambda call: judge.make(call, send), None)
    return judge.seen
