"""Level 3: asked of an NPU that has it, and a reason in words from everything else."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from goemo_utils.forward import consistency
from goemo_utils.forward.device import Device

NPU = Device("npu:0", "npu", "npu:0", "Ascend910B3")


def torch_npu(monkeypatch: pytest.MonkeyPatch, cann: str | None, **npu: Any) -> None:
    """A torch_npu whose ``npu`` has these functions, beside this CANN."""
    module = SimpleNamespace(npu=SimpleNamespace(**npu), __version__="2.13.0")
    monkeypatch.setitem(sys.modules, "torch_npu", module)
    active = {"toolkit": cann} if cann else None
    monkeypatch.setattr(consistency, "read_cann", lambda machine: {"active": active})


@pytest.mark.parametrize("cann", ["9.2.0", "10.0.RC1", None])
def test_an_npu_that_has_level_3_is_asked_for_it(monkeypatch, cann) -> None:
    asked: list[int] = []
    torch_npu(monkeypatch, cann, set_deterministic_level=asked.append)
    assert consistency.ask(NPU) is None
    assert asked == [3]


def test_a_cann_before_9_2_is_not_asked_and_is_named(monkeypatch) -> None:
    asked: list[int] = []
    torch_npu(monkeypatch, "9.1.0", set_deterministic_level=asked.append)
    assert "CANN 9.1.0" in str(consistency.ask(NPU))
    assert asked == []


def test_a_torch_npu_without_the_switch_is_named(monkeypatch) -> None:
    torch_npu(monkeypatch, "9.2.0")
    assert "torch_npu 2.13.0 has no set_deterministic_level" in str(consistency.ask(NPU))


def test_a_switch_that_knows_no_level_3_is_quoted(monkeypatch) -> None:
    def refuse(level: int) -> None:
        raise ValueError("level must be 0, 1 or 2\nsecond line")

    torch_npu(monkeypatch, "9.2.0", set_deterministic_level=refuse)
    assert "level must be 0, 1 or 2" in str(consistency.ask(NPU))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Device("cpu", "cpu", "cpu", "CPU"), "no levels"),
        (Device("rehearsal", "rehearsal", "npu:0", "SIMULATED", simulated=True), "rehearsal"),
    ],
)
def test_other_devices_say_that_they_have_no_levels(device, words) -> None:
    assert words in str(consistency.ask(device))
