"""The frontier as a figure: quality against speed, with intervals; dominated rungs are pale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

# importing it sets the project's figure style
from goemo_utils.notebook.plots import BLUE, BROWN, GREY

ALT = (
    "Macro F1 on dev against texts a processor second, on a log axis: a point a rung with 95 %"
    " intervals both ways, dominated rungs pale, the teacher's quality as a dashed line."
)


def frontier(rows: Sequence[dict[str, Any]]) -> Figure:
    """Quality against speed. ``rows`` are those of ``frontier.judged``."""
    figure, axes = plt.subplots(figsize=(8.5, 5.2))
    teacher = next(one for one in rows if one["rung"] == "teacher")
    axes.axhline(teacher["macro_f1"], color=BROWN, linestyle="--", linewidth=1)
    for one in rows:
        _point(axes, one, teacher)

    axes.set(
        xscale="log",
        xlabel="texts a processor second (log scale)",
        ylabel="macro F1 on dev, tuned thresholds",
    )
    for formats in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formats(StrMethodFormatter("{x:,.0f}"))
    kept = [one["rung"] for one in rows if not one["dominated"]]
    axes.set_title(
        f"{len(kept)} of {len(rows)} are on the frontier; pale ones are dominated", loc="left"
    )
    figure.tight_layout()
    plt.close(figure)
    return figure


def _point(axes: Any, one: dict[str, Any], teacher: dict[str, Any]) -> None:
    dominated = bool(one["dominated"])
    color = GREY if dominated else BLUE
    if one is teacher:
        color = BROWN
    alpha = 0.35 if dominated else 1.0
    speed, quality = one["texts_per_second"], one["macro_f1"]
    low, high = one["ci95"]
    slow, fast = (edge * teacher["texts_per_second"] for edge in one["speed"]["processor"]["ci95"])
    across = [[max(0.0, speed - slow)], [max(0.0, fast - speed)]]
    up = [[max(0.0, quality - low)], [max(0.0, high - quality)]]
    axes.errorbar(
        speed, quality, xerr=across, yerr=up, fmt="o", color=color, alpha=alpha, linewidth=1
    )
    # Dominated rungs crowd around the teacher: their names go to the other side, and are smaller.
    place, side, size = ((-5, -8), "right", 6) if dominated else ((5, 4), "left", 8)
    axes.annotate(
        one["rung"],
        (speed, quality),
        xytext=place,
        textcoords="offset points",
        ha=side,
        color=color,
        alpha=min(1.0, alpha + 0.3),
        fontsize=size,
    )
