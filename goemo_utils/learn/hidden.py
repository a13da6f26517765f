"""What exercises hide: a device whose arithmetic nobody names, and a queue with a clock of its own.

Both are SIMULATED. The device is the rehearsal device, computing in another way while it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary


@contextmanager
def computing(numerics: str) -> Iterator[None]:
    """The rehearsal device of this process computes as ``numerics`` says, until the block ends."""
    from goemo_utils.rehearsal.numerics import handlers
    from goemo_utils.rehearsal.settings import parse_numerics
    from goemo_utils.rehearsal.state import STATE

    before = STATE.arithmetic_settings, STATE.arithmetic
    STATE.arithmetic_settings = parse_numerics(numerics)
    STATE.arithmetic = handlers(STATE.arithmetic_settings, STATE.seed)
    try:
        yield
    finally:
        STATE.arithmetic_settings, STATE.arithmetic = before


# What a device or a queue hides, apart from it: no attribute of it shows the answer by accident.
_KEPT: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class HiddenDevice:
    """An NPU whose arithmetic is to be found out: ``device(function, *tensors)`` computes there."""

    def __init__(self, name: str, numerics: str) -> None:
        self.name = name
        _KEPT[self] = numerics

    def __repr__(self) -> str:
        return f"<NPU {self.name} [SIMULATED]>"

    def __call__(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        """What ``function`` gives on the device. Copies of the tensors and modules among the
        arguments are sent there, and the tensor it gives comes back to the CPU.
        """
        import torch

        sent = [_sent(each) for each in arguments]
        with computing(_KEPT[self]), torch.no_grad():
            return function(*sent, **settings).cpu()


def _sent(argument: Any) -> Any:
    """An argument on the device; what is neither tensor nor module stays."""
    import copy

    import torch

    if isinstance(argument, torch.nn.Module):
        return copy.deepcopy(argument).to("npu:0")
    if isinstance(argument, dict):
        return {name: _sent(value) for name, value in argument.items()}
    return argument.to("npu:0") if torch.is_tensor(argument) else argument


@dataclass(frozen=True)
class Pace:
    """What a queue costs, in seconds. A call costs the host ``launch`` and the device ``work``; the
    first ``cold`` calls cost the host ``compile`` more, and waiting costs ``wait``.
    """

    launch: float
    work: float
    compile: float
    cold: int
    wait: float

    @property
    def steady(self) -> float:
        """Seconds a call where many are queued: the slower of launching and computing."""
        return max(self.launch, self.work)


class Queue:
    """A device that works later than it is called, on a clock of its own, in seconds (SIMULATED).

    What was done is kept in ``events``, for the judge. Neither its pace nor its backlog is an
    attribute: they are to be measured.
    """

    def __init__(self, pace: Pace) -> None:
        _KEPT[self] = _device(pace)
        self.events: list[str] = []

    @property
    def calls(self) -> int:
        """How many batches were put into the queue so far."""
        return self.events.count("run")

    def __repr__(self) -> str:
        return f"<queue of an NPU, {self.calls} calls so far [SIMULATED]>"

    def run(self) -> None:
        """Put one batch into the queue; returns before the device has computed it."""
        _KEPT[self]("run")
        self.events.append("run")

    def synchronize(self) -> None:
        """Wait until the device has computed everything."""
        _KEPT[self]("synchronize")
        self.events.append("synchronize")

    def clock(self) -> float:
        """The time, in seconds."""
        self.events.append("clock")
        return float(_KEPT[self]("clock"))


def _device(pace: Pace) -> Callable[[str], float]:
    """A device that does what it is told, and tells its time."""
    now = free_at = 0.0
    calls = 0

    def do(what: str) -> float:
        nonlocal now, free_at, calls
        if what == "run":
            now += pace.launch
            if calls < pace.cold:
                now += pace.compile
            free_at = max(free_at, now) + pace.work
            calls += 1
        elif what == "synchronize":
            now = max(now, free_at) + pace.wait
        return now

    return do
