"""Rules about cards, device nodes, the driver and what happened when torch_npu ran: facts in,
findings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from goemo_utils.environment.diagnosis import diagnose
from goemo_utils.environment.findings import Finding, finding

# idle 910B and 910C chips show 2900 to 4500 MB of driver reservation in public npu-smi tables
BUSY_MB = 6000
FLOAT16_CHIPS = re.compile(r"(?:Ascend\s*)?(?:310\w*|910(?:A|ProA|ProB)?)$")


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
    for device in devices:
        values = {name: device[name] for name in ("npu", "chip", "name", "health")}
        row = (
            f"{device['npu']} {device['name']} {device['health']} {device['bus_id']}"
            f" {device['memory_used']} / {device['memory_total']}"
        )
        if device["health"] != "OK":
            yield finding(
                "card-unhealthy",
                row,
                severity="warning" if device["health"] == "Warning" else None,
                **values,
            )
        if device["hbm"] and device["memory_used"] and device["memory_used"] > BUSY_MB:
            yield finding(
                "card-busy",
                row,
                npu=device["npu"],
                chip=device["chip"],
                used=device["memory_used"],
                total=device["memory_total"],
            )
    names = {
        device["name"]
        for device in devices
        if FLOAT16_CHIPS.match(device["name"])
        and not (device["name"] == "Ascend910" and _two_chips(devices))
    }
    for name in sorted(names):
        yield finding("card-precision", name, name=name)


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
        why = {
            False: "The user is not in the driver's group HwHiAiUser.",
            True: "The user is in the group HwHiAiUser, and the nodes do not let the group in.",
        }
        text = why.get(
            facts["npu"]["in_group"], "The nodes' owner, group and mode do not include this user."
        )
        yield finding(
            "nodes-permission",
            "\n".join(f"{node['mode']} {node['path']}" for node in closed),
            names=" ".join(node["path"] for node in closed),
            why=text,
        )


def run_findings(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the child processes met: import torch_npu, one operator, and a plain import of torch."""
    python, stages = facts["executable"], facts["stages"]
    loaded = stages.get("torch_npu")
    if loaded and loaded["ok"] is False:
        yield from _known(
            loaded["error"], finding("torch-npu-import", loaded["error"], python=python)
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
        )
    elif ran and ran["ok"] and not ran["right"]:
        yield finding("operator-wrong", f"device {ran['device']}, {ran['name']}")
    plain = stages.get("autoload")
    if plain and plain["ok"] is False:
        yield finding("autoload-breaks-torch", _last_line(plain["error"]), python=python)
        yield from (one for one in diagnose(plain["error"]))


def _known(text: str, unknown: Finding) -> list[Finding]:
    return [one for one in diagnose(text) if one.severity == "error"] or [unknown]


def _two_chips(devices: list[dict[str, Any]]) -> bool:
    """A3 cards show as "Ascend910" with two chips, of which the second has no power reading; the
    first 910 has one.
    """
    return any(device["chip"] > 0 for device in devices)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
