"""Runs in a child process: import torch, then torch_npu, then one operator, printing a line of JSON
after each stage that was asked for.

The text of this file is passed to ``python -c``, so that the child sees the working directory first
on its path, as a notebook does. A stage that crashes the interpreter leaves the lines of the stages
before it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Any

MARK = "goemo-probe "


def say(stage: str, **facts: Any) -> None:
    sys.stdout.write(MARK + json.dumps(dict(facts, stage=stage)) + "\n")
    sys.stdout.flush()


def torch_stage() -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "path": os.path.dirname(torch.__file__),
        "cuda_available": False,
        "cuda_devices": [],
    }
    if torch.version.cuda:
        facts["cuda_available"] = torch.cuda.is_available()
        for index in range(torch.cuda.device_count() if facts["cuda_available"] else 0):
            properties = torch.cuda.get_device_properties(index)
            capability = f"{properties.major}.{properties.minor}"
            facts["cuda_devices"].append(
                {
                    "name": properties.name,
                    "capability": capability,
                    "memory": properties.total_memory,
                }
            )
        facts["cuda_architectures"] = torch.cuda.get_arch_list()
    return facts


def transformers_stage() -> dict[str, Any]:
    """What goemo's processes do on cpu, cuda and rehearsal: torch_npu hidden, then transformers,
    which would import it by itself.
    """
    sys.modules["torch_npu"] = None  # type: ignore[assignment]  # None is documented
    import transformers
    from transformers.utils.import_utils import is_torch_npu_available

    return {"version": transformers.__version__, "sees_npu": bool(is_torch_npu_available())}


def torch_npu_stage() -> dict[str, Any]:
    import torch
    import torch_npu

    npu: Any = torch.npu  # type: ignore[attr-defined]  # torch_npu adds it to torch

    return {
        "version": torch_npu.__version__,
        "path": os.path.dirname(torch_npu.__file__ or ""),
        "available": npu.is_available(),
        "devices": npu.device_count(),
        "cann": getattr(torch.version, "cann", None),
    }


def operator_stage() -> dict[str, Any]:
    import torch

    npu: Any = torch.npu  # type: ignore[attr-defined]  # torch_npu adds it to torch
    left = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    result = left.to("npu:0") + left.to("npu:0")
    npu.synchronize()
    return {
        "device": str(result.device),
        "right": bool((result.cpu() == left + left).all()),
        "name": npu.get_device_name(0),
    }


STAGES = {
    "torch": torch_stage,
    "transformers": transformers_stage,
    "torch_npu": torch_npu_stage,
    "operator": operator_stage,
}


def main(names: list[str]) -> None:
    for name in names:
        started = time.perf_counter()
        try:
            facts = STAGES[name]()
        except BaseException:
            say(name, ok=False, error=traceback.format_exc(), seconds=time.perf_counter() - started)
            return
        say(name, ok=True, seconds=time.perf_counter() - started, **facts)


if __name__ == "__main__":
    main(sys.argv[1:])
    if sys.modules.get("torch_npu") is None:
        # everything is said: taking torch apart takes a fifth of the time that importing it took
        sys.stderr.flush()
        os._exit(0)
