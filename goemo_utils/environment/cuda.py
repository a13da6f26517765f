"""The NVIDIA side of the machine, as nvidia-smi tells it."""

from __future__ import annotations

from typing import Any

from goemo_utils.environment.machine import Machine

QUERY = (
    "nvidia-smi",
    "--query-gpu=name,driver_version,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)
TIMEOUT = 8.0


def read_cuda(machine: Machine) -> dict[str, Any]:
    """{"driver", "devices": [{"name", "memory_mb", "capability"}], "error"}; error is "absent"
    where there is no nvidia-smi, None where it answered.
    """
    output = machine.command(QUERY, TIMEOUT)
    if output.missing:
        return {"driver": None, "devices": [], "error": "absent"}
    if not output.ok:
        return {
            "driver": None,
            "devices": [],
            "error": (output.out + output.err).strip() or f"no answer within {TIMEOUT:g} s",
        }

    rows = [
        [cell.strip() for cell in line.split(",")]
        for line in output.out.splitlines()
        if line.count(",") == 3
    ]
    devices = [
        {
            "name": name,
            "memory_mb": int(memory) if memory.isdigit() else None,
            "capability": capability,
        }
        for name, _, memory, capability in rows
    ]

    return {
        "driver": rows[0][1] if rows else None,
        "devices": devices,
        "error": None if rows else "no device listed",
    }
