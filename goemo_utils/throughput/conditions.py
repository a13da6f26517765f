"""What a machine was doing while something was timed: load, stolen time, clock governor, threads,
and the settings that change speed.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

# Variables that change how fast a device or the CPU runs; TASK_QUEUE_ENABLE is set to 0 by
# torch_npu inside a notebook.
VARIABLES = (
    "TASK_QUEUE_ENABLE",
    "ASCEND_LAUNCH_BLOCKING",
    "PYTORCH_NPU_ALLOC_CONF",
    "CPU_AFFINITY_CONF",
    "CUDA_LAUNCH_BLOCKING",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "KMP_AFFINITY",
    "MKL_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
    "RAYON_NUM_THREADS",
)
# Above these the machine was shared during the run, and its figures are those of a busy machine.
BUSY_STEAL = 0.02
BUSY_OTHERS = 0.25


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin_threads(threads: int) -> None:
    """Give torch, and the tokenizer before its first batch, so many threads. Imports torch."""
    import torch

    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def ticks(stat: str) -> dict[str, int]:
    """Clock ticks of all cores from the text of ``/proc/stat``: total, idle and stolen by the
    hypervisor.
    """
    fields = [int(value) for value in stat.splitlines()[0].split()[1:9]]
    return {"total": sum(fields), "idle": fields[3] + fields[4], "steal": fields[7]}


def snapshot() -> dict[str, Any]:
    """Counters to be compared with a later snapshot; empty where the system does not give them."""
    try:
        counters: dict[str, Any] = ticks(Path("/proc/stat").read_text(encoding="ascii"))
    except (OSError, IndexError, ValueError):
        counters = {}
    own = os.times()
    counters["own"] = own.user + own.system
    counters["load"] = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    return counters


def between(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Load average, and the shares of CPU time that were stolen and that other processes used, from
    ``before`` to ``after``.

    A share is None where the system does not tell. ``busy`` says that the figures are those of a
    shared machine.
    """
    steal = others = None
    total = after.get("total", 0) - before.get("total", 0)
    if total > 0:
        steal = (after["steal"] - before["steal"]) / total
        used = total - (after["idle"] - before["idle"]) - (after["steal"] - before["steal"])
        own = (after["own"] - before["own"]) * os.sysconf("SC_CLK_TCK")
        others = max(0.0, (used - own) / total)

    return {
        "load_average_before": before["load"],
        "load_average_after": after["load"],
        "steal_share": steal,
        "other_processes_share": others,
        "busy": bool((steal or 0) > BUSY_STEAL or (others or 0) > BUSY_OTHERS),
    }


def settings() -> dict[str, Any]:
    """Threads, CPU capability, governor and the variables of this worker process. Imports torch."""
    import torch

    return {
        **{name: os.environ.get(name) for name in VARIABLES},
        "pid": os.getpid(),
        "interactive": "ipykernel" in sys.modules,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cores": cores(),
        "cpu": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "torch": torch.__version__,
    }


def cpu_name(text: str | None = None) -> str | None:
    """The processor's own name from the text of ``/proc/cpuinfo``, where it has one."""
    text = _read("/proc/cpuinfo") if text is None else text
    return next(
        (
            line.partition(":")[2].strip()
            for line in (text or "").splitlines()
            if line.lower().startswith("model name")
        ),
        None,
    )


def has_bfloat16(text: str | None = None) -> bool | None:
    """Whether the processor multiplies bfloat16 itself, by the flags in the text of
    ``/proc/cpuinfo``; None where there is none to read.
    """
    text = _read("/proc/cpuinfo") if text is None else text
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(text.lower().split())) if text else None


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
