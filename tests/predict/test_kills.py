"""Campaign: ``goemo predict`` killed at random moments, the same command again until it is done.

    pytest -m campaign tests/predict/test_kills.py -s

prints a line a trial for docs/scale.md. Wall clock of one undisturbed command is measured first; a
kill falls anywhere in it, and in what is left of it again.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.forward import tiny_model

KILLS = int(os.environ.get("GOEMO_KILLS", "20"))
ROWS, SEED = 12_000, 23


def start(source: Path, model: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "goemo_utils.cli", "predict", "--batch_file", source]
    options = ["--model_path", model, "--output", out, "--probabilities"]
    return subprocess.Popen([*map(str, [*command, *options])], stderr=subprocess.DEVNULL)


@pytest.mark.campaign
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_whenever_it_is_killed_the_answers_are_those_of_an_undisturbed_run(
    suffix: str, tmp_path: Path
) -> None:
    model = tiny_model.save_roberta(tmp_path / "model")
    source = tmp_path / "many.txt"
    source.write_text("".join(f"text number {i}\n" if i % 7 else "\n" for i in range(ROWS)))
    undisturbed, out = tmp_path / f"undisturbed{suffix}", tmp_path / f"out{suffix}"
    began = time.monotonic()
    assert start(source, model, undisturbed).wait() == 0
    duration = time.monotonic() - began

    moments = random.Random(SEED)
    kills = goings_on = finished = 0
    while kills < KILLS:
        process = start(source, model, out)
        try:
            process.wait(timeout=moments.uniform(0, duration))
        except subprocess.TimeoutExpired:
            goings_on += out.with_name(f".{out.name}.started").exists()
            process.send_signal(signal.SIGKILL)
            kills += 1
            print(f"\nkill {kills} of {KILLS}", flush=True)
        if process.wait() == 0:
            finished += 1
            assert out.read_bytes() == undisturbed.read_bytes()
            out.unlink()

    assert start(source, model, out).wait() == 0
    assert out.read_bytes() == undisturbed.read_bytes()
    assert not out.with_name(f".{out.name}.started").exists()
    left = [path.name for path in tmp_path.glob(".*")]
    assert left == []
    print(
        f"\n| {suffix} | {kills} | {goings_on} | {finished + 1} of {finished + 1} equal |"
        f" {duration:.0f} s undisturbed |"
    )
