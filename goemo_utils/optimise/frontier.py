"""The frontier: which rungs no other one beats, and which to take for three wishes.

A rung is dominated where another is at least as good in macro F1, in speed and in bytes, and better
in one of them (Pareto). Speed is texts a processor second.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from goemo_utils.optimise.words import ported, sentence

COLUMNS = (
    "rung",
    "what",
    "macro_f1",
    "micro_f1",
    "share_of_teacher",
    "share_low",
    "share_high",
    "flipped_texts",
    "texts_per_second",
    "times_teacher",
    "megabytes",
    "memory_mib",
    "epochs",
    "seeds",
    "parity",
    "dominated",
)
ONE_POINT = 0.01


def row(record: dict[str, Any], speed: dict[str, Any]) -> dict[str, Any]:
    """One line of the table, from a rung's record and its speed."""
    against = record["quality"]["against_teacher"]["macro_f1"]
    low, high = against["share_ci95"]
    return {
        "rung": record["name"],
        "what": record["title"],
        "macro_f1": record["quality"]["macro_f1"],
        "micro_f1": record["quality"]["micro_f1"],
        "share_of_teacher": against["share"],
        "share_low": low,
        "share_high": high,
        "flipped_texts": record["quality"]["flips"]["texts"],
        "texts_per_second": speed["processor"]["texts_per_second"],
        "times_teacher": speed["processor"]["times_teacher"],
        "megabytes": record["bytes"] / 1e6,
        "memory_mib": record["peak_memory_mib"],
        "epochs": passes(record["training"]),
        "difference": against["difference"],
        "difference_ci95": against["ci95"],
        "ci95": record["quality"]["ci95"]["macro_f1"],
        "speed": speed,
        "note": record["note"],
        "source": record["source"],
        "way": record["way"],
        "seeds": [],
        "parity": None,
    }


def passes(training: dict[str, Any] | None) -> str:
    """The epochs of a training, those of its first stage before them; a dash without any."""
    if not training or "epochs" not in training:
        return "–"
    first = training.get("pooling_epochs")
    return f"{first} + {training['epochs']}" if first else str(training["epochs"])


def better(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether ``one`` dominates ``other``."""
    pairs = [
        (one["macro_f1"], other["macro_f1"]),
        (one["texts_per_second"], other["texts_per_second"]),
        (-one["megabytes"], -other["megabytes"]),
    ]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def judged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``dominated``: the names of the rungs that beat each."""
    return [
        {**own, "dominated": [other["rung"] for other in rows if better(other, own)]}
        for own in rows
    ]


def wishes(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any] | None]:
    """For each wish the row to take: ``same`` quality, the fastest whose whole interval of the
    difference from the teacher lies above -0.01 (not inferior by a margin of one point; an interval
    that merely holds 0 may only be wide); ``point``, the fastest that loses at most 0.01 as
    measured; ``smallest``.
    """
    others = [one for one in rows if one["rung"] != "teacher"]
    same = [one for one in others if one["difference_ci95"][0] >= -ONE_POINT]
    point = [one for one in others if one["difference"] >= -ONE_POINT]
    return {
        "same": max(same, key=_fast, default=None),
        "point": max(point, key=_fast, default=None),
        "smallest": min(others, key=lambda one: one["megabytes"], default=None),
    }


def _fast(one: dict[str, Any]) -> float:
    return float(one["texts_per_second"])


def recommendation(rows: Sequence[dict[str, Any]]) -> str:
    """The three wishes in sentences."""
    words = {
        "same": "For the teacher's quality (the whole interval above one point less)",
        "point": "For at most one point of macro F1 less",
        "smallest": "For the smallest folder",
    }
    return " ".join(_advice(words[wish], chosen) for wish, chosen in wishes(rows).items())


