"""Energy per text of an NPU: its power, read from npu-smi once a second, while nothing but the
device's own way runs.

Words and cases follow npu-smi's published source (show_ascend_chip_power_info): a chip of a 910
gives "NPU Real-time Power(W)", the controller of a card "Power Dissipation(W)", and a 310 only its
"Rated Power Dissipation(W)", which is no measurement.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from goemo_utils.throughput.protocol import Clock

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Way

SECONDS = 10.0
IDLE_SECONDS = 3.0
PERIOD = 1.0  # npu-smi does not refresh faster
TRUSTED = 60.0  # seconds below which a mean of one reading a second is only indicative
_POWER = re.compile(
    r"^\s*(?:NPU Real-time Power|Power Dissipation|Power)\s*\(W\)\s*:\s*(\d+(?:\.\d+)?)",
    re.MULTILINE,
)


def read_power(text: str) -> float | None:
    """Watts from the output of ``npu-smi info -t power``; None where it gives no measurement. Chips
    that share a card all show the card's.
    """
    found = _POWER.search(text)
    return float(found.group(1)) if found else None


def find_card(index: int) -> tuple[int, int]:
    """The card (npu-smi's NPU ID) of torch's device ``index`` and how many chips it has: cards are
    not always numbered from 0, and some hold two chips.
    """
    from goemo_utils.environment import smi

    devices = smi.parse(_npu_smi())["devices"]
    visible = [
        int(number)
        for number in re.findall(r"\d+", os.environ.get("ASCEND_RT_VISIBLE_DEVICES", ""))
    ]
    position = visible[index] if index < len(visible) else index
    if position >= len(devices):
        return index, 1
    card = devices[position]["npu"]
    return card, sum(device["npu"] == card for device in devices)


def ask(card: int) -> float | None:
    """Watts of an NPU card now; None when npu-smi is absent or does not answer."""
    return read_power(_npu_smi("-t", "power", "-i", str(card)))


def _npu_smi(*arguments: str) -> str:
    """What ``npu-smi info`` prints; nothing where it is absent or fails."""
    if shutil.which("npu-smi") is None:
        return ""
    try:
        return subprocess.run(
            ["npu-smi", "info", *arguments], capture_output=True, text=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def per_thousand_texts(
    way: Way,
    texts: Sequence[str],
    seconds: float = SECONDS,
    power: Callable[[int], float | None] = ask,
    wait: Callable[[float], None] = sleep,
    clock: Clock = perf_counter,
) -> dict[str, Any]:
    """Joules per 1,000 texts of ``way``, in all and above idle, or the reason why there is no
    figure.
    """
    row: dict[str, Any] = {
        "id": way.id,
        "configuration": way.configuration,
        "device": way.device.requested,
        "unit": "J per 1,000 texts",
        "value": None,
        "above_idle": None,
    }

    if way.device.simulated:
        return row | {"reason": "simulated"}
    if way.device.kind != "npu":
        return row | {
            "reason": f"power is read from npu-smi, and this is a {way.device.kind} device"
        }

    card, chips = find_card(int(way.device.torch_device.partition(":")[2] or 0))
    if power(card) is None:
        return row | {"reason": "npu-smi did not give the power"}
    idle = _sample(card, IDLE_SECONDS, power, wait, clock, lambda: wait(PERIOD))[0]
    watts, spent, rounds = _sample(
        card, seconds, power, wait, clock, lambda: way.run(texts), way.device.synchronize
    )

    if not watts or not idle:
        return row | {"reason": "npu-smi stopped giving the power"}
    count = rounds * len(texts)
    notes = (
        []
        if spent >= TRUSTED
        else [f"indicative: {spent:.0f} s of readings a second apart, {TRUSTED:.0f} s are needed"]
    )

    if chips > 1:
        notes.append(f"the power is that of the whole card {card}, which has {chips} chips")
    return row | {
        "value": 1000 * median(watts) * spent / count,
        "above_idle": 1000 * (median(watts) - median(idle)) * spent / count,
        "watts": median(watts),
        "idle_watts": median(idle),
        "n": len(watts),
        "seconds": spent,
        "note": "; ".join(notes) or None,
        "reason": None,
    }


def _sample(
    card: int,
    seconds: float,
    power: Callable[[int], float | None],
    wait: Callable[[float], None],
    clock: Clock,
    work: Callable[[], object],
    synchronize: Callable[[], None] = lambda: None,
) -> tuple[list[float], float, int]:
    """Repeat ``work`` for ``seconds`` while another thread reads the power: (readings, seconds it
    took, repetitions).
    """
    readings: list[float] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if (value := power(card)) is not None:
                readings.append(value)
            wait(PERIOD)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    started, rounds = clock(), 0
    while clock() - started < seconds or rounds == 0:
        work()
        rounds += 1

    synchronize()
    spent = clock() - started
    done.set()
    reader.join()
    return readings, spent, rounds
