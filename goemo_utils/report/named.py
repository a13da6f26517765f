"""What is wrong by its name, and which calls to look at first where none is at fault."""

from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Code, Column, Heading, Paragraph, Table, Text
from goemo_utils.report.words import Words


def wrong(results: dict[str, Any], words: Words) -> list[Any]:
    """What is wrong, named with its evidence and remedy; and the nearest calls where none is at
    fault. Nothing where neither is.
    """
    blocks: list[Any] = []
    names = results.get("names") or []
    if names:
        rows: list[list[Text]] = [
            [
                words.known("pn_", str(row["name"])),
                Code(row["where"]) if row.get("where") else "–",
                str(row["evidence"]),
                str(row["remedy"]),
            ]
            for row in names
        ]
        columns = [
            Column(words("pn_name")),
            Column(words("pn_where")),
            Column(words("pn_evidence")),
            Column(words("p_remedy")),
        ]
        table = Table(words("pn_names"), columns, rows, style="wide", measured=True)
        blocks += [Heading(words("pn_names")), table]

    suspects = results.get("suspects") or []
    if suspects:
        nearest: list[list[Text]] = [
            [
                Code(f"{row['module']} {row['operator']}".strip()),
                n.told_ratio(row["share_of_limit"]),
                n.told_ratio(row["ratio_rms"]),
                n.told_ratio(row["ratio_max"]),
            ]
            for row in suspects
        ]
        columns = [
            Column(words("pn_call")),
            Column(words("pn_share"), True),
            Column("rms", True),
            Column("max", True),
        ]
        table = Table(words("pn_suspects"), columns, nearest, measured=True)
        blocks += [Heading(words("pn_suspects")), Paragraph(words("pn_suspects_p")), table]

    return blocks
