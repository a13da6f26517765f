"""Where the error enters: the calls at fault, and the error ratio of each module in each layer."""

import math
import re
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Code, Column, Details, Figure, Note, Paragraph, Table, Text
from goemo_utils.report.charts import Heat
from goemo_utils.report.figures import heat_value
from goemo_utils.report.found import place
from goemo_utils.report.words import Words

ACCUMULATED = "layer output, accumulated"
MOST_FAULTS = 20

NOT_COVERED = "not covered"
Cell = float | str | None


def where_it_enters(results: dict[str, Any], words: Words) -> list[Any]:
    """Blocks of the heat map with its table and the calls at fault; a note where calls were not
    replayed.
    """
    heat, faults = results.get("heat") or {}, results.get("faults") or []
    blocks: list[Any] = [_faults(faults, words)] if faults else []
    if not heat.get("rows"):
        gate: dict[str, Any] = next(
            (g for g in results.get("gates") or [] if g["id"] == "place"), {}
        )
        why = (
            gate["meaning"].rstrip(".")
            if gate.get("result") == "not run"
            else words("not_recorded")
        )
        return [*blocks, Note(words("section_absent", reason=why))]

    columns = [str(c) for c in heat.get("columns") or range(len(heat["rows"][0]["values"]))]
    rows = [(str(r["module"]), list(map(_cell, r["values"]))) for r in heat["rows"]]
    marked = [
        (i, j)
        for i, (name, _) in enumerate(rows)
        for j, column in enumerate(columns)
        if _at_fault(name, column, faults)
    ]
    named = [
        (words("p_heat_accumulated") if name == ACCUMULATED else name, values)
        for name, values in rows
    ]
    title = words("p_heat_fault", place=place(faults[0])) if faults else words("p_heat_clean")
    limit = (results.get("limits") or {}).get("call_rms")
    caption = words("p_heat_cap") + (
        " " + words("p_heat_limit", limit=n.limit(limit)) if limit else ""
    )
    caption += (
        " " + words("p_heat_uncovered")
        if any(v == NOT_COVERED for _, values in rows for v in values)
        else ""
    )
    chart = Heat(
        columns,
        named,
        marked,
        words("p_heat_layer"),
        words("p_heat_key"),
        words("p_heat_mark"),
        words("p_heat_absent"),
        words("p_heat"),
        title,
    )
    heads = [Column(words("p_module")), *(Column(c, True) for c in columns)]
    table = Table(
        words("p_same_table"),
        heads,
        [[Code(name), *(_shown(v, words) for v in values)] for name, values in named],
        style="wide",
        measured=True,
    )

    return [
        Paragraph(words("p_heat_lead")),
        Figure(title, caption, chart),
        Details(words("p_same_table"), [table, *_outside(heat, words)]),
        *blocks,
    ]


def _faults(faults: list[dict[str, Any]], words: Words) -> Table:
    cells: list[list[Text]] = [
        [
            Code(str(f.get("module") or "–")),
            Code(str(f.get("operator") or "–")),
            *(n.told_ratio(f.get(key)) for key in ("ratio_rms", "ratio_max")),
        ]
        for f in faults[:MOST_FAULTS]
    ]
    columns = [
        Column(words("p_module")),
        Column(words("operator")),
        Column(words("p_ratio_rms"), True),
        Column(words("p_ratio_max"), True),
    ]

    return Table(words("p_faults"), columns, cells, caption=words("p_faults"), measured=True)


def _outside(heat: dict[str, Any], words: Words) -> list[Table]:
    rows: list[list[Text]] = [
        [Code(str(r["module"])), _shown(_cell(r.get("value")), words)]
        for r in heat.get("outside") or []
    ]

    return (
        [
            Table(
                words("p_outside"),
                [Column(words("p_module")), Column("R", True)],
                rows,
                caption=words("p_outside"),
                measured=True,
            )
        ]
        if rows
        else []
    )


def _at_fault(name: str, column: str, faults: list[dict[str, Any]]) -> bool:
    """Whether a cell is the place of a fault: the layer's number and then the row's module stand in
    the fault's address.
    """
    if name == ACCUMULATED:
        return False
    pattern = re.compile(rf"(?:^|\.){re.escape(column)}\.(?:.+\.)?{re.escape(name)}$")
    return any(pattern.search(address) for fault in faults for address in _addresses(fault))


def _addresses(fault: dict[str, Any]) -> list[str]:
    """Where a fault is: its place, or each of an operator that is wrong wherever it is called."""
    return [f"{module} {fault.get('operator')}" for module in fault.get("modules") or []] or [
        place(fault)
    ]


def _cell(value: Any) -> Cell:
    """A ratio of a record: a number, NaN or infinity from their words, NOT_COVERED where the call
    could not be repeated, None where there is none.
    """
    if isinstance(value, (int, float)):
        return float(value)
    words: dict[Any, Cell] = {"NaN": math.nan, "infinite": math.inf, NOT_COVERED: NOT_COVERED}
    return words.get(value)


def _shown(value: Cell, words: Words) -> str:
    if value is None:
        return "–"
    return words("p_heat_absent") if isinstance(value, str) else heat_value(value)
