"""Reads the table that `npu-smi info` prints, in every layout seen: one or two chips a card, with
or without HBM, wide or narrow columns.
"""

from __future__ import annotations

import re
from typing import Any

BUS = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d")
PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")


def parse(text: str) -> dict[str, Any]:
    """{"version", "devices": [...], "processes": [...]} of the output; "devices" is empty when it
    holds no table.

    A device: npu, chip, name, health, power (W or None), temperature (C or None), bus_id, aicore (%
    or None), memory_used, memory_total (MB: of the HBM where the table has it, else of the card's
    memory), hbm (whether it is HBM).
    """
    version = re.search(r"npu-smi\s+(\S+)\s+Version:\s*(\S+)", text)
    hbm = "HBM-Usage" in text
    devices: list[dict[str, Any]] = []
    processes: list[dict[str, Any]] = []
    upper: dict[str, Any] | None = None
    for line in text.splitlines():
        # Rules are "+---+" in most releases and "+----|----" on 310P; only lines that start with a
        # bar hold cells.
        if not line.lstrip().startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[1].isdigit():
            processes.append(_process(cells))
        elif len(cells) == 3 and BUS.fullmatch(cells[1]) and upper is not None:
            devices.append({**upper, **_lower(cells, hbm)})
            upper = None
        elif len(cells) == 3 and re.match(r"\d+\s+\S", cells[0]):
            upper = _upper(cells)
    return {
        "version": version.group(2) if version else None,
        "devices": devices,
        "processes": processes,
    }


def _upper(cells: list[str]) -> dict[str, Any]:
    number, name = cells[0].split(None, 1)
    figures = cells[2].split()
    power, temperature = (
        _number(figures[index]) if len(figures) > index else None for index in (0, 1)
    )
    return {
        "npu": int(number),
        "name": name.strip(),
        "health": cells[1],
        "power": power,
        "temperature": temperature,
    }


def _lower(cells: list[str], hbm: bool) -> dict[str, Any]:
    pairs = [(int(used), int(total)) for used, total in PAIR.findall(cells[2])]
    used, total = pairs[-1] if pairs else (None, None)
    aicore = _number(cells[2].split()[0]) if cells[2] else None
    return {
        "chip": int(cells[0].split()[0]),
        "bus_id": cells[1],
        "aicore": aicore,
        "memory_used": used,
        "memory_total": total,
        "hbm": hbm,
    }


def _process(cells: list[str]) -> dict[str, Any]:
    place = cells[0].split()
    memory = re.search(r"\d+", cells[3])
    return {
        "npu": int(place[0]),
        "chip": int(place[1]) if len(place) > 1 else 0,
        "pid": int(cells[1]),
        "name": cells[2],
        "memory": int(memory.group()) if memory else None,
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # the second chip of a card shows "-" for its power
        return None
