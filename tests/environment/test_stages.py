"""Staged imports in real child processes: crashes, hangs and a torch_npu that cannot load."""

import os
import sys
import textwrap
import time
from pathlib import Path

import pytest

from goemo_utils.environment.checkup import check
from goemo_utils.environment.machine import Machine, Output, run_command
from goemo_utils.environment.stages import read_stages, run_stages
from tests.environment.fake_machine import faults

HCCL = "libhccl.so: cannot open shared object file: No such file or directory"
GOOD = 'goemo-probe {"stage": "torch", "ok": true}\n'


def test_a_stage_that_kills_the_interpreter_is_blamed_and_the_next_is_not_checked():
    stages = read_stages(
        Output(-11, out=GOOD, err="Fatal Python error: Segmentation fault"),
        ("torch", "torch_npu", "operator"),
        60,
    )
    assert stages["torch"]["ok"]
    assert stages["torch_npu"]["ok"] is False
    assert "signal 11" in stages["torch_npu"]["error"]
    assert stages["operator"] == {
        "ok": None,
        "why": "the stage before it failed: torch_npu",
        "stderr": "Fatal Python error: Segmentation fault",
    }


def test_a_stage_that_hangs_is_reported_with_the_limit():
    stages = read_stages(Output(None, out=GOOD, timed_out=True), ("torch", "torch_npu"), 60)
    assert stages["torch_npu"]["error"] == "no answer within 60 s"


def test_an_interpreter_that_does_not_exist_is_reported():
    machine = Machine(python="/nowhere/python")
    assert (
        "could not be started" in run_stages(machine, ("torch",), autoload=False)["torch"]["error"]
    )


def test_other_lines_on_standard_output_are_ignored():
    assert read_stages(Output(0, out="a library prints\n" + GOOD + "and prints\n"), ("torch",), 60)[
        "torch"
    ]["ok"]


def runs(pid):
    """Whether a process exists and is not a zombie that waits to be reaped; a killed one is given a
    moment to go.
    """
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_command_that_hangs_is_killed_with_everything_it_started():
    code = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True);"
        " p.wait()"
    )
    output = run_command([sys.executable, "-S", "-c", code], 3.0, os.environ)
    assert output.timed_out
    assert output.rc is None
    assert not runs(int(output.out))


def test_a_missing_command_is_no_exception():
    assert run_command(["/nowhere/npu-smi", "info"], 1.0, os.environ).missing


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A torch_npu like the wheel 2.8.0.post4 without CANN, beside the torch of this interpreter:
    same metadata, same entry point, same error.
    """
    folder = tmp_path_factory.mktemp("site")
    info = folder / "torch_npu-2.8.0.post4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch-npu\nVersion: 2.8.0.post4\nRequires-Dist:"
        " torch==2.8.0+cpu\n"
    )
    (info / "entry_points.txt").write_text("[torch.backends]\ntorch_npu = torch_npu:_autoload\n")
    (folder / "torch_npu").mkdir()
    (folder / "torch_npu" / "__init__.py").write_text(
        textwrap.dedent(f"""
        import os
        os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
        import torch
        raise ImportError(
            "{HCCL}. Please check that the cann package is installed. Please run"
            " 'source set_env.sh' in the CANN installation path."
        )
    """)
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASCEND_")}
    return Machine(
        environ={**environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        sys_path=(str(folder), *sys.path),
        cwd=folder,
    )


@pytest.fixture(scope="module")
def result(broken):
    pytest.importorskip("torch", minversion="2.9")
    return check(machine=broken, ask=lambda url, timeout: "not asked in tests")


def test_a_mismatch_and_a_missing_cann_are_both_found_by_real_imports(result):
    found = [
        fault for fault in faults(result) if fault != "torch-cuda-build"
    ]  # these tests may run with either build of torch
    assert found[:2] == ["pair-torch", "cann-missing"]
    assert "torch_npu 2.8.0.post4 needs torch 2.8.0" in result["findings"][0]["title"]


def test_the_real_import_error_is_quoted_and_recognised(result):
    found = next(one for one in result["findings"] if one["id"] == "A1")
    assert HCCL in found["evidence"]
    assert found["severity"] == "note"


def test_torch_alone_still_serves_cpu_while_a_plain_import_fails(result):
    assert result["verdicts"]["cpu"]["ok"]
    assert not result["verdicts"]["npu"]["ok"]
    assert (
        "Failed to load the backend extension: torch_npu"
        in result["facts"]["stages"]["autoload"]["error"]
    )
    assert "autoload-breaks-torch" in [one["id"] for one in result["findings"]]
