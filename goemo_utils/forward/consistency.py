"""Asks an NPU for kernels that give each text the same bits in every batch.

TorchNPU 26.2 has ``torch_npu.npu.set_deterministic_level(3)`` for that, with CANN 9.2 or later
(TorchNPU 26.2 release notes; cann/ops-math, batch_consistency.md). It holds for the whole process
and cannot be taken back, so whoever asks does it last.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from goemo_utils.environment.cann import read_cann
from goemo_utils.environment.machine import Machine
from goemo_utils.environment.versions import release
from goemo_utils.errors import first_line

if TYPE_CHECKING:
    from goemo_utils.forward.device import Device

LEVEL = 3
OLDEST_CANN = (9, 2)


def ask(device: Device) -> str | None:
    """Ask for level 3. None where the device promises it from now on, else why it does not."""
    if device.simulated:
        return "a rehearsal computes with the CPU's kernels, which have no levels"
    if device.kind != "npu":
        return f"a device of the kind {device.kind} has no levels"

    torch_npu: Any = sys.modules["torch_npu"]
    switch = getattr(torch_npu.npu, "set_deterministic_level", None)
    if switch is None:
        return (
            f"torch_npu {torch_npu.__version__} has no set_deterministic_level, which came with"
            " TorchNPU 26.2"
        )
    active = read_cann(Machine())["active"]
    if active and release(active["toolkit"])[:2] < OLDEST_CANN:
        return f"CANN {active['toolkit']} has no level 3, which came with 9.2"

    try:
        switch(LEVEL)
    except (RuntimeError, ValueError, TypeError) as error:
        return f"set_deterministic_level(3) was refused: {first_line(error)}"
    return None
