"""Several cards side by side: what each answered, which are sick, and what they do at once."""

from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Column, Facts, Heading, Paragraph, State, Table, Text
from goemo_utils.report.found import fault_sentence
from goemo_utils.report.gates import gate_name, meaning
from goemo_utils.report.words import Words


def judged(results: dict[str, Any], words: Words) -> list[Any]:
    """The cards of 03_parity in a table and a sentence; nothing where one card was asked for."""
    cards = results.get("cards")
    if not cards:
        return []

    rows: list[list[Text]] = [
        [
            _name(row, words),
            _state(row, words),
            _number(row.get("R")),
            _number(row.get("apart")),
            row.get("bits") or "–",
            n.number(row["texts_changed"]) if row.get("texts_changed") is not None else "–",
            _finding(row, words),
        ]
        for row in cards["rows"]
    ]
    columns = [
        Column(words("cd_card")),
        Column(words("result")),
        Column("R", True),
        Column(words("cd_apart"), True),
        Column(words("cd_bits")),
        Column(words("cd_texts"), True),
        Column(words("cd_finding")),
    ]
    return [
        Heading(words("cd_title")),
        Paragraph(meaning(cards["gate"], words)),
        Table(words("cd_title"), columns, rows, style="wide", measured=True),
        Paragraph(words("cd_legend", limit=n.limit(cards["limit"])), "small muted"),
    ]


def timed(results: dict[str, Any], words: Words) -> list[Any]:
    """The rates of the cards and what they do at once; of simulated cards nothing."""
    cards = results.get("cards")
    known = [row for row in (cards or {}).get("rows", []) if row.get("median") is not None]
    if not cards or not known:
        return []

    rows: list[list[Text]] = [
        [
            _name(row, words),
            n.number(row["median"]),
            n.interval(*row["ci95"]) if row.get("ci95") else "–",
            n.number(row["n"]) if row.get("n") else "–",
        ]
        for row in known
    ]
    columns = [
        Column(words("cd_card")),
        Column(words("s_median"), True),
        Column(words("s_ci"), True),
        Column("n", True),
    ]
    table = Table(words("cd_rates"), columns, rows, measured=True)
    return [Heading(words("cd_rates")), table, Facts([_scaling(cards["scaling"], words)])]


def _scaling(scaling: dict[str, Any], words: Words) -> tuple[str, Text]:
    if scaling.get("value") is None:
        return words("cd_scaling"), words("absent", reason=scaling.get("reason"))
    values = {
        "value": n.percent(float(scaling["value"]), words.language),
        "together": n.number(scaling["together"]),
        "alone": n.number(scaling["alone"]),
        "cards": n.number(scaling["cards"]),
    }
    return words("cd_scaling"), words("cd_scaling_value", **values)


def _state(row: dict[str, Any], words: Words) -> State:
    if row["sick"]:
        return State("fail", words("cd_sick"))
    if row["verdict"] == "fail":
        return State("fail", words("cd_fails"))
    return State("pass", words("cd_well"))


def _name(row: dict[str, Any], words: Words) -> str:
    """A card as the page names it: a real one as it is opened, a simulated one by its number."""
    return words("cd_name", n=row["card"]) if row["name"].startswith("card ") else row["name"]


def _number(value: Any) -> str:
    """A ratio; a word for one that is not finite, a dash for none."""
    if value is None:
        return "–"
    return n.ratio(float(value)) if isinstance(value, (int, float)) else n.told_ratio(value)


def _finding(row: dict[str, Any], words: Words) -> str:
    """What is wrong with a card in a few words: why it did not answer, its call at fault, or the
    gates that it does not meet.
    """
    if row.get("reason"):
        return str(row["reason"])
    if row.get("faults"):
        return fault_sentence(row["faults"][0], words)
    return words("comma").join(gate_name(gate, words) for gate in row["gates_failed"]) or "–"
