"""The self-test catches and places faults of the backward pass."""

import subprocess
import sys

import pytest


@pytest.mark.long
def test_faults_in_the_backward_of_one_layer_are_caught_and_placed_by_the_selftest():
    """In an interpreter of its own; its table of faults is the proof that docs/finetuning.md
    quotes.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "goemo_utils.training.parity.selftest",
            "--only",
            "faults",
            "--short",
        ],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "scale 1e-4, backward" in done.stdout
    assert "8 faults above the floor, 0 missed, 0 wrongly placed" in done.stdout
