"""The gates of a run: their names, values and limits as a reader sees them."""

import re
from typing import Any

from goemo_utils.report import numbers as n
from goemo_utils.report.blocks import Column, State, Table, Text
from goemo_utils.report.read import Run
from goemo_utils.report.words import Words

ICONS = {
    "pass": "pass",
    "fail": "fail",
    "explained": "cause",
    "cannot tell": "unk",
    "not run": "none",
}
# The call at fault, as the record's sentence names it.
AT_FAULT = re.compile(r"(.+): wrong on right inputs\.")
FIRST = ("fail", "explained", "cannot tell", "pass", "not run")
# Gates that cannot be judged where a value is not finite.
UNDECIDED = ("repeatable", "flips", "flip_bound", "invariance", "task_quality")


def gates(run: Run) -> list[dict[str, Any]]:
    """Gates of the parity step. The smoke sentences are none: they speak of the model, not of the
    port.
    """
    return list(run.of("03_parity").get("gates") or [])


def gate_name(gate_id: str, words: Words) -> str:
    """Name a gate; one that a newer kit invented keeps its id."""
    return words.known("g_", gate_id)


def shown_limit(gate: dict[str, Any], words: Words) -> str:
    """Write a gate's limit with its sign."""
    limit, kind = gate.get("limit"), gate["id"]
    if limit is None:
        return "–"
    if isinstance(limit, str):
        return words.known("value_", limit)
    if kind == "flip_bound":
        return f"≤ {n.limit(100 * limit)}{'' if words.language == 'zh' else ' '}%"
    if kind == "task_quality":
        return f"± {n.limit(limit)} pt"
    return f"≤ {n.limit(limit)}" if limit else "0"


def shown_value(gate: dict[str, Any], words: Words) -> str:
    """Write a gate's measured value; a gate without one shows a dash, and its meaning says why."""
    value, kind = gate.get("value"), gate["id"]
    if value is None:
        return "–"
    if isinstance(value, str):
        fallbacks = re.fullmatch(r"(\d+) fallbacks", value)
        if fallbacks:
            return words("fallbacks", n=fallbacks[1])
        return words(f"value_{value}") if words.has(f"value_{value}") else n.prose(value)
    if kind == "rounding":
        return f"R = {n.ratio(float(value))}"
    if kind == "flip_bound":
        return n.percent(float(value), words.language)
    if kind == "task_quality":
        return f"{'+' if value > 0 else ''}{n.number(float(value))} pt"

    return n.ratio(float(value)) if kind in ("cause", "invariance", "cards") else n.number(value)


def meaning(gate: dict[str, Any], words: Words) -> str:
    """Say what a gate's result means. The record says it in English; a Chinese page uses its own
    table where it can.
    """
    if (
        gate["id"] == "flip_bound"
        and gate["result"] == "cannot tell"
        and gate.get("needed")
        and not gate.get("texts_changed")
    ):
        return words(
            "x_few",
            n=n.number(gate["n"]),
            limit=shown_limit(gate, words).removeprefix("≤ "),
            needed=n.number(gate["needed"]),
        )
    if gate["result"] == "cannot tell" and gate.get("value") is None and gate["id"] in UNDECIDED:
        return words("x_not_finite")
    if gate["id"] == "cause" and gate["result"] == "pass" and gate.get("value") in (None, "none"):
        return words("x_no_cause") if words.language != "en" else n.prose(gate["meaning"])

    if gate["id"] == "cards" and gate.get("sick") and words.language != "en":
        named = words("comma").join(str(card) for card in gate["sick"])
        return words("x_cards", cards=named, n=n.number(gate["n"]))

    at_fault = AT_FAULT.fullmatch(str(gate.get("meaning")))
    if at_fault and words.language != "en":
        return words("x_place", place=at_fault[1])

    key = f"m_{gate['id']}" if gate["result"] == "pass" else f"m_{gate['id']}_{gate['result']}"
    where = gate.get("where")
    tail = (
        ""
        if gate["id"] != "rounding" or where in (None, "logits")
        else words("worst_at", where=where)
    )

    if words.language == "en" or not words.has(key):
        told = n.prose(gate["meaning"])
        # A sentence may begin with the name of a cause, such as hf32, which keeps its case.
        told = told[:1].upper() + told[1:] if re.match(r"[a-z]+ ", told) else told
        return f"{told} {tail}".rstrip()

    return tail + words(
        key, value=shown_value(gate, words).removeprefix("R = "), n=n.number(gate.get("n") or 0)
    )


def gate_table(run: Run, words: Words) -> Table | None:
    """Every gate with its result, value, limit and meaning; None when none was judged."""
    found = gates(run)
    if not found:
        return None

    prefix = "rs_" if run.simulated else "r_"
    counts = words("comma").join(
        words(f"c_{r}", n=k) for r in ICONS if (k := sum(g["result"] == r for g in found))
    )
    # Failures first; among equals the order of the study.
    found = sorted(found, key=lambda g: FIRST.index(g["result"]) if g["result"] in FIRST else 0)
    rows: list[list[Text]] = [
        [
            gate_name(g["id"], words),
            State(ICONS.get(g["result"], "unk"), words.known(prefix, g["result"])),
            shown_value(g, words),
            shown_limit(g, words),
            meaning(g, words),
        ]
        for g in found
    ]
    columns = [
        Column(words("gate")),
        Column(words("result")),
        Column(words("value"), True),
        Column(words("limit"), True),
        Column(words("meaning")),
    ]
    remark = (
        words("gates_sim") if run.simulated else words("gates_count", n=len(found), counts=counts)
    )

    return Table(
        words("gates"),
        columns,
        rows,
        caption=words("gates"),
        remark=remark,
        style="gates",
        measured=True,
    )
