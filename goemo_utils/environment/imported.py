"""What importing torch gave in a process that a run starts anyway, so that the doctor of that run
need not import it once more.

The process says in a file that it is importing, and then what it saw. Should it die of the import,
the doctor finds it dead, imports torch in a child of its own, and tells why that failed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goemo_utils.boundary.parts import replacing
from goemo_utils.environment.child import torch_stage

PLACE = "GOEMO_TORCH"
"""Names the file in which a run's process tells."""

LOOK = 0.02
PATIENCE = 60.0
"""Seconds that an import is waited for, as the doctor waits for its own child."""


def tell() -> None:
    """Import torch, and tell of it where the environment names a place."""
    path = os.environ.get(PLACE)
    if not path:
        return
    _write(Path(path), {"pid": os.getpid()})
    started = time.perf_counter()
    facts = torch_stage()
    seconds = time.perf_counter() - started
    _write(Path(path), {"ok": True, "seconds": seconds, **facts, "stderr": ""})


def told(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What a run's process saw of torch, once it has imported it; None where there is none, or it
    died, or still imports after PATIENCE.
    """
    path, end = environ.get(PLACE), time.monotonic() + PATIENCE
    while path and time.monotonic() < end:
        facts = _read(Path(path))
        if facts is None or "ok" in facts:
            return facts
        if not _lives(facts.get("pid")):
            return None
        time.sleep(LOOK)
    return None


def _write(path: Path, facts: dict[str, Any]) -> None:
    with replacing(path) as new:
        new.write_text(json.dumps(facts), encoding="utf-8")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _lives(pid: Any) -> bool:
    """Whether a process of that number is there, one that waits to be reaped apart."""
    try:
        stat = Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8")
    except (OSError, ValueError, TypeError):
        return False
    return stat.rpartition(")")[2].split()[:1] != ["Z"]
