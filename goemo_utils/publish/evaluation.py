"""What a reviewer repeats: programs that make the card's figures again from a file of texts, and
the figures themselves as JSON.
"""

from pathlib import Path
from typing import Any

from goemo_utils.publish.card import render
from goemo_utils.records.record import write_json, write_text

PROGRAMS = ("eval_accuracy.py", "eval_performance.py")
ACCURACY = (
    "max_abs_diff",
    "mean_abs_diff",
    "cosine_similarity",
    "top1_match",
    "top3_overlap",
    "top5_match",
    "match_within_1_percent",
    "match_basis",
)
PERFORMANCE = ("cpu_texts_per_second", "npu_texts_per_second", "npu_latency_ms", "speedup")


def write(folder: Path, values: dict[str, Any], summary: dict[str, Any], mark: str | None) -> None:
    """Write ``eval/`` and ``results/``; ``values`` are those of ``inference.py``."""
    for name in PROGRAMS:
        write_text(folder / "eval" / name, render(f"{name}.j2", values))
    accuracy = {**_fields(summary, ACCURACY), "match_within_1_percent_all": all_within(summary)}
    accuracy |= {"comparison": summary["comparison"], "gates": summary["gates"]}
    performance = {**_fields(summary, PERFORMANCE), "timing": summary["timing"]}

    for name, found in (("accuracy", accuracy), ("performance", performance)):
        head = {"run_id": summary["run_id"], "simulated": summary["simulated"]}
        head |= {"draft": mark} if mark else {}
        write_json(folder / "results" / f"{name}.json", head | found)


def all_within(summary: dict[str, Any]) -> bool | None:
    """Whether every compared value is within one percent; None where none was compared."""
    share = summary["match_within_1_percent"]
    return None if share is None else bool(share == 1.0)


def _fields(summary: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the summary, with the reasons of those that do not apply."""
    found = {name: summary[name] for name in names}
    reasons = {name: summary["reasons"].get(name) for name in names if summary[name] is None}
    return found | ({"reasons": reasons} if reasons else {})
