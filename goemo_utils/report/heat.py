"""Where the error enters: the calls at fault, and the error ratio of every module in every layer."""

import math
import re
from typing import Any

from . import numbers as n
from .blocks import Code, Column, Details, Figure, Note, Paragraph, Table, Text
from .charts import Heat
from .figures import heat_value
from .verdict import place
from .words import Words

ACCUMULATED = "layer output, accumulated"
MOST_FAULTS = 20

Cell = float | None


def where_it_enters(results: dict[str, Any], words: Words) -> list[Any]:
    """Blocks of the heat map with its table and the calls at fault; a note where calls were not replayed."""
    heat, faults = results.get("heat") or {}, results.get("faults") or []
    blocks: list[Any] = [_faults(faults, words)] if faults else []
    if not heat.get("rows"):
        gate = next((g for g in results.get("gates") or [] if g["id"] == "place"), {})
        why = gate["meaning"].rstrip(".") if gate.get("result") == "not run" else words("not_recorded")
        return [*blocks, Note(words("section_absent", reason=why))]
    columns = [str(c) for c in heat.get("columns") or range(len(heat["rows"][0]["values"]))]
    rows = [(str(r["module"]), [_cell(v, str(r["module"]), column, faults) for v, column in zip(r["values"], columns, strict=True)]) for r in heat["rows"]]
    marked = [(i, j) for i, (name, _) in enumerate(rows) for j, column in enumerate(columns) if _at_fault(name, column, faults)]
    named = [(words("p_heat_accumulated") if name == ACCUMULATED else name, values) for name, values in rows]
    title = words("p_heat_fault", place=place(faults[0])) if faults else words("p_heat_clean")
    limit = (results.get("limits") or {}).get("call_rms")
    caption = words("p_heat_cap") + (" " + words("p_heat_limit", limit=n.limit(limit)) if limit else "")
    chart = Heat(columns, named, marked, words("p_heat_layer"), words("p_heat_key"), words("p_heat_mark"), words("p_heat"), title)
    heads = [Column(words("p_module")), *(Column(c, True) for c in columns)]
    table = Table(words("p_same_table"), heads, [[Code(name), *map(_shown, values)] for name, values in named], style="wide", measured=True)
    return [Paragraph(words("p_heat_lead")), Figure(title, caption, chart), Details(words("p_same_table"), [table, *_outside(heat, words)]), *blocks]


def _faults(faults: list[dict[str, Any]], words: Words) -> Table:
    cells: list[list[Text]] = [
        [Code(str(f.get("module") or "–")), Code(str(f.get("operator") or "–")), *(_ratio(f.get(key)) for key in ("ratio_rms", "ratio_max"))]
        for f in faults[:MOST_FAULTS]
    ]
    columns = [Column(words("p_module")), Column(words("operator")), Column(words("p_ratio_rms"), True), Column(words("p_ratio_max"), True)]
    return Table(words("p_faults"), columns, cells, caption=words("p_faults"), measured=True)


def _outside(heat: dict[str, Any], words: Words) -> list[Table]:
    rows: list[list[Text]] = [[Code(str(r["module"])), _ratio(r.get("value"))] for r in heat.get("outside") or []]
    return [Table(words("p_outside"), [Column(words("p_module")), Column("R", True)], rows, caption=words("p_outside"), measured=True)] if rows else []


def _at_fault(name: str, column: str, faults: list[dict[str, Any]]) -> bool:
    """Whether a cell is the place of a fault: the layer's number and then the row's module stand in the fault's address."""
    if name == ACCUMULATED:
        return False
    return any(
        re.search(rf"(?:^|\.){re.escape(column)}\.(?:.+\.)?{re.escape(name)}$", place(fault)) or place(fault).endswith(f".{column}.{name}") for fault in faults
    )


def _cell(value: Any, name: str, column: str, faults: list[dict[str, Any]]) -> Cell:
    """A ratio; NaN where a fault left no finite one; None where the layer has no such call."""
    if isinstance(value, (int, float)):
        return float(value)
    return math.nan if value is not None or _at_fault(name, column, faults) else None


def _shown(value: Cell) -> str:
    return "–" if value is None else heat_value(value)


def _ratio(value: Any) -> str:
    return n.ratio(float(value)) if isinstance(value, (int, float)) else "NaN"
