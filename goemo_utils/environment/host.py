"""The host: processor, memory, disk. Linux files are read; elsewhere what the standard library
knows.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from goemo_utils.environment.machine import Machine

# The widest instruction set first, as torch names its CPU kernels; the names after it are flags of
# /proc/cpuinfo.
CAPABILITIES = (
    ("AVX512", ("avx512f", "avx512bw", "avx512vl")),
    ("AVX2", ("avx2", "fma")),
    ("SVE", ("sve",)),
    ("NEON", ("asimd",)),
)


def read_cpu(machine: Machine) -> dict[str, Any]:
    """{"model", "cores", "usable", "capability"}: logical cores of the host, those this process may
    use, and the widest vector instructions.
    """
    text = machine.read("/proc/cpuinfo") or ""
    model = (
        _field(text, "model name")
        or _field(text, "Model")
        or _field(text, "CPU part")
        or platform.processor()
        or machine.architecture
    )
    flags = set((_field(text, "flags") or _field(text, "Features") or "").split())
    capability = next(
        (name for name, needed in CAPABILITIES if flags.issuperset(needed)),
        "default" if flags else None,
    )
    usable = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity") and machine.root == Path("/")
        else machine.cores
    )

    return {
        "model": model,
        "cores": machine.cores,
        "usable": min(usable, machine.cores),
        "capability": capability,
    }


def read_memory(machine: Machine) -> dict[str, int | None]:
    """{"total", "available"} in bytes, the smaller of the host's and the container's limit; None
    where it is not known.
    """
    text = machine.read("/proc/meminfo") or ""
    total, available = (_kilobytes(text, name) for name in ("MemTotal", "MemAvailable"))
    limit = _cgroup(machine, "memory.max", "memory/memory.limit_in_bytes")
    used = _cgroup(machine, "memory.current", "memory/memory.usage_in_bytes")
    if limit is not None and total is not None and limit < total:
        total = limit
        available = min(available or limit, max(limit - (used or 0), 0))
    return {"total": total, "available": available}


def read_disk(machine: Machine) -> dict[str, Any]:
    """{"path", "free"} in bytes of the file system that holds the working directory, where runs are
    written.
    """
    try:
        return {"path": str(machine.cwd), "free": shutil.disk_usage(machine.cwd).free}
    except OSError:
        return {"path": str(machine.cwd), "free": None}


def in_container(machine: Machine) -> bool:
    """Whether this process runs in a container, by the marks that the usual runtimes leave."""
    if machine.exists("/.dockerenv") or machine.exists("/run/.containerenv"):
        return True
    groups = machine.read("/proc/1/cgroup") or ""
    return bool(re.search(r"docker|kubepods|containerd|lxc", groups))


def _field(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else None


def _kilobytes(text: str, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match.group(1)) * 1024 if match else None


def _cgroup(machine: Machine, *names: str) -> int | None:
    for name in names:
        text = (machine.read(f"/sys/fs/cgroup/{name}") or "").strip()
        if text.isdigit():
            return int(text)
    return None
