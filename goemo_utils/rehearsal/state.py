"""What the simulated device currently is: one object, read by every kernel, written by ``enable``
and ``attach``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from goemo_utils.rehearsal.grammar import Fault
from goemo_utils.rehearsal.settings import Numerics

MARK = "[SIMULATED]"
DEVICE_NAME = "SIMULATED-NPU (rehearsal on the CPU)"
DEFAULT_TOTAL = 64 * 2**30
"""Bytes reported as the device's memory when no limit is set: the HBM of one 910B3."""

Handler = Callable[[Any, list[Any], dict[str, Any]], Any]
"""Computes an operator from its CPU arguments: ``(operator, args, kwargs) -> result``."""
Disturbance = Callable[[Any, list[Any]], None]
"""Changes the CPU result of an operator in place: ``(result, args)``."""
Observer = Callable[[Any, list[Any]], None]
"""Sees the CPU result and arguments of every operator that computes."""


def plain(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The handler of every operator whose arithmetic is the CPU's."""
    return operator(*args, **kwargs)


@dataclass(frozen=True)
class Settings:
    """What ``enable`` was asked for, to be told from another request."""

    numerics: Numerics
    memory_limit: int | None
    devices: int
    faults: tuple[Fault, ...]
    seed: int


@dataclass
class State:
    """``arithmetic`` and ``disturbances`` are keyed by operator name with its namespace, such as
    ``aten::addmm``.
    """

    settings: Settings | None = None
    devices: int = 1
    current: int = 0
    memory_limit: int | None = None
    arithmetic_settings: Numerics = field(default_factory=Numerics)
    seed: int = 0
    fault: str | None = None
    arithmetic: dict[str, Handler] = field(default_factory=dict)
    disturbances: dict[str, Disturbance] = field(default_factory=dict)
    observer: Observer | None = None
    before_first: Callable[[], None] | None = None
    warned: set[str] = field(default_factory=set)
    libraries: list[Any] = field(default_factory=list)

    @property
    def numerics(self) -> Numerics:
        """The arithmetic that was asked for, whatever switches have changed since."""
        return self.settings.numerics if self.settings else Numerics()


STATE = State()


def is_simulated() -> bool:
    """Whether ``npu`` in this process is the rehearsal device."""
    return STATE.settings is not None
