"""Which chip a card has: its generation, and the folder of kernels that it needs, by the dated
table in chips.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from goemo_utils.environment.findings import table


@dataclass(frozen=True)
class Chip:
    """A row of the table: what npu-smi's name means."""

    generation: str
    package: str
    kernels: str
    float16: bool


def chip_of(device: dict[str, Any]) -> Chip | None:
    """The chip of a device that npu-smi lists; None for a name that the table does not know.

    An A3 card shows as "Ascend910": two chips of one card, each with a number among all chips.
    """
    name = re.sub(r"^Ascend\s*", "", device["name"])
    numbered = device.get("physical") is not None
    if device["name"] == "Ascend910" and (device["chip"] or numbered):
        name = "910_93"
    for row in table("chips.json")["names"]:
        if re.fullmatch(row["name"], name):
            return Chip(row["generation"], row["package"], row["kernels"], row["float16"])
    return None


def of_soc_version(number: int) -> str:
    """The generation of a soc_version, torch_npu's number for a chip."""
    for low, high, name in table("chips.json")["soc_versions"]:
        if low <= number <= high:
            return f"{name} (soc_version {number})"
    return f"unlisted (soc_version {number})"
