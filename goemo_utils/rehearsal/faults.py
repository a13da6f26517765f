"""Faults of operators: a chosen operator, perhaps only inside a chosen module, computes something
wrong, warns, fails or is slow.

``check`` looks at the operators, ``tracker`` at the modules; both name near ones when one is
unknown. A fault that never fired is visible in ``hits``.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.environment.torch_npu import FORBID
from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import memory, model_faults
from goemo_utils.rehearsal.factories import write_stderr
from goemo_utils.rehearsal.grammar import ROLES, Fault
from goemo_utils.rehearsal.state import STATE, Disturbance
from goemo_utils.rehearsal.tracker import TRACKER, hits, near

# torch_npu 2.14.0 in the same case, where the CPU is forbidden
_REFUSAL = (
    "The operator 'aten::{}' would execute its main computation on CPU through dispatcher backend"
    " fallback npu_cpu_fallback, but CPU fallback is disabled by"
    " TORCH_NPU_FALLBACK_CPU_DISABLE=1. [SIMULATED]"
)
_FALLBACK = (
    "Warning: CAUTION: The operator 'aten::{}' is not currently supported on the NPU backend and"
    " will fall back to run on the CPU. This may have performance implications. (function"
    " npu_cpu_fallback)"
)


def check(faults: Sequence[Fault], operators: Iterable[str]) -> None:
    """Check the operators that ``faults`` name; ``operators`` are those that reach the device,
    without ``aten::``.

    Raises:
        DeviceError: a fault names an operator that never reaches the device.
    """
    known = set(operators)
    for fault in faults:
        if fault.operator and fault.operator not in known:
            raise DeviceError(
                f"The fault {fault.text!r} names the operator {fault.operator!r}, which never"
                f" reaches the device; {near(fault.operator, known)}."
            )


def install(faults: Sequence[Fault]) -> None:
    """Arm ``faults``, which have been checked."""
    for fault in faults:
        if fault.kind not in ROLES:
            hits[fault.text] = 0
        if fault.kind == "oom" and math.isfinite(fault.value):
            STATE.memory_limit = int(fault.value)
        elif fault.kind == "slow_first":
            STATE.before_first = _slow(fault)
    STATE.disturbances = _disturbances(faults)


def _disturbances(faults: Sequence[Fault]) -> dict[str, Disturbance]:
    by_operator: dict[str, list[Fault]] = {}
    for fault in faults:
        if fault.operator:
            by_operator.setdefault(f"aten::{fault.operator}", []).append(fault)
    return {name: _disturb(mine) for name, mine in by_operator.items()}


def attach(model: nn.Module, faults: Sequence[Fault]) -> None:
    """Resolve the modules of ``faults`` in ``model`` and set those that belong to the model; plain
    ``oom`` takes effect here, leaving only what is allocated now.
    """
    TRACKER.follow(model, faults)
    STATE.disturbances = _disturbances(faults)
    model_faults.attach(model, faults)
    for fault in faults:
        if fault.kind == "oom" and math.isinf(fault.value):
            devices = range(STATE.devices)
            STATE.memory_limit = max(1, *(memory.allocated(index) for index in devices))
            for index in devices:
                memory.reset_peak(index)


def _slow(fault: Fault) -> Any:
    def delay() -> None:
        STATE.before_first = None
        hits[fault.text] += 1
        time.sleep(fault.value)

    return delay


def _disturb(faults: Sequence[Fault]) -> Disturbance:
    def disturbance(result: Any, _args: list[Any]) -> None:
        output = result[0] if isinstance(result, (tuple, list)) else result
        for fault in faults:
            if TRACKER.inside(fault):
                _apply(fault, output)

    return disturbance


def _apply(fault: Fault, output: Any) -> None:
    shown = output if isinstance(output, Tensor) else None
    if not TRACKER.is_time(fault, shown):
        return
    if fault.kind == "fallback":
        hits[fault.text] += 1
        if os.environ.get(FORBID) == "1":
            raise RuntimeError(_REFUSAL.format(fault.operator))
        line = _FALLBACK.format(fault.operator)
        if line not in STATE.warned:
            STATE.warned.add(line)
            write_stderr(line)
        return
    if shown is None or not shown.numel() or not shown.is_floating_point():
        return

    with torch.no_grad():
        hits[fault.text] += DEEDS[fault.kind](fault, shown)


def _scale(fault: Fault, output: Tensor) -> bool:
    output.mul_(fault.value)
    return True


def _add(fault: Fault, output: Tensor) -> bool:
    output.add_(fault.value)
    return True


def _clamp(fault: Fault, output: Tensor) -> bool:
    output.clamp_(-fault.value, fault.value)
    return True


def _saturate(fault: Fault, output: Tensor) -> bool:
    beyond = bool((output.abs() > fault.value).any())
    output.clamp_(-fault.value, fault.value)
    return beyond


def _leak(fault: Fault, output: Tensor) -> bool:
    if output.dim() < 3 or output.shape[0] < 2:
        return False
    output.add_(output.roll(1, 0), alpha=fault.value)
    return True


def _zero(fault: Fault, output: Tensor) -> bool:
    first_row = fault.part == "row" and output.dim() > 1
    (output[..., :1, :] if first_row else output).zero_()
    return True


def _nan(fault: Fault, output: Tensor) -> bool:
    if fault.part == "all":
        output.fill_(math.nan)
    else:
        output[(0,) * output.dim()] = math.nan
    return True


DEEDS: dict[str, Callable[[Fault, Tensor], bool]] = {
    "scale": _scale,
    "add": _add,
    "clamp": _clamp,
    "saturate": _saturate,
    "leak": _leak,
    "zero": _zero,
    "nan": _nan,
}
"""What each kind does to an operator's output on the CPU, in place; whether it counts as a hit."""
