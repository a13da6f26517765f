"""Rules about cards, device nodes, the driver and what happened when torch_npu ran: facts in,
findings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from goemo_utils.environment.chips import Chip, chip_of
from goemo_utils.environment.diagnosis import diagnose
from goemo_utils.environment.findings import Finding, finding

# idle 910B and 910C chips show 2900 to 4500 MB of driver reservation in public npu-smi tables
BUSY_MB = 6000
# idle 310P chips, which have no HBM, show 1400 to 1900 MB there; an idle Ascend950 6620 of 131072
BUSY_WITHOUT_HBM_MB = 4000
BUSY_SHARE = 0.08


def card_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """What npu-smi, the driver's files and the device nodes say."""
    npu = facts["npu"]
    nodes, devices = npu["nodes"], npu["devices"]
    cards = [node for node in nodes if re.fullmatch(r"/dev/davinci\d+", node["path"])]

    if not cards and not devices and npu["nodes_read"]:
        yield finding("no-card", "no /dev/davinciN; npu-smi: " + (npu["smi_error"] or "not asked"))
        if not npu["driver"] or not npu["driver"]["installed"]:
            return
    if npu["driver"] and not npu["driver"]["installed"]:
        yield finding("driver-missing", "/usr/local/Ascend/driver: no such directory")
    if npu["nodes_read"]:
        yield from _node_findings(facts, cards)
    if npu["smi_error"] not in (None, "absent", "layout"):
        yield finding("smi-failed", npu["smi_error"])
        yield from (one for one in diagnose(npu["smi_error"]) if one.id != "smi-failed")

    for device in devices:
        yield from _device_findings(device, npu["processes"])

    chips = {device["name"]: chip_of(device) for device in devices}
    for name, chip in sorted(chips.items()):
        if chip and chip.float16:
            yield finding("card-precision", name, name=name, generation=chip.generation)

    yield from _kernel_findings(facts, chips)


def _device_findings(device: dict[str, Any], processes: list[dict[str, Any]]) -> Iterator[Finding]:
    """Health and memory of one chip."""
    names = ("npu", "name", "health", "bus_id", "memory_used")
    row = " ".join(str(device[name]) for name in names) + f" / {device['memory_total']}"
    place = {name: device[name] for name in ("npu", "chip")}
    if device["health"] != "OK":
        weight = "warning" if device["health"] == "Warning" else None
        values = {**place, "name": device["name"], "health": device["health"]}
        yield finding("card-unhealthy", row, severity=weight, **values)

    used, total = device["memory_used"], device["memory_total"]
    if used and total and used > _reserved(device):
        guests = [one for one in processes if (one["npu"], one["chip"]) == tuple(place.values())]
        told = "".join(f"\n{one['pid']} {one['name']} {one['memory']} MB" for one in guests)
        yield finding("card-busy", row + told, used=used, total=total, **place)


def _reserved(device: dict[str, Any]) -> float:
    """MB that the driver itself may hold on an idle chip."""
    floor = BUSY_MB if device["hbm"] else BUSY_WITHOUT_HBM_MB
    return float(max(floor, BUSY_SHARE * device["memory_total"]))


def _kernel_findings(facts: dict[str, Any], chips: dict[str, Chip | None]) -> Iterator[Finding]:
    """The chip of npu-smi beside the kernels of the ops package that is installed."""
    active = facts["cann"]["active"]
    there = (active or {}).get("kernels") or []

    for name, chip in sorted(chips.items()):
        if chip and there and chip.kernels not in there:
            yield finding(
                "cann-ops-chip",
                f"npu-smi: {name}; kernels: {', '.join(there)}",
                name=name,
                generation=chip.generation,
                wanted=chip.kernels,
                package=chip.package,
                there=", ".join(there),
                root=active["root"],
            )


def _node_findings(facts: dict[str, Any], cards: list[dict[str, Any]]) -> Iterator[Finding]:
    nodes, devices = facts["npu"]["nodes"], facts["npu"]["devices"]
    missing = [node["path"] for node in nodes if not node["present"]]
    if devices and not cards:
        missing = ["/dev/davinci0", *missing]
    if missing:
        yield finding(
            "nodes-missing",
            "\n".join(f"{path}: no such file" for path in missing),
            names=", ".join(missing),
            options=" ".join(f"--device {path}" for path in missing),
        )

    closed = [node for node in nodes if node["present"] and not node["usable"]]
    if closed:
        yield _permission(facts, closed)


def _permission(facts: dict[str, Any], closed: list[dict[str, Any]]) -> Finding:
    """Nodes that this user may not open, with the way that works here: by the group's number where
    the group has no name, as in most containers.
    """
    why = {
        False: "The user is not in the driver's group HwHiAiUser.",
        True: "The user is in the group HwHiAiUser, and the nodes do not let the group in.",
    }
    text = why.get(
        facts["npu"]["in_group"], "The nodes' owner, group and mode do not include this user."
    )
    group = closed[0]["group"]
    way = f"sudo groupadd --gid {group} HwHiAiUser && sudo usermod -aG HwHiAiUser $USER"
    if facts["npu"]["in_group"] is not None:
        way = "sudo usermod -aG HwHiAiUser $USER"

    way = f"{way}   # on a host, by an administrator; then log in again"
    if facts.get("container"):
        way = f"# start the container again with: --group-add {group}"

    names = " ".join(node["path"] for node in closed)
    evidence = "\n".join(f"{node['mode']} {node['group']} {node['path']}" for node in closed)

    return finding("nodes-permission", evidence, names=names, why=text, way=way)


def run_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the child processes met: import torch_npu, one operator, and a plain import of torch."""
    python, stages = facts["executable"], facts["stages"]
    loaded = stages.get("torch_npu")
    if loaded and loaded["ok"] is False:
        yield from _known(
            loaded["error"],
            finding("torch-npu-import", loaded["error"], python=python),
            facts["npu"]["devices"],
        )
    elif loaded and loaded["ok"] and not loaded["available"]:
        yield from diagnose(
            f"torch.npu.is_available() == {loaded['available']}, torch.npu.device_count() =="
            f" {loaded['devices']}"
        )
        yield from (one for one in diagnose(loaded["stderr"]) if one.id == "B2")

    ran = stages.get("operator")
    if ran and ran["ok"] is False and loaded and loaded.get("available"):
        yield from _known(
            ran["error"] + "\n" + ran["stderr"],
            finding("operator-failed", ran["error"], python=python),
            facts["npu"]["devices"],
        )
    elif ran and ran["ok"] and not ran["right"]:
        yield finding("operator-wrong", f"device {ran['device']}, {ran['name']}")

    plain = stages.get("autoload")
    if plain and plain["ok"] is False:
        yield finding("autoload-breaks-torch", _last_line(plain["error"]), python=python)
        yield from (one for one in diagnose(plain["error"]))


def _known(text: str, unknown: Finding, devices: list[dict[str, Any]]) -> list[Finding]:
    """What the tables know of ``text``; missing kernels are told with the chip that needs them."""
    found = [one for one in diagnose(text) if one.severity == "error"] or [unknown]
    return [_with_chip(one, devices) if one.id == "C3" else one for one in found]


def _with_chip(one: Finding, devices: list[dict[str, Any]]) -> Finding:
    chips = {device["name"]: chip_of(device) for device in devices}
    told = [
        f"npu-smi shows {name} ({chip.generation}), whose ops package is {chip.package}."
        for name, chip in sorted(chips.items())
        if chip
    ]
    return replace(one, cause=" ".join([one.cause, *told]))


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
