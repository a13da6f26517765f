"""Faults: a chosen operator, perhaps only inside a chosen module, computes something wrong, warns,
fails or is slow.

``check`` looks at the operators, ``Tracker`` at the modules; both name near ones when one is
unknown. A fault that never fired is visible in ``hits``.
"""

import difflib
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import memory
from goemo_utils.rehearsal.factories import write_stderr
from goemo_utils.rehearsal.settings import Fault
from goemo_utils.rehearsal.state import STATE

hits: Counter[str] = Counter()
"""How often each fault fired, by its text."""

_FALLBACK = (
    "Warning: CAUTION: The operator 'aten::{}' is not currently supported on the NPU backend and"
    " will fall back to run on the CPU. This may have performance implications. (function"
    " npu_cpu_fallback)"
)


class Tracker:
    """Knows the path of the module whose forward is running, by hooks on one model, and which paths
    a fault means.
    """

    def __init__(self) -> None:
        self.path: list[str] = [""]
        self.targets: dict[str, str] = {}
        self.handles: list[Any] = []

    def follow(self, model: nn.Module, faults: Iterable[Fault]) -> None:
        """Follow ``model`` instead of any model before, and resolve the modules that ``faults``
        name.

        Raises:
            DeviceError: a fault names no module of the model, or its end of a path fits several.
        """
        names = [name for name, _ in model.named_modules() if name]
        targets = {fault.module: _resolve(fault, names) for fault in faults if fault.module}
        for handle in self.handles:
            handle.remove()
        self.path, self.targets, self.handles = [""], targets, []
        if targets:
            for name, module in model.named_modules():
                self._hook(name, module)

    def _hook(self, name: str, module: nn.Module) -> None:
        def enter(_module: nn.Module, _args: Any) -> None:
            self.path.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            self.path.pop()

        self.handles.append(module.register_forward_pre_hook(enter))
        self.handles.append(module.register_forward_hook(leave, always_call=True))

    def inside(self, fault: Fault) -> bool:
        """Whether the operator that runs now belongs to the module of ``fault`` itself or to one
        inside it.
        """
        if fault.module is None:
            return True
        target, current = self.targets.get(fault.module), self.path[-1]
        return target is not None and (current == target or current.startswith(target + "."))


TRACKER = Tracker()


def _resolve(fault: Fault, names: Sequence[str]) -> str:
    wanted = fault.module or ""
    if wanted in names:
        return wanted
    fitting = [name for name in names if name.endswith("." + wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DeviceError(
            f"The fault {fault.text!r} names the module {wanted!r}, which fits {len(fitting)}"
            f" modules, for example {', '.join(fitting[:3])}; give more of the path."
        )
    raise DeviceError(
        f"The fault {fault.text!r} names the module {wanted!r}, which the model does not have;"
        f" {_near(wanted, names)}."
    )


def _near(wanted: str, names: Iterable[str]) -> str:
    pool = sorted(set(names))
    near = difflib.get_close_matches(wanted, pool, n=4, cutoff=0.5)
    last = wanted.rpartition(".")[2]
    near += [name for name in pool if last and last.lower() in name.lower() and name not in near][
        : 4 - len(near)
    ]
    return (
        f"near names: {', '.join(near)}"
        if near
        else f"expected one of {len(pool)} names, for example {', '.join(pool[:4])}"
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
                f" reaches the device; {_near(fault.operator, known)}."
            )


def install(faults: Sequence[Fault]) -> None:
    """Arm ``faults``, which have been checked."""
    by_operator: dict[str, list[Fault]] = {}
    for fault in faults:
        hits[fault.text] = 0
        if fault.kind == "oom" and math.isfinite(fault.value):
            STATE.memory_limit = int(fault.value)
        elif fault.kind == "slow_first":
            STATE.before_first = _slow(fault)
        elif fault.operator:
            by_operator.setdefault(f"aten::{fault.operator}", []).append(fault)
    STATE.disturbances = {name: _disturb(mine) for name, mine in by_operator.items()}


def attach(model: nn.Module, faults: Sequence[Fault]) -> None:
    """Resolve the modules of ``faults`` in ``model``; plain ``oom`` takes effect here, leaving only
    what is allocated now.
    """
    TRACKER.follow(model, faults)
    for fault in faults:
        if fault.kind == "oom" and math.isinf(fault.value):
            STATE.memory_limit = max(
                1, *(memory.allocated(index) for index in range(STATE.devices))
            )
            for index in range(STATE.devices):
                memory.reset_peak(index)


def _slow(fault: Fault) -> Any:
    def delay() -> None:
        STATE.before_first = None
        hits[fault.text] += 1
        time.sleep(fault.value)

    return delay


def _disturb(faults: Sequence[Fault]) -> Any:
    def disturbance(result: Any) -> None:
        for fault in faults:
            if TRACKER.inside(fault):
                _apply(fault, result[0] if isinstance(result, (tuple, list)) else result)

    return disturbance


def _apply(fault: Fault, output: Any) -> None:
    if fault.kind == "fallback":
        hits[fault.text] += 1
        line = _FALLBACK.format(fault.operator)
        if line not in STATE.warned:
            STATE.warned.add(line)
            write_stderr(line)
        return
    if not isinstance(output, Tensor) or not output.numel() or not output.is_floating_point():
        return
    hits[fault.text] += 1
    with torch.no_grad():
        if fault.kind == "scale":
            output.mul_(fault.value)
        elif fault.kind == "add":
            output.add_(fault.value)
        elif fault.kind == "clamp":
            output.clamp_(-fault.value, fault.value)
        elif fault.kind == "zero":
            (output[..., :1, :] if fault.part == "row" and output.dim() > 1 else output).zero_()
        elif fault.part == "all":
            output.fill_(math.nan)
        else:
            output[(0,) * output.dim()] = math.nan
