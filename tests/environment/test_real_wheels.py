"""The real torch_npu wheels beside torch, without CANN: run with
GOEMO_TORCH_NPU_PYTHONS=path/of/python[:another] of environments that hold one.

Make one with: python -m venv npu && npu/bin/pip install torch==2.13.0 && npu/bin/pip install
--no-deps torch-npu==2.13.0
"""

import json
import os
import subprocess

import pytest

from goemo_utils.environment import doctor
from goemo_utils.environment.versions import release

PYTHONS = [path for path in os.environ.get("GOEMO_TORCH_NPU_PYTHONS", "").split(os.pathsep) if path]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHONS, reason="GOEMO_TORCH_NPU_PYTHONS names no interpreter with torch_npu"
    ),
]


@pytest.fixture(scope="module", params=PYTHONS)
def result(request):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASCEND_")}
    ran = subprocess.run(
        [request.param, doctor.__file__, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
    )
    return json.loads(ran.stdout)


def test_a_missing_cann_is_found_and_the_import_error_is_its_consequence(result):
    found = {one["id"]: one for one in result["findings"]}
    assert found["cann-missing"]["severity"] == "error"
    assert "libhccl.so" in found["A1"]["evidence"]
    assert (
        "Failed to load the backend extension: torch_npu"
        in found["autoload-breaks-torch"]["evidence"]
    )


def test_a_mismatch_is_found_by_metadata_and_a_match_is_not_called_one(result):
    torch, torch_npu = result["facts"]["torch"]["version"], result["facts"]["torch_npu"]["version"]
    assert ("pair-torch" in [one["id"] for one in result["findings"]]) == (
        release(torch) != release(torch_npu)
    )


def test_torch_alone_still_serves_the_cpu(result):
    assert result["verdicts"]["cpu"]["ok"]
    assert not result["verdicts"]["npu"]["ok"]
