"""Rules about variables, the hub, the model, memory, disk and CUDA: facts in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from goemo_utils.environment.findings import Finding, finding, table
from goemo_utils.environment.versions import release

GIB = 2**30


def variable_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """Variables whose value sets a trap, by the "variable" and "value" columns of checks.json and
    the rules of ASCEND_RT_VISIBLE_DEVICES.
    """
    variables = facts["variables"]
    for row in table("checks.json")["checks"]:
        name, value = row.get("variable"), variables.get(row.get("variable"))
        if value is not None and "value" in row and re.fullmatch(row["value"], value.strip()):
            yield finding(row["id"], f"{name}={value}", value=value)

    if "PYTORCH_NPU_ALLOC_CONF" in variables and "PYTORCH_ALLOC_CONF" in variables:
        yield finding(
            "alloc-conf-both",
            f"PYTORCH_NPU_ALLOC_CONF={variables['PYTORCH_NPU_ALLOC_CONF']},"
            f" PYTORCH_ALLOC_CONF={variables['PYTORCH_ALLOC_CONF']}",
        )
    if "ASCEND_RT_VISIBLE_DEVICES" in variables:
        yield from _visible_devices(variables["ASCEND_RT_VISIBLE_DEVICES"], facts)


def _visible_devices(value: str, facts: dict[str, Any]) -> Iterator[Finding]:
    evidence = f"ASCEND_RT_VISIBLE_DEVICES={value}"
    numbers = [int(number) for number in re.findall(r"\d+", value)]
    count = len(facts["npu"]["devices"]) or sum(
        bool(re.fullmatch(r"/dev/davinci\d+", node["path"])) for node in facts["npu"]["nodes"]
    )
    fixed = (
        ",".join(str(number) for number in sorted(set(numbers)) if not count or number < count)
        or "0"
    )

    if not value.strip():
        yield finding("devices-empty", evidence)
    elif not re.fullmatch(r"\d+(,\d+)*", value):
        yield finding("devices-syntax", evidence, fixed=fixed)
    elif any(left >= right for left, right in pairwise(numbers)):
        yield finding("devices-order", evidence, fixed=fixed)
    elif count and numbers[-1] >= count:
        yield finding("devices-range", evidence, index=numbers[-1], count=count, fixed=fixed)


def model_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether the weights can be had, and whether memory and disk hold them."""
    model, hub = facts["model"], facts["hub"]
    if hub["state"] == "unreachable":
        yield finding(
            "hub-unreachable",
            f"{hub['endpoint']}: {hub['why']}",
            why=hub["why"],
            endpoint=hub["endpoint"],
        )
    elif hub["state"] == "offline":
        yield finding("hub-offline", hub["why"], why=hub["why"])
    if model["source"] == "hub" and hub["state"] in ("unreachable", "offline"):
        short = model["name"].split("/")[-1]
        yield finding(
            "model-missing",
            f"{model['name']}: {hub['state']}",
            name=model["name"],
            short=short,
            state=hub["state"],
            why=hub["why"],
        )
    elif model["source"] == "local" and model["weights"] == 0:
        yield finding(
            "model-empty", f"{model['path']}: no *.safetensors and no *.bin", path=model["path"]
        )

    weights = (
        model["weights"] if model["weights"] is not None else 500_000_000
    )  # a RoBERTa-base in float32
    available, free = facts["memory"]["available"], facts["disk"]["free"]
    needed = 5 * weights + 3 * GIB // 2

    if available is not None and available < needed:
        yield finding(
            "memory-low",
            f"available: {available} bytes",
            available=_gib(available),
            needed=_gib(needed),
        )

    needed = 2 * weights + GIB
    if free is not None and free < needed:
        yield finding(
            "disk-low",
            f"{facts['disk']['path']}: {free} bytes free",
            free=_gib(free),
            needed=_gib(needed),
        )


def cuda_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """torch's build against the NVIDIA driver and card."""
    torch, cuda, python = facts["torch"], facts["cuda"], facts["executable"]
    stage = facts["stages"].get("torch") or {}
    if torch["version"] is None or cuda["error"] == "not checked":
        return

    number = ".".join(map(str, release(torch["version"])))
    if torch["build"] != "cuda":
        yield finding(
            "cuda-build",
            f"torch {torch['version']}",
            found=torch["version"],
            torch=number,
            python=python,
        )
    if cuda["error"] is not None:
        yield finding("cuda-driver", "nvidia-smi: " + cuda["error"])
    if torch["build"] != "cuda" or not stage.get("ok"):
        return
    if not stage["cuda_available"] and cuda["error"] is None:
        yield finding(
            "cuda-unavailable",
            f"torch.cuda.is_available() == False; driver {cuda['driver']}",
            cuda=torch["cuda"],
        )

    architectures = stage.get("cuda_architectures") or []
    for device in stage["cuda_devices"]:
        if architectures and not _covered(device["capability"], architectures):
            yield finding(
                "cuda-capability",
                f"{device['name']}, {device['capability']}",
                name=device["name"],
                capability=device["capability"],
                architectures=" ".join(architectures),
                python=python,
            )


def _covered(capability: str, architectures: list[str]) -> bool:
    """A build runs on its own major version from its minor on, and, through PTX (compute_), on
    everything newer.
    """
    major, minor = (int(part) for part in capability.split("."))
    for name in architectures:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", name)
        if (
            match
            and (int(match.group(2)), int(match.group(3))) <= (major, minor)
            and (match.group(1) == "compute" or int(match.group(2)) == major)
        ):
            return True
    return False


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
