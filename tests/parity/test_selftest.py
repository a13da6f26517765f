"""The short form of the tables that prove the study: causes named, faults caught and located, no
false alarm. SIMULATED.
"""

import re
import subprocess
import sys

import pytest


@pytest.mark.long
def test_causes_are_named_and_faults_located_on_imitated_devices():
    # a process of its own, because the rehearsal device belongs to a process
    done = subprocess.run(
        [sys.executable, "-m", "goemo_utils.parity.selftest", "--short"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"10 clean runs: 10 causes right, 0 refused, 0 false alarms", done.stdout)
    found = re.search(
        r"(\d+) faults, (\d+) above the floor: (\d+) caught and located; 0 wrong places",
        done.stdout,
    )
    assert found
    assert int(found[2]) == int(found[3]) >= 60
    assert "SIMULATED" in done.stdout
