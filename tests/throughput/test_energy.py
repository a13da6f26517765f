"""Energy is computed from what npu-smi says, or is absent with a reason."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from goemo_utils.throughput import energy

OUTPUT = """\
        NPU ID                         : 0
        Chip Count                     : 1

        NPU Real-time Power(W)         : 94.3
"""


def way(kind: str, simulated: bool = False) -> Any:
    device = SimpleNamespace(kind=kind, simulated=simulated, requested=kind, torch_device=f"{kind}:0", synchronize=lambda: None)
    return SimpleNamespace(id="device", configuration="padded", device=device, run=lambda texts: time.sleep(0.005))


def test_the_power_is_read_from_the_words_of_npu_smi() -> None:
    assert energy.read_power(OUTPUT) == 94.3
    assert energy.read_power("Power(W) : -") is None


def test_joules_are_watts_times_seconds_over_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "IDLE_SECONDS", 0.02)
    told = energy.per_thousand_texts(way("npu"), ["a"] * 10, seconds=0.05, power=lambda index: 100.0, wait=lambda seconds: time.sleep(0.001))
    per_run = told["value"] / 1000 * 10 / 100.0
    assert 0.005 <= per_run < 0.5 and told["above_idle"] == pytest.approx(0) and told["watts"] == 100.0
    assert "indicative" in told["note"]


@pytest.mark.parametrize(("device", "reason"), [(way("npu"), "npu-smi"), (way("cpu"), "cpu"), (way("rehearsal", True), "simulated")])
def test_without_a_reading_there_is_a_reason_and_no_figure(device: Any, reason: str) -> None:
    told = energy.per_thousand_texts(device, ["a"], power=lambda index: None)
    assert told["value"] is None and reason in told["reason"]
