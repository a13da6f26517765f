"""How things are timed: a cold call apart, warm-up until steady, then interleaved rounds between
explicit synchronisations.

Knows clocks, arms and samples; knows no model, text or device, so that it can be tested on a fake
clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

from goemo_utils.throughput.statistics import is_steady

Clock = Callable[[], float]
WINDOW = 6  # samples over which a warm-up must not drift


@dataclass(frozen=True)
class Arm:
    """One thing to be timed. ``step(round)`` does the work of one round; ``synchronize`` waits
    until a device has finished it.
    """

    id: str
    step: Callable[[int], object]
    synchronize: Callable[[], None] = lambda: None


@dataclass
class WarmUp:
    """The first call apart from the others, the others, and whether they came to rest. Seconds."""

    cold: float
    samples: list[float]
    steady: bool


@dataclass
class Samples:
    """Seconds a round, per arm, in the order of the rounds; ``cpu_seconds`` the processor time of
    all threads in them, which a busy neighbour lengthens far less; ``order`` the sequence of arms
    as they ran; ``complete`` whether the minima were met.
    """

    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    complete: bool = True


def timed(arm: Arm, number: int, clock: Clock = perf_counter) -> float:
    """Seconds of one step, with nothing of the device's queue left before it or after it."""
    arm.synchronize()
    start = clock()
    arm.step(number)
    arm.synchronize()
    return clock() - start


def warm_up(
    arm: Arm, limit: float = 10.0, window: int = WINDOW, clock: Clock = perf_counter
) -> WarmUp:
    """Repeat the first round until its time stops falling, or for ``limit`` seconds.

    The first call is not among the samples: it pays for lazy initialisation, compiled kernels and
    caches.
    """
    started = clock()
    cold = timed(arm, 0, clock)
    samples: list[float] = []
    while not (steady := is_steady(samples, window)) and clock() - started < limit:
        samples.append(timed(arm, 0, clock))
    return WarmUp(cold, samples, steady)


def interleave(
    arms: Sequence[Arm],
    seconds: float,
    min_rounds: int,
    max_seconds: float = float("inf"),
    clock: Clock = perf_counter,
    cpu_clock: Clock = process_time,
) -> Samples:
    """Run the arms in turn, A B A B, until each has at least ``min_rounds`` rounds and ``seconds``
    of its own time.

    Neighbours, heat and clock frequency change during a run; in turns they change for every arm
    alike. After ``max_seconds`` in all it stops at the end of a round, with ``complete`` False if
    the minima were not met.
    """
    if not arms:
        raise ValueError("There is nothing to time: no arms were given.")
    result = Samples({arm.id: [] for arm in arms}, {arm.id: [] for arm in arms})

    if len(result.seconds) != len(arms):
        raise ValueError(
            "Every arm needs an id of its own, and these were given:"
            f" {', '.join(arm.id for arm in arms)}."
        )

    started, number = clock(), 0
    while (
        not (
            done := number >= min_rounds and all(sum(s) >= seconds for s in result.seconds.values())
        )
        and clock() - started < max_seconds
    ):
        for arm in arms:
            used = cpu_clock()
            result.seconds[arm.id].append(timed(arm, number, clock))
            result.cpu_seconds[arm.id].append(cpu_clock() - used)
            result.order.append(arm.id)
        number += 1

    result.complete = done
    return result
