"""The rehearsal's arithmetic and faults on top of the genuine torch_npu.

What torch_npu itself decides (HF32 by cubeMathType, the form of GELU) happens without any of this.
A name of the rehearsal's arithmetic is added to it; a fault names an aten operator, as on the
rehearsal device, and takes effect where the kernel of that operator has run.
"""

from __future__ import annotations

import math
import os
from typing import Any

from goemo_utils.cann.calls import register_kernels
from goemo_utils.cann.kernels.registry import ATEN
from goemo_utils.rehearsal import faults
from goemo_utils.rehearsal.grammar import Fault, parse_fault
from goemo_utils.rehearsal.numerics import handlers
from goemo_utils.rehearsal.settings import parse_numerics
from goemo_utils.rehearsal.state import STATE

MEMORY = "GOEMO_CANN_MEMORY"
QUEUE = "TASK_QUEUE_ENABLE"
_ARMED: list[tuple[Fault, ...]] = []


def arm(numerics: str = "exact", fault: str | None = None, seed: int = 0) -> None:
    """Set arithmetic and faults for this process, before torch_npu is imported.

    Raises DeviceError when a name is unknown or a fault names an operator without a kernel.
    """
    arithmetic = parse_numerics(numerics)
    disturbances = tuple(one for one in parse_fault(fault) if one.on(0))
    register_kernels()
    faults.check(disturbances, {name.removeprefix("aten::") for name in ATEN.values()})

    STATE.arithmetic_settings = arithmetic
    STATE.arithmetic = handlers(arithmetic, seed)
    faults.install(disturbances)
    _ARMED[:] = [disturbances]
    for one in disturbances:
        if one.kind == "oom" and math.isfinite(one.value):
            os.environ[MEMORY] = str(int(one.value))
    if any(one.module for one in disturbances):
        # a kernel on the queue's thread cannot know which module is running
        os.environ[QUEUE] = "0"


def attach(model: Any) -> None:
    """Follow ``model``, so that faults which name a module find it; a plain ``oom`` takes effect.

    Raises DeviceError when a fault names a module that the model does not have.
    """
    armed = _ARMED[0] if _ARMED else ()
    faults.attach(model, [one for one in armed if one.kind != "oom"])
    if any(one.kind == "oom" and math.isinf(one.value) for one in armed):
        import torch

        npu: Any = torch.npu  # type: ignore[attr-defined]  # torch_npu puts it there
        os.environ[MEMORY] = str(max(1, npu.memory_reserved()))
