"""How the parts of a comparison are written, on the screen and on the page."""

import json
from typing import Any

from goemo_utils.forward.thresholds import described
from goemo_utils.report import numbers as n
from goemo_utils.report.gates import gate_name, shown_limit, shown_value
from goemo_utils.report.parity_section import metric_value
from goemo_utils.report.words import Words

SIDES = ("before", "after")


def sentence(result: dict[str, Any], words: Words) -> str:
    """The outcome in a sentence."""
    if not result["worse"]:
        return words("d_none_worse")
    return words(
        "d_some_worse",
        gates=words("comma").join(gate_name(name, words) for name in result["worse"]),
    )


def short(found: Any) -> str:
    """A changed value in a few characters: digests are cut, an absent one is named."""
    if found is None:
        return "none"
    if isinstance(found, list) and len(found) > 3 and all(isinstance(v, float) for v in found):
        return described(found)
    shown = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return shown.removeprefix("sha256:")[:12] + "…" if shown.startswith("sha256:") else shown


def value(row: dict[str, Any], side: str, words: Words) -> str:
    """A metric's value, with its interval where it has one."""
    if row[side] is None:
        return words("unknown")
    shown = metric_value({"id": row["id"], "unit": row["unit"], "value": row[side]}, words)
    interval = row.get(f"{side}_interval")
    if interval and row["unit"] == "share":
        return f"{shown} [{' – '.join(n.percent(float(v), words.language) for v in interval)}]"
    return f"{shown} {n.interval(*interval)}" if interval else shown


def rate(row: dict[str, Any], side: str, words: Words) -> str:
    """A rate with its interval, or why there is none."""
    if row[side] is None:
        return words("null_sim") if row.get("reason") == "simulated" else words("k_not_run")
    return n.number(float(row[side])) + (
        f" {n.interval(*row[f'{side}_ci95'])}" if row.get(f"{side}_ci95") else ""
    )


def judged(row: dict[str, Any]) -> str:
    """Key of the words that say whether a rate or a share moved."""
    return {None: "d_unknown", True: "d_moved", False: "d_still"}[row["moved"]]


def gate_text(result: dict[str, Any], row: dict[str, Any], side: str, words: Words) -> str:
    """Result, value and limit of a gate on one side; a rehearsal's gates would pass, they do not
    pass.
    """
    gate, prefix = row[side], "rs_" if result["runs"][SIDES.index(side)]["simulated"] else "r_"
    if not gate:
        return words("r_not run")
    whole = {"id": row["id"], **gate}
    shown = shown_value(whole, words)
    interval = f" {n.interval(*gate['interval'])}" if gate.get("interval") else ""
    return words.known(prefix, gate["result"]) + (
        f" ({shown}{interval}; {shown_limit(whole, words)})" if shown != "–" else ""
    )
