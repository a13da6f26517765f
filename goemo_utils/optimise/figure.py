"""The frontier as a figure: quality against speed, with intervals; dominated rungs are pale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

# importing it sets the project's figure style
from goemo_utils.notebook.plots import BLUE, BROWN, GREY

ALT = (
    "Macro F1 on dev against texts a processor second, on a log axis: a point a rung with 95 %"
    " intervals both ways, dominated rungs pale, the teacher's quality as a dashed line."
)

ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
"""Where a decade of the axis is marked: as near each other as their words can stand."""

# Where a name may stand, in points from its rung: beside it, then above and below, then further.
PLACES = [
    (across * side, up)
    for across, ups in ((6, (5, -6, 13, -14)), (14, (22, -22, 31, -31)), (26, (40, -40, 52, -52)))
    for up in ups
    for side in (1, -1)
] + [
    (across * side, up)
    for across in (44, 64, 90)
    for up in (0, 16, -16, 34, -34, 60, -60, 80, -80)
    for side in (1, -1)
]


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
    axes.xaxis.set_major_locator(LogLocator(subs=ROUND))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    kept = [one["rung"] for one in rows if not one["dominated"]]
    axes.set_title(
        f"{len(kept)} of {len(rows)} are on the frontier; pale ones are dominated", loc="left"
    )
    axes.margins(x=0.12)
    figure.tight_layout()
    _write_names(axes, rows)
    plt.close(figure)
    return figure


def _color(one: dict[str, Any]) -> str:
    if one["rung"] == "teacher":
        return BROWN
    return GREY if one["dominated"] else BLUE


def _point(axes: Any, one: dict[str, Any], teacher: dict[str, Any]) -> None:
    color = _color(one)
    alpha = 0.35 if one["dominated"] else 1.0
    speed, quality = one["texts_per_second"], one["macro_f1"]
    low, high = one["ci95"]
    slow, fast = (edge * teacher["texts_per_second"] for edge in one["speed"]["processor"]["ci95"])
    across = [[max(0.0, speed - slow)], [max(0.0, fast - speed)]]
    up = [[max(0.0, quality - low)], [max(0.0, high - quality)]]
    axes.errorbar(
        speed, quality, xerr=across, yerr=up, fmt="o", color=color, alpha=alpha, linewidth=1
    )


def _write_names(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Write every name where no other name and no point lies: the frontier's first, each at the
    first free one of PLACES. A name away from its point is tied to it by a line.
    """
    figure = axes.figure
    figure.canvas.draw()
    points = axes.transData.transform([_point_of(one) for one in rows])
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    page = axes.get_window_extent()

    for one in sorted(rows, key=lambda one: (bool(one["dominated"]), -one["macro_f1"])):
        name = axes.annotate(
            one["rung"],
            _point_of(one),
            PLACES[0],
            textcoords="offset points",
            color=_color(one),
            alpha=0.7 if one["dominated"] else 1.0,
            fontsize=6 if one["dominated"] else 8,
            va="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": _color(one), "alpha": 0.4, "linewidth": 0.6},
        )
        hidden = [_hidden(_box(name, place), page, taken) for place in PLACES]
        taken.append(_box(name, PLACES[int(np.argmin(hidden))]))


def _hidden(box: Bbox, page: Bbox, taken: Sequence[Bbox]) -> float:
    """How much of a name would not be seen: beyond the axes, or behind something, in square
    pixels.
    """
    outside = float(box.width * box.height) - _shared(box, page)
    return outside + sum(_shared(box, other) for other in taken)


def _point_of(one: dict[str, Any]) -> tuple[float, float]:
    return one["texts_per_second"], one["macro_f1"]


def _box(name: Any, place: tuple[float, float]) -> Bbox:
    """Where the name lies on the page, in pixels, once it was put at a place."""
    name.set_position(place)
    name.set_ha("left" if place[0] >= 0 else "right")
    name.update_positions(name.figure.canvas.get_renderer())
    box: Bbox = Text.get_window_extent(name)  # without the line to the point
    return box


def _shared(one: Bbox, other: Bbox) -> float:
    """The area that two boxes share, in square pixels."""
    width = float(min(one.x1, other.x1) - max(one.x0, other.x0))
    height = float(min(one.y1, other.y1) - max(one.y0, other.y0))
    return max(0.0, width) * max(0.0, height)
