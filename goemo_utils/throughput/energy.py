"""Energy per text of an NPU: its power, read from npu-smi once a second, while nothing but the device's own way runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Way

SECONDS = 10.0
IDLE_SECONDS = 3.0
PERIOD = 1.0  # npu-smi does not refresh faster
TRUSTED = 60.0  # seconds below which a mean of one reading a second is only indicative
_POWER = re.compile(r"Power\s*\(W\)\s*:\s*(\d+(?:\.\d+)?)")


def read_power(text: str) -> float | None:
    """Watts from the output of ``npu-smi info -t power``; None where it gives no figure."""
    found = _POWER.search(text)
    return float(found.group(1)) if found else None


def ask(index: int) -> float | None:
    """Watts of NPU ``index`` now; None when npu-smi is absent or does not answer."""
    if shutil.which("npu-smi") is None:
        return None
    try:
        done = subprocess.run(["npu-smi", "info", "-t", "power", "-i", str(index)], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_power(done.stdout)


def per_thousand_texts(way: Way, texts: Sequence[str], seconds: float = SECONDS, power: Callable[[int], float | None] = ask, wait: Callable[[float], None] = sleep) -> dict[str, Any]:
    """Joules per 1,000 texts of ``way``, in all and above idle, or the reason why there is no figure."""
    row: dict[str, Any] = {"id": way.id, "configuration": way.configuration, "device": way.device.requested, "unit": "J per 1,000 texts", "value": None, "above_idle": None}
    if way.device.simulated:
        return row | {"reason": "simulated"}
    if way.device.kind != "npu":
        return row | {"reason": f"power is read from npu-smi, and this is a {way.device.kind} device"}
    index = int(way.device.torch_device.partition(":")[2] or 0)
    if power(index) is None:
        return row | {"reason": "npu-smi did not give the power"}
    idle = _sample(index, IDLE_SECONDS, power, wait, lambda: wait(PERIOD))[0]
    watts, spent, rounds = _sample(index, seconds, power, wait, lambda: way.run(texts), way.device.synchronize)
    if not watts or not idle:
        return row | {"reason": "npu-smi stopped giving the power"}
    count = rounds * len(texts)
    note = None if spent >= TRUSTED else f"indicative: {spent:.0f} s of readings a second apart, {TRUSTED:.0f} s are needed"
    return row | {"value": 1000 * median(watts) * spent / count, "above_idle": 1000 * (median(watts) - median(idle)) * spent / count, "watts": median(watts), "idle_watts": median(idle),
                  "n": len(watts), "seconds": spent, "note": note, "reason": None}


def _sample(index: int, seconds: float, power: Callable[[int], float | None], wait: Callable[[float], None], work: Callable[[], object],
            synchronize: Callable[[], None] = lambda: None) -> tuple[list[float], float, int]:
    """Repeat ``work`` for ``seconds`` while another thread reads the power: (readings, seconds it took, repetitions)."""
    readings: list[float] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if (value := power(index)) is not None:
                readings.append(value)
            wait(PERIOD)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    started, rounds = perf_counter(), 0
    while perf_counter() - started < seconds or rounds == 0:
        work()
        rounds += 1
    synchronize()
    spent = perf_counter() - started
    done.set()
    reader.join()
    return readings, spent, rounds
