"""Reads the table that `npu-smi info` prints, in every layout seen: one or two chips a card, with
or without HBM, wide or narrow columns, number, name and health in cells of their own, and a process
table with or without the number inside the container.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

BUS = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d|NA|N/A|-")
PAIR = re.compile(r"(\d+)\s*/\s*(\d+)")
VERSION = re.compile(r"npu-smi\s+(\S+)\s+Version:\s*(\S+)")


def parse(text: str) -> dict[str, Any]:
    """{"version", "devices": [...], "processes": [...]} of the output; "devices" is empty when it
    holds no table.

    A device: npu, chip, physical (its number among all chips, where the table has it), name,
    health, power (W or None), temperature (C or None), bus_id (None where the table says NA),
    aicore (% or None), memory_used, memory_total (MB: of the HBM where the table has it, else of
    the card's memory), hbm (whether it is HBM).
    """
    version = VERSION.search(text)
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
        # What looks like a row and holds no numbers where they belong is none.
        with suppress(ValueError, IndexError):
            if _is_process(cells):
                processes.append(_process(cells))
            elif upper is not None and _is_lower(cells):
                devices.append({**upper, **_lower(cells, hbm)})
                upper = None
            elif _is_upper(cells):
                upper = _upper(cells)

    return {
        "version": version.group(2) if version else None,
        "devices": devices,
        "processes": processes,
    }


def _is_process(cells: list[str]) -> bool:
    place = re.fullmatch(r"\d+(?:\s+\d+)?", cells[0])
    return bool(place) and len(cells) in (4, 5) and cells[1].isdigit()


def _is_upper(cells: list[str]) -> bool:
    """A card's first line: number and name in one cell, or in two (Ascend950)."""
    if len(cells) == 3:
        return bool(re.match(r"\d+\s+\D?\S*[A-Za-z]|\d+\s+\d{3}", cells[0]))
    return len(cells) == 4 and cells[0].isdigit() and bool(re.search(r"[A-Za-z]", cells[1]))


def _is_lower(cells: list[str]) -> bool:
    """A card's second line, which holds its bus and its memory."""
    if len(cells) == 3:
        return bool(BUS.fullmatch(cells[1]))
    return len(cells) == 4 and not cells[1] and bool(BUS.fullmatch(cells[2]))


def _upper(cells: list[str]) -> dict[str, Any]:
    if len(cells) == 3:
        number, name = cells[0].split(None, 1)
    else:
        number, name = cells[0], cells[1]

    figures = cells[-1].split()
    power, temperature = (
        _number(figures[index]) if len(figures) > index else None for index in (0, 1)
    )

    return {
        "npu": int(number),
        "name": name.strip(),
        "health": cells[-2],
        "power": power,
        "temperature": temperature,
    }


def _lower(cells: list[str], hbm: bool) -> dict[str, Any]:
    pairs = [(int(used), int(total)) for used, total in PAIR.findall(cells[-1])]
    used, total = pairs[-1] if pairs else (None, None)
    place = [int(number) for number in re.findall(r"\d+", cells[0])]
    bus = cells[-2]
    aicore = _number(cells[-1].split()[0]) if cells[-1] else None

    return {
        "chip": place[0] if place else 0,
        "physical": place[1] if len(place) > 1 else None,
        "bus_id": bus if ":" in bus else None,
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
    except ValueError:  # the second chip of a card shows "-" for its power, others NA
        return None
