"""Kernels of the chain are forks of a process that has imported what notebooks use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_client.manager import KernelManager

from goemo_utils.chain import first_kernel, kernels
from goemo_utils.forward import worker


def test_a_device_that_needs_its_own_interpreter_gets_an_ordinary_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker-kernels").touch()
    monkeypatch.setenv(worker.ADDRESS, str(tmp_path / "worker"))
    assert kernels.manager(SimpleNamespace(opened_as="rehearsal"))
    for device in ("npu:0", "cuda:0", "rehearsal:torch_npu"):
        assert kernels.manager(SimpleNamespace(opened_as=device)) == {}


def test_without_a_server_the_kernel_is_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(worker.ADDRESS, raising=False)
    assert kernels.manager(SimpleNamespace(opened_as="cpu")) == {}


def test_a_kernel_imports_first_where_its_server_does_not_listen_yet(tmp_path: Path) -> None:
    ordinary = [sys.executable, *kernels.LAUNCHER, "-f", "file"]
    address = tmp_path / "worker-kernels"
    assert kernels.instead(ordinary, str(address))[1:] == ["-m", kernels.FIRST, "-f", "file"]
    address.touch()
    assert kernels.instead(ordinary, str(address))[-3:] == [str(address), "-f", "file"]


@pytest.mark.long
def test_what_the_first_kernel_imports_does_not_import_torch_or_figures() -> None:
    asked = "; ".join(f"import {name}" for name in first_kernel.PRELOAD)
    told = subprocess.check_output(
        [sys.executable, "-c", f"import sys; {asked}; print(*sys.modules)"], text=True
    )
    assert not {"torch", "transformers", "matplotlib", "seaborn"} & set(told.split())


def test_a_kernel_of_another_interpreter_starts_as_it_says() -> None:
    elsewhere = ["/usr/bin/python3.9", "-m", "ipykernel_launcher", "-f", "file"]
    assert kernels.instead(elsewhere, "address") == elsewhere


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = worker.Server(beside=kernels.SERVE)
    path = kernels.kernels_of(server.wait())
    end = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.05)
    yield server.address
    server.close()


@pytest.fixture
def kernel(address: str) -> Iterator[KernelManager]:
    class Forked(KernelManager):
        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            command = super().format_kernel_cmd(extra_arguments)
            return kernels.instead(command, kernels.kernels_of(address))

    manager = Forked(kernel_name="python3")
    manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)


def answer(manager: KernelManager, code: str) -> str:
    """What the kernel printed."""
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    printed: list[str] = []

    def keep(message: dict) -> None:
        printed.append(message["content"].get("text", ""))

    client.execute_interactive(code, output_hook=keep, timeout=60)
    client.stop_channels()
    return "".join(printed)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def gone(process: int) -> bool:
    """Whether the process ends within ten seconds."""
    end = time.monotonic() + 10
    while alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(process)


@pytest.mark.long
def test_a_kernel_has_imported_already_and_holds_the_askers_environment(
    kernel: KernelManager,
) -> None:
    told = answer(kernel, "import os, sys; print('torch' in sys.modules, os.environ['PATH'])")
    assert told.split(maxsplit=1) == ["True", os.environ["PATH"] + "\n"]


@pytest.mark.long
def test_a_kernel_knows_its_parent_and_so_prints_no_advice_to_the_terminal(
    kernel: KernelManager,
) -> None:
    ask = "import os; from ipykernel.kernelapp import IPKernelApp as App"
    told = answer(kernel, f"{ask}; print(App.instance().parent_handle == os.getppid())")
    assert told == "True\n"


@pytest.mark.long
def test_a_kernel_that_dies_is_seen_to_be_dead(kernel: KernelManager) -> None:
    process = int(answer(kernel, "import os; print(os.getpid())"))
    os.kill(process, signal.SIGKILL)
    end = time.monotonic() + 10
    while kernel.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert not kernel.is_alive()


@pytest.mark.long
def test_a_kernel_ends_with_who_asked_for_it(kernel: KernelManager) -> None:
    process = int(answer(kernel, "import os; print(os.getpid())"))
    os.kill(kernel.provisioner.pid, signal.SIGKILL)
    assert gone(process)


@pytest.mark.long
def test_nothing_of_one_kernel_is_in_the_next(kernel: KernelManager, address: str) -> None:
    answer(kernel, "import sys; sys.modules['left_behind'] = sys")
    kernel.restart_kernel(now=True)
    assert answer(kernel, "import sys; print('left_behind' in sys.modules)") == "False\n"


@pytest.mark.long
def test_once_a_kernel_was_forked_its_server_imports_what_later_ones_use(
    kernel: KernelManager,
) -> None:
    ask = "import sys; print('matplotlib.pyplot' in sys.modules)"
    end = time.monotonic() + 20
    while answer(kernel, ask) == "False\n" and time.monotonic() < end:
        kernel.restart_kernel(now=True)
    assert answer(kernel, ask) == "True\n"