def _advice(wish: str, chosen: dict[str, Any] | None) -> str:
    if chosen is None:
        return f"{wish}: none, keep the teacher."
    low, high = chosen["difference_ci95"]
    return (
        f"{wish}: {chosen['rung']} ({chosen['what']}), {chosen['times_teacher']:.1f} times the"
        f" teacher's texts a second, macro F1 {chosen['difference']:+.3f}"
        f" ({low:+.3f} to {high:+.3f}), {chosen['megabytes']:.1f} MB."
    )


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The table for a spreadsheet."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for one in rows:
        words = {
            "dominated": " ".join(one["dominated"]),
            "seeds": " ".join(f"{each['macro_f1']:.4f}" for each in one["seeds"]),
            "parity": sentence(one["parity"]),
        }
        writer.writerow({**one, **words})
    return out.getvalue()


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table for a page, teacher first, then by speed."""
    head = (
        "| rung | what | macro F1 (95 %) | of the teacher's (paired 95 %) | micro F1 |"
        " texts flipped | × texts/s | MB | MiB | epochs | seeds | dominated by |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    order = sorted(rows, key=lambda one: (one["rung"] != "teacher", -one["texts_per_second"]))
    return head + "".join(_line(one) for one in order)


def notes(rows: Sequence[dict[str, Any]]) -> str:
    """What is to be known of the rungs, a line each; those without a note are left out."""
    return "".join(f"- `{one['rung']}`: {one['note']}\n" for one in rows if one["note"])


def seeds(one: dict[str, Any]) -> str:
    """Macro F1 of the lowest and of the highest seed; a dash where there is one alone."""
    values = [each["macro_f1"] for each in one["seeds"]]
    if len(values) < 2:
        return "–"
    return f"{len(values)}: {min(values):.3f}–{max(values):.3f}"


def verdicts(rows: Sequence[dict[str, Any]]) -> str:
    """What the study's device makes of each rung: a table of its own, for it is no CPU's. Empty
    where no device was asked.
    """
    asked = [one for one in rows if one["parity"]]
    if not asked:
        return ""
    head = "| rung | on the device | labels flipped | largest difference | texts/s |\n"
    return f"{head}|---|---|---|---|---|\n" + "".join(_verdict(one) for one in asked)


def _verdict(one: dict[str, Any]) -> str:
    found = one["parity"]
    if found.get("reason"):
        return f"| `{one['rung']}` | {found['reason']} | – | – | – |\n"
    largest = found["metrics"]["max_abs_diff"]
    speed = found["speed"]
    rate = (speed or {}).get("texts_per_second", {}).get("candidate")
    told = "none: simulated" if found["simulated"] else "–"
    cells = (
        f"`{one['rung']}`",
        sentence(found),
        str(found["flips"]),
        "–" if largest is None else f"{largest:.1e}",
        told if rate is None else f"{rate:,.0f}",
    )
    return f"| {' | '.join(cells)} |\n"


def as_page(found: dict[str, Any]) -> str:
    """The report section: table, recommendation, verdicts of the device, notes, and what was left
    out. ``found`` is what frontier.json holds.
    """
    rows = found["rows"]
    device = verdicts(rows)
    left_out = "".join(f"- `{one['rung']}`: {one['reason']}\n" for one in found["refused"])
    parts = (
        f"## Smaller and faster than {found['teacher']}",
        as_markdown(rows).rstrip(),
        found["recommendation"],
        f"On the device ({found['device']}):\n\n{device}".rstrip() if device else "",
        notes(rows).rstrip(),
        f"Left out:\n\n{left_out}".rstrip() if left_out else "",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def to_port(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The recommended rung whose folder a device takes: of the same quality, else one point less,
    else the smallest; None where every recommended one is the CPU's alone.
    """
    folders = [one for one in rows if one["rung"] == "teacher" or ported(one["way"])]
    return next((one for one in wishes(folders).values() if one), None)


def _line(one: dict[str, Any]) -> str:
    low, high = one["ci95"]
    span = one["speed"]["processor"]["ci95"]
    beaten = ", ".join(one["dominated"][:2]) + (", …" if len(one["dominated"]) > 2 else "")
    cells = (
        f"`{one['rung']}`",
        one["what"],
        f"{one['macro_f1']:.3f} ({low:.3f}–{high:.3f})",
        f"{one['share_of_teacher']:.1%} ({one['share_low']:.1%}–{one['share_high']:.1%})",
        f"{one['micro_f1']:.3f}",
        f"{one['flipped_texts']:.1%}",
        f"{one['times_teacher']:.2f} ({span[0]:.2f}–{span[1]:.2f})",
        f"{one['megabytes']:.2f}",
        f"{one['memory_mib']:.0f}",
        one["epochs"],
        seeds(one),
        beaten or "—",
    )
    return f"| {' | '.join(cells)} |\n"
