"""Gathers everything that the doctor reads, each probe on its own so that one that fails costs only
its own facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from goemo_utils.boundary.credentials import without_credentials
from goemo_utils.environment import cann, cuda, driver, host, hub, packages, stages
from goemo_utils.environment.machine import Machine

VARIABLES = re.compile(
    r"ASCEND_\w+|ACL_\w+|HCCL_\w+|TORCH_NPU_\w+|TORCHINDUCTOR_NPU_BACKEND"
    r"|TORCHINDUCTOR_ENABLE_FAST_GELU|TORCH_DEVICE_BACKEND_AUTOLOAD|TORCH_TRANSFER_TO_NPU"
    r"|TORCH_ACL_INIT_CONFIG_PATH|PYTORCH_HAL_BASED_NPU_CHECK|FORCE_OVERFLOW_CHECK"
    r"|TASK_QUEUE_ENABLE|CPU_AFFINITY_CONF|INF_NAN_MODE\w*|PYTORCH_\w*ALLOC_CONF"
    r"|CUDA_VISIBLE_DEVICES|OMP_NUM_THREADS|MKL_NUM_THREADS|LD_LIBRARY_PATH|HF_HOME|HF_HUB_CACHE"
    r"|HF_HUB_OFFLINE|HF_ENDPOINT|TRANSFORMERS_OFFLINE"
)


@dataclass
class Gathered:
    """``facts`` are for the reader; ``skipped`` are (what, why, remedy) of what was not looked at;
    ``failed`` are (what, error) of probes that broke.
    """

    facts: dict[str, Any]
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def probe(self, what: str, read: Callable[[], Any], default: Any) -> Any:
        try:
            return read()
        except (
            Exception
            # a probe meets whatever a broken machine holds; its failure is a finding, not a crash
        ) as error:
            self.failed.append((what, f"{type(error).__name__}: {error}"))
            return default


def gather(
    machine: Machine,
    purpose: str | None = None,
    model: str | None = None,
    ask: hub.Reach | None = hub.reach,
) -> Gathered:
    """Read the machine for ``purpose`` (None: for all). ``ask`` reaches the hub; None keeps off the
    network.

    For rehearsal and cpu exactly one child process imports torch, none where the run's own process
    tells of it, and no card is asked; what that leaves out is in ``skipped``.
    """
    facts: dict[str, Any] = {
        "python": machine.python_version,
        "executable": machine.python,
        "platform": machine.description,
        "system": machine.system,
        "machine": machine.architecture,
        "variables": {
            name: without_credentials(machine.environ[name])
            for name in sorted(machine.environ)
            if VARIABLES.fullmatch(name)
        },
    }
    gathered = Gathered(facts)
    probe = gathered.probe
    facts["cpu"] = probe(
        "the processor",
        lambda: host.read_cpu(machine),
        {"model": None, "cores": machine.cores, "usable": machine.cores, "capability": None},
    )
    facts["memory"] = probe(
        "the memory", lambda: host.read_memory(machine), {"total": None, "available": None}
    )
    facts["disk"] = probe("the disk", lambda: host.read_disk(machine), {"path": None, "free": None})
    facts["container"] = probe("the container", lambda: host.in_container(machine), False)
    facts["packages"] = probe("the packages", lambda: packages.read_packages(machine), {})
    facts["torch"] = probe(
        "torch's metadata",
        lambda: packages.read_torch(machine),
        {"version": None, "build": None, "cuda": None},
    )
    facts["torch_npu"] = probe(
        "torch_npu's metadata",
        lambda: packages.read_torch_npu(machine),
        {"version": None, "requires": None, "autoload": False, "shadow": None},
    )
    facts["cann"] = probe(
        "CANN",
        lambda: cann.read_cann(machine),
        {
            "installations": [],
            "active": None,
            "sourced": False,
            "home": None,
            "missing_libraries": [],
        },
    )
    nodes = probe("the device nodes", lambda: driver.read_nodes(machine), None)
    facts["npu"] = {
        "nodes_read": nodes is not None,
        "driver": probe("the driver", lambda: driver.read_driver(machine), None),
        "nodes": nodes or [],
        "in_group": probe("the group", lambda: driver.in_group(machine), None),
    }
    facts["model"] = probe(
        "the model",
        lambda: hub.read_model(machine, model),
        {"name": model, "source": None, "path": None, "weights": None},
    )
    _slow(gathered, machine, purpose, ask)

    return gathered


def _slow(gathered: Gathered, machine: Machine, purpose: str | None, ask: hub.Reach | None) -> None:
    """The probes that start processes or wait for the network, side by side."""
    facts, light = gathered.facts, purpose in ("rehearsal", "cpu")
    has_torch = facts["torch"]["version"] is not None
    has_npu = facts["torch_npu"]["version"] is not None
    if facts["model"]["source"] != "hub" and purpose is not None:
        ask = None

    jobs: dict[str, Callable[[], Any]] = {"hub": lambda: hub.read_hub(machine, ask)}
    if has_torch:
        jobs |= _children(facts, machine, purpose)
    if not light:
        jobs["smi"] = lambda: driver.read_smi(machine)
        jobs["cuda"] = lambda: cuda.read_cuda(machine)
    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        futures = {name: pool.submit(gathered.probe, name, job, None) for name, job in jobs.items()}
        answers = {name: future.result() for name, future in futures.items()}

    smi = answers.get("smi") or {
        "text": None,
        "error": None,
        "version": None,
        "devices": [],
        "processes": [],
    }
    facts["npu"].update(
        smi_text=smi["text"],
        smi_error=smi["error"],
        smi_version=smi["version"],
        devices=smi["devices"],
        processes=smi["processes"],
    )
    facts["cuda"] = answers.get("cuda") or {"driver": None, "devices": [], "error": "not checked"}
    facts["hub"] = answers["hub"] or {
        "state": "not checked",
        "endpoint": "",
        "why": "the probe failed",
    }
    facts["stages"] = dict(answers.get("stages") or {})
    facts["stages"]["autoload"] = answers.get("autoload")
    if "path" in answers:
        facts["stages"]["transformers"] = answers["path"]
    _note_skipped(gathered, purpose, has_torch, has_npu, light)


def _children(
    facts: dict[str, Any], machine: Machine, purpose: str | None
) -> dict[str, Callable[[], Any]]:
    """The child processes that import torch. Beside an installed torch_npu, the path that a run on
    the CPU takes is walked too: transformers imports torch_npu by itself unless it is hidden.
    """
    has_npu = facts["torch_npu"]["version"] is not None
    path = ("torch", "transformers") if has_npu and "transformers" in facts["packages"] else ()
    if purpose in ("rehearsal", "cpu"):
        names = path or ("torch",)
        return {"stages": lambda: stages.of_the_run(machine, names)}

    chosen: tuple[str, ...] = ("torch",)
    jobs: dict[str, Callable[[], Any]] = {}
    if has_npu:
        jobs["autoload"] = lambda: stages.run_stages(machine, ("torch",), autoload=True)["torch"]
    if has_npu and purpose in (None, "npu"):
        chosen = ("torch", "torch_npu", "operator")
    if path and purpose in (None, "cuda"):
        jobs["path"] = lambda: stages.run_stages(machine, path, autoload=False)["transformers"]
    jobs["stages"] = lambda: stages.run_stages(machine, chosen, autoload=False)
    return jobs


def _note_skipped(
    gathered: Gathered, purpose: str | None, has_torch: bool, has_npu: bool, light: bool
) -> None:
    facts, skip = gathered.facts, gathered.skipped.append
    if not has_torch:
        skip(("import torch", "torch is not installed", ""))
    if light:
        skip(
            ("NPU and CUDA devices", f"the check was for {purpose} alone", "goemo doctor --for npu")
        )
        return

    if purpose != "cuda":
        if has_torch and not has_npu:
            skip(
                ("import torch_npu and an operator on the device", "torch_npu is not installed", "")
            )
        for name in ("torch_npu", "operator"):
            stage = facts["stages"].get(name)
            if stage and stage["ok"] is None:
                skip(
                    (
                        {"torch_npu": "import torch_npu", "operator": "an operator on the device"}[
                            name
                        ],
                        stage["why"],
                        "",
                    )
                )
        if facts["npu"]["smi_error"] == "layout":
            skip(
                (
                    "the health of the cards",
                    "npu-smi printed a table of a layout that is not known; --json has it",
                    "npu-smi info",
                )
            )
        if facts["npu"]["smi_error"] == "absent" and facts["npu"]["nodes"]:
            skip(
                (
                    "the health of the cards",
                    "npu-smi was not found",
                    "ls -l /usr/local/bin/npu-smi /usr/local/sbin/npu-smi",
                )
            )
    if facts["hub"]["state"] == "not checked" and facts["model"]["source"] == "hub":
        skip(("the hub", facts["hub"]["why"], ""))
