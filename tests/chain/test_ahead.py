"""Kernels that are started ahead are used once or leave nothing."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from goemo_utils.chain import ahead as module
from goemo_utils.chain.ahead import Ahead
from goemo_utils.forward import worker

STEPS = ["00_environment", "01_load", "02_smoke", "03_parity"]


@pytest.fixture
def ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ahead]:
    monkeypatch.delenv(worker.ADDRESS, raising=False)
    kernels = Ahead(SimpleNamespace(opened_as="cpu"), tmp_path / "logs", STEPS)
    yield kernels
    kernels.close()


def ended(manager: object) -> bool:
    """Whether a kernel's process ends within five seconds."""
    process = manager.provisioner.process
    end = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    return process.poll() is not None


@pytest.mark.long
def test_a_kernel_answers_when_its_step_begins_and_ends_with_it(ahead: Ahead) -> None:
    ahead.start_first()
    with ahead.kernel("00_environment") as ready:
        assert ready.manager.provisioner.process.poll() is None
        assert (ahead.logs / "00_environment.log").is_file()
        manager = ready.manager
    assert ended(manager)


@pytest.mark.long
def test_those_of_the_next_two_steps_start_meanwhile_and_leave_nothing_unused(
    ahead: Ahead,
) -> None:
    ahead.start_first()
    with ahead.kernel("00_environment"):
        assert list(ahead.waiting) == ["01_load", "02_smoke"]
    with ahead.kernel("01_load") as ready:
        assert ready is not None
    unused = [one.manager.provisioner.process for one in ahead.begun.values()]
    ahead.close()
    assert all(process.poll() is not None for process in unused)
    assert {path.name for path in ahead.logs.iterdir()} == {"00_environment.log", "01_load.log"}


def test_where_the_server_of_forks_never_listens_the_kernel_starts_as_ever(
    ahead: Ahead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(worker.ADDRESS, str(tmp_path / "worker"))
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ahead._start_after("00_environment")
    with ahead.kernel("01_load") as ready:
        assert ready is None
    ahead.close()
    assert not ahead.waiting
    assert not ahead.begun


def test_no_kernel_starts_beside_what_is_measured(tmp_path: Path) -> None:
    steps = [*STEPS, "04_throughput", "05_report"]
    kernels = Ahead(SimpleNamespace(opened_as="cpu"), tmp_path / "logs", steps)
    kernels._start_after("04_throughput")
    assert not kernels.waiting


def test_a_start_that_an_interrupt_left_hanging_is_not_waited_for(
    ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_ends(until: float) -> None:
        while time.monotonic() < until:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)

    monkeypatch.setattr(module, "ENDING", 0.05)
    began = time.monotonic()
    ahead.waiting["01_load"] = module.loop().create_task(never_ends(began + 2))
    ahead.close()
    assert time.monotonic() < began + 2
    assert not ahead.waiting
