"""Energy is computed from what npu-smi says, or is absent with a reason."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goemo_utils.throughput import energy

OUTPUT = """\
        NPU ID                         : 0
        Chip Count                     : 1

        NPU Real-time Power(W)         : 94.3
"""


FIXTURES = Path(__file__).parent.parent / "environment" / "fixtures" / "smi"


def way(kind: str, simulated: bool = False, place: int = 0) -> Any:
    device = SimpleNamespace(
        kind=kind,
        simulated=simulated,
        requested=kind,
        torch_device=f"{kind}:{place}",
        synchronize=lambda: None,
    )
    return SimpleNamespace(
        id="device", configuration="padded", device=device, run=lambda texts: time.sleep(0.005)
    )


@pytest.mark.parametrize(
    ("text", "watts"),
    [
        (OUTPUT, 94.3),
        (
            (
                "\tNPU Real-time Power(W)         : 163.1\n\tChip ID                        :"
                " 0\n\tNPU Real-time Power(W)         : 163.1\n\tChip ID : 1\n"
            ),
            163.1,
        ),
        ("\tPower Dissipation(W)           : 71.0\n", 71.0),
        ("\tRated Power Dissipation(W)     : 12.8\n", None),
        ("\tNPU Real-time Power(W)         : NA\n", None),
        ("This device does not support querying power.\n", None),
    ],
)
def test_the_power_is_read_where_npu_smi_measures_it(text: str, watts: float | None) -> None:
    assert energy.read_power(text) == watts


class FakeSmi:
    """npu-smi on the path: one of the recorded tables, and a power for each card."""

    def __init__(self, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.table, self.asked = (FIXTURES / f"{layout}.txt").read_text(), []
        monkeypatch.setattr(energy.shutil, "which", lambda name: f"/usr/local/bin/{name}")
        monkeypatch.setattr(energy.subprocess, "run", self)

    def __call__(self, command: list[str], **options: Any) -> Any:
        self.asked.append(command)
        return SimpleNamespace(
            stdout=(
                OUTPUT.replace("94.3", command[-1] + "00.0") if "power" in command else self.table
            )
        )


@pytest.mark.parametrize(
    ("layout", "visible", "index", "card", "chips"),
    [
        ("910b3", "", 3, 3, 1),
        ("910b3", "4,5", 1, 5, 1),
        ("910c_a3", "", 3, 1, 2),
        ("310p_no_hbm", "", 1, 8, 2),
        ("910b4_tight", "", 7, 7, 1),
    ],
)
def test_the_card_of_a_device_is_found_by_its_place_in_the_table(
    layout: str, visible: str, index: int, card: int, chips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", visible)
    FakeSmi(layout, monkeypatch)
    assert energy.find_card(index) == (card, chips)


def test_the_power_asked_is_that_of_the_card_and_a_shared_card_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(energy, "IDLE_SECONDS", 0.02)
    smi = FakeSmi("910c_a3", monkeypatch)
    told = energy.per_thousand_texts(
        way("npu", place=2), ["a"], seconds=0.0, wait=lambda seconds: time.sleep(0.001)
    )
    assert told["watts"] == 100.0
    assert "card 1, which has 2 chips" in told["note"]
    assert ["npu-smi", "info", "-t", "power", "-i", "1"] in smi.asked


def test_joules_are_watts_times_seconds_over_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """250 W for 60 seconds, 40 runs of 30 texts each: 15,000 J over 1,200 texts; 90 W of them are
    idle.
    """
    monkeypatch.setattr(energy, "IDLE_SECONDS", 4.0)
    now, watts, read = 0.0, 90.0, threading.Event()

    def spend(seconds: float) -> None:
        """Let the clock of the fake run on after a reading of the power as it is now."""
        nonlocal now
        read.clear()
        assert read.wait(10)
        now += seconds

    def run(texts: list[str]) -> None:
        nonlocal watts
        watts = 250.0
        spend(1.5)

    def power(card: int) -> float:
        value = watts
        read.set()
        return value

    def wait(seconds: float) -> None:
        (
            spend(seconds)
            if threading.current_thread() is threading.main_thread()
            else time.sleep(0.001)
        )

    device = way("npu")
    device.run = run
    told = energy.per_thousand_texts(
        device, ["a"] * 30, seconds=60.0, power=power, wait=wait, clock=lambda: now
    )
    assert told["seconds"] == 60.0
    assert told["value"] == pytest.approx(1000 * 250 * 60 / (40 * 30))
    assert told["above_idle"] == pytest.approx(1000 * (250 - 90) * 60 / (40 * 30))
    assert told["note"] is None


@pytest.mark.parametrize(
    ("device", "reason"),
    [(way("npu"), "npu-smi"), (way("cpu"), "cpu"), (way("rehearsal", True), "simulated")],
)
def test_without_a_reading_there_is_a_reason_and_no_figure(device: Any, reason: str) -> None:
    told = energy.per_thousand_texts(device, ["a"], power=lambda index: None)
    assert told["value"] is None
    assert reason in told["reason"]
