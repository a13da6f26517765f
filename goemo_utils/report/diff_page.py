"""The comparison of two runs as a page, in the dress of the report."""

from typing import Any

from goemo_utils import __version__
from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import (
    Code,
    Column,
    KeyFigure,
    Page,
    Paragraph,
    Pre,
    Section,
    State,
    Table,
    Text,
    Verdict,
)
from goemo_utils.report.diff_words import gate_text, judged, rate, sentence, short, value
from goemo_utils.report.gates import gate_name
from goemo_utils.report.words import Words

CHANGES = {"worse": ("fail", "d_worse"), "better": ("pass", "d_better"), "same": ("none", "d_same")}


def page_of(result: dict[str, Any], words: Words, moment: str) -> Page:
    """Return the page of a comparison made by ``diff.compare``."""
    first, second = result["runs"]
    simulated = first["simulated"] or second["simulated"]
    worse = bool(result["worse"])
    changed: list[list[Text]] = [
        [row["kind"], Code(row["what"]), Code(short(row["before"])), Code(short(row["after"]))]
        for row in result["changed"]
    ]
    gates: list[list[Text]] = [
        [
            gate_name(row["id"], words),
            State(*_state(row["change"], words)),
            gate_text(result, row, "before", words),
            gate_text(result, row, "after", words),
        ]
        for row in result["gates"]
    ]
    metrics: list[list[Text]] = [
        [
            row["id"],
            value(row, "before", words),
            value(row, "after", words),
            n.ratio(float(row["factor"])) if row["factor"] is not None else "–",
            row.get("note") or (words(judged(row)) if row["moved"] is not None else "–"),
        ]
        for row in result["metrics"]
    ]
    rates: list[list[Text]] = [
        [
            row["configuration"],
            rate(row, "before", words),
            rate(row, "after", words),
            words(judged(row)),
        ]
        for row in result["rates"]
    ]
    sides = [Column(words("d_before")), Column(words("d_after"))]
    sections = [
        _section(
            "gates",
            words("gates"),
            gates,
            [Column(words("gate")), Column(words("d_change")), *sides],
            words,
            True,
        ),
        _section(
            "changed",
            words("d_changed"),
            changed,
            [Column(words("d_kind")), Column(words("pr_name")), *sides],
            words,
            False,
        ),
        _section(
            "metrics",
            words("p_metrics"),
            metrics,
            [
                Column(words("metric")),
                *(Column(c.name, True) for c in sides),
                Column("×", True),
                Column(words("d_note")),
            ],
            words,
            True,
        ),
        _section(
            "rates",
            words("s_rates"),
            rates,
            [
                Column(words("s_config")),
                *(Column(c.name, True) for c in sides),
                Column(words("d_change")),
            ],
            words,
            True,
        ),
        Section(
            "again",
            words("s_again"),
            [Pre(words("s_again"), f"goemo diff {first['run_id']} {second['run_id']}")],
        ),
    ]
    count = {change: sum(row["change"] == change for row in result["gates"]) for change in CHANGES}
    keys = [
        KeyFigure(words("d_worse_gates"), str(count["worse"]), "", words("d_of", n=len(gates))),
        KeyFigure(words("d_better_gates"), str(count["better"]), "", words("d_of", n=len(gates))),
        KeyFigure(words("d_changed"), str(len(changed)), "", words("d_changed_what")),
        KeyFigure(
            words("d_rates_moved"),
            str(sum(bool(row["moved"]) for row in result["rates"])),
            "",
            words("d_intervals"),
        ),
    ]
    tone = "fail" if worse else "pass"
    told = Verdict(
        State("fail" if worse else "pass", words("d_worse" if worse else "d_not_worse")),
        sentence(result, words),
        " → ".join(
            f"{r['run_id']} ({r['verdict']}{', ' + words('simulated') if r['simulated'] else ''})"
            for r in result["runs"]
        ),
        "sim" if simulated else tone,
    )
    mark = f"{words('simulated')}: " if simulated else ""

    return Page(
        language=words("lang"),
        title=f"{mark}{first['run_id']} → {second['run_id']} · goemo",
        kind=words("d_kind_page"),
        subject=first["run_id"],
        run_id=second["run_id"],
        moment=n.moment(moment),
        margin=words("simulated") if simulated else "",
        simulated=simulated,
        verdict=told,
        keys=keys,
        gates=None,
        gates_absent="",
        unchecked="",
        sections=sections,
        foot=words("d_foot", version=__version__),
        words=words,
    )


def _state(change: str, words: Words) -> tuple[str, str]:
    icon, key = CHANGES[change]
    return icon, words(key)


def _section(
    id: str, title: str, rows: list[list[Text]], columns: list[Column], words: Words, measured: bool
) -> Section:
    body: Any = (
        Table(title, columns, rows, style="wide", measured=measured)
        if rows
        else Paragraph(words("d_nothing"))
    )
    return Section(id, title, [body], measured=measured)
