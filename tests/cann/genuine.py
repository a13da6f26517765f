"""Children in which the genuine torch_npu runs on the stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from goemo_utils import cann
from goemo_utils.cann import wheel
from goemo_utils.errors import DeviceError

ROOT = Path(__file__).parents[2]


def why_not() -> str | None:
    """Why the genuine torch_npu cannot run here; None when it can."""
    try:
        wheel.wanted()
        cann.refuse_where_real()
    except DeviceError as error:
        return str(error)
    return None if wheel.package() else "the wheel of torch_npu is not cached (goemo cann --fetch)"


needs_wheel = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def child(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process in which torch_npu finds the stand-ins."""
    environment = cann.environment(
        {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", "OMP_NUM_THREADS": "1"}
    )
    path = f"{environment.get('PYTHONPATH', '')}:{ROOT}"
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**environment, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


def answer(code: str, **variables: str) -> Any:
    """What such a child prints last, read as JSON."""
    ended = child(code, **variables)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])
