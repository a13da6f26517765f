"""The chain of notebooks on the genuine torch_npu runs, says SIMULATED and states no speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cann.genuine import ROOT, needs_wheel

pytestmark = [needs_wheel, pytest.mark.long]

WAYS = {
    "engine": ["run", "-p", "rehearsal_engine", "torch_npu"],
    "npu": ["cann", "--", sys.executable, "-m", "goemo_utils.cli", "run", "-p", "device", "npu:0"],
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_run_on_the_genuine_library_is_never_a_port(way: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "goemo_utils.cli", *WAYS[way], "-p", "limit", "6"]
    command += ["-p", "output_root", str(tmp_path), "-p", "run_id", "genuine"]
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said[-3000:]

    summary = json.loads((tmp_path / "genuine" / "summary.json").read_text(encoding="utf-8"))
    assert summary["simulated"] is True
    assert summary["verdict"] == "pass-with-cause"
    assert "tanh_gelu" in summary["causes"]  # which is what the library asks for, as it comes
    assert summary["speedup"] is None
    assert "SIMULATED" in said
    assert "ported to" not in said.lower()

    manifest = json.loads((tmp_path / "genuine" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["simulated"] is True
    for step in ("01_load", "02_smoke", "03_parity", "04_throughput", "05_report"):
        record = json.loads((tmp_path / "genuine" / f"{step}.json").read_text(encoding="utf-8"))
        assert record["simulated"] is True
    assert "SIMULATED" in (tmp_path / "genuine" / "report.html").read_text(encoding="utf-8")
