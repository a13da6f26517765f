"""Every command of goemo that takes a device runs on the genuine torch_npu, and says SIMULATED."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cann.genuine import ROOT, needs_wheel

pytestmark = [needs_wheel, pytest.mark.long]


def _run(folder: Path, *arguments: str, code: int = 0) -> str:
    goemo = [sys.executable, "-m", "goemo_utils.cli"]
    ended = subprocess.run(
        [*goemo, "cann", "--", *goemo, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, said[-3000:]
    assert "SIMULATED CANN" in ended.stderr
    return said


def test_predict_marks_every_answer(tmp_path: Path) -> None:
    said = _run(tmp_path, "predict", "--text", "I love this", "--device", "npu:0")
    (line,) = [line for line in said.splitlines() if "I love this" in line]
    assert "SIMULATED" in line
    assert "love 0.9" in line


def test_a_benchmark_states_no_speed_of_the_device(tmp_path: Path) -> None:
    settings = ["--limit", "8", "--rounds", "2", "--seconds", "0", "--max_seconds", "20"]
    settings += ["--ways", "padded", "--against", "padded", "--json", "bench.json"]
    said = _run(tmp_path, "bench", "--device", "npu:0", *settings)
    rows = [line for line in said.splitlines() if line.startswith("device")]
    assert rows
    assert all("on npu:0 (SIMULATED)" in row for row in rows if "float32" in row)
    assert "No speed-up is quoted: simulated." in said

    results = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    told = [row for row in results["rows"] if row["id"].startswith("device")]
    assert told
    assert all(row["median"] is None for row in told)


def test_a_reference_made_beside_it_is_the_cpus(tmp_path: Path) -> None:
    parameters = ["-p", "device", "npu:0", "-p", "limit", "4"]
    _run(tmp_path, "reference", *parameters, "--output", "pack")
    pack = json.loads((tmp_path / "pack.json").read_text(encoding="utf-8"))
    assert pack["device"]["kind"] == "cpu"
    assert pack["device"]["simulated"] is False


def test_the_doctor_gives_no_npu_its_verdict(tmp_path: Path) -> None:
    said = _run(tmp_path, "doctor", "--for", "npu", code=1)
    assert "CANN is SIMULATED here" in said
    assert "npu        not ready  CANN is SIMULATED" in said


def test_a_training_is_simulated_in_every_record(tmp_path: Path) -> None:
    rows = [("this is wonderful", "good"), ("so bad", "bad")] * 12
    lines = [f"{text} {number}\t{label}" for number, (text, label) in enumerate(rows)]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *lines, ""]), encoding="utf-8")
    data = ["-p", "train", str(tmp_path / "train.tsv"), "-p", "dev", "none"]
    settings = ["-p", "device", "npu:0", "-p", "epochs", "1", "-p", "parity_steps", "0"]

    said = _run(tmp_path, "finetune", *data, *settings, "-p", "output_root", str(tmp_path / "out"))
    assert any(line.startswith("SIMULATED:") for line in said.splitlines())
    record = json.loads((tmp_path / "out" / "finetune" / "10_finetune.json").read_text("utf-8"))
    assert record["simulated"] is True
    assert record["results"]["training"]["device"]["name"].endswith("(SIMULATED CANN)")
    scores = json.loads(
        (tmp_path / "out" / "finetune" / "model" / "scores.json").read_text("utf-8")
    )
    assert scores["simulated"] is True
