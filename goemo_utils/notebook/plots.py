"""The notebooks' figures (seaborn). Each returns the figure; its title states the finding, its axes
carry units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.rcParams.update(
    {"figure.dpi": 96, "savefig.dpi": 110, "axes.spines.top": False, "axes.spines.right": False}
)

import matplotlib.pyplot as plt  # noqa: E402  after the settings
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from goemo_utils.notebook.tables import short  # noqa: E402

BLUE, BROWN, GREY = "#0b5c8a", "#8a5c00", "#5b6675"
NOT_COVERED = "not covered"
# What a figure shows, for a reader who cannot see it.
ALT = {
    "layers": "Error ratio R after each layer, with the limit 2 as a dashed line.",
    "ladder": "Distance of the candidate from gold and from each imitated arithmetic, log scale.",
    "heat": "Local error ratio of each call in each layer, with its value in the cell.",
    "margins": (
        "Error against margin for the decisions nearest the threshold, both on log axes, with the"
        " diagonal above which a decision can change."
    ),
    "throughput": (
        "Median texts per second of each configuration as bars from zero, with 95 % intervals."
    ),
}


def titled(text: str, simulated: bool) -> str:
    """A figure of a simulated run says so in its title."""
    return f"SIMULATED. {text}" if simulated else text


def margins(near: Sequence[Sequence[float]], envelope: float | None, simulated: bool) -> Figure:
    """Decisions nearest the threshold: margin of the gold logit against the candidate's error, both
    in logits.

    A decision can only change where the error is at least the margin, on or above the diagonal.
    """
    points = [(m, e) for m, e in near if m > 0 and e > 0]
    across, up = [m for m, _ in points], [e for _, e in points]
    low = min([*across, *up], default=1e-7) / 2
    high = max([*across, *up], default=1) * 2

    figure, axes = plt.subplots(figsize=(7.5, 4))
    if points:
        sns.scatterplot(x=across, y=up, ax=axes, color=GREY, s=16, linewidth=0)
    axes.plot([low, high], [low, high], color=BROWN, linewidth=1)
    axes.text(low * 1.5, high / 4, "a decision can change", color=BROWN)
    if envelope:
        axes.axhline(envelope, color=BLUE, linestyle="--", linewidth=1)
        axes.text(high, envelope, "envelope ", color=BLUE, ha="right", va="bottom")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        ylim=(low, high),
        xlabel="margin: distance of the gold logit from the threshold (logit units)",
        ylabel="error |candidate − gold|\n(logit units)",
    )

    crossed = sum(e >= m for m, e in points)
    finding = f"None of the {len(points)} nearest decisions is near enough to change"
    if crossed:
        finding = f"{crossed} of the {len(points)} nearest decisions could have changed"
    return _finished(figure, finding, simulated)


def layers(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure:
    """Accumulated error ratio R after each layer (embeddings first, logits last)."""
    kept = [r for r in rows if isinstance(r["R"], (int, float))]
    names, ratios = [str(r["layer"]) for r in kept], [r["R"] for r in kept]
    worst = max(ratios, default=0)

    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    sns.lineplot(x=names, y=ratios, ax=axes, marker="o", color=BLUE)
    axes.axhline(2, color=BROWN, linestyle="--", linewidth=1)
    axes.set(
        xlabel="state",
        ylabel="R = RMSE(candidate) ÷ RMSE(reference)\nboth against float64",
        yscale="log" if worst > 30 else "linear",
    )

    finding = f"Up to {worst:.3g} times further from float64 than the CPU"
    if worst <= 2:
        finding = "The device is as near to float64 as the CPU, layer by layer"
    return _finished(figure, finding, simulated)


def ladder(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure:
    """Distance (RMSE, log axis) of the candidate from gold and from CPU runs that imitate one
    arithmetic each: the nearest explains it.
    """
    kept = [r for r in rows if isinstance(r["rmse"], (int, float))]
    floor = min((r["rmse"] for r in kept if r["rmse"] > 0), default=1e-9) / 10
    values = [max(r["rmse"], floor) for r in kept]

    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.38 * len(kept)))
    axes.hlines(range(len(kept)), floor, values, color=GREY, linewidth=1)
    sns.scatterplot(x=values, y=range(len(kept)), ax=axes, color=BLUE, s=55, zorder=3)
    for place, (row, value) in enumerate(zip(kept, values, strict=True)):
        words = "bit-equal" if row["rmse"] == 0 else f"{row['rmse']:.1e}"
        axes.text(value * 1.3, place, words, va="center")
    axes.set(
        xscale="log",
        xlim=(floor, max(values, default=1) * 30),
        xlabel="RMSE between the candidate and each run\n(log scale; bit-equal at the left edge)",
        ylabel="",
    )
    axes.set_yticks(range(len(kept)), [r["rung"] for r in kept])
    axes.invert_yaxis()

    nearest = min(kept, key=lambda r: r["rmse"], default=None)
    finding = f"Nearest to the device: {nearest['rung']}" if nearest else "No run to compare with"
    return _finished(figure, finding, simulated)


def heat(table: Mapping[str, Any], simulated: bool) -> Figure:
    """Local error ratio of each call (rows) in each layer (columns), run alone on the reference's
    inputs; the value is printed in its cell.
    """
    frame = pd.DataFrame(
        [row["values"] for row in table["rows"]],
        index=[row["module"] for row in table["rows"]],
        columns=table["columns"],
        dtype=object,
    )
    missed = frame.map(lambda value: value == NOT_COVERED)
    frame = frame.mask(missed, None)
    depth = frame.map(_depth).astype(float)

    figure, axes = plt.subplots(figsize=(3.6 + 0.62 * len(frame.columns), 1 + 0.3 * len(frame)))
    sns.heatmap(
        depth,
        annot=frame.map(_ratio),
        fmt="",
        ax=axes,
        cmap="YlOrBr",
        vmin=0,
        vmax=4,
        cbar=False,
        linewidths=1,
        annot_kws={"fontsize": 8},
    )
    for y, x in np.argwhere(missed.to_numpy()):
        axes.text(x + 0.5, y + 0.5, "n/c", ha="center", va="center", fontsize=8, color="gray")
    note = "   (n/c: the call could not be repeated)" if missed.to_numpy().any() else ""
    axes.set(xlabel=f"layer{note}", ylabel="")

    # The last row shows what has accumulated by the end of each layer, not where it was made.
    made = [str(name) for name, row in depth.iterrows() if row.max() > 1]
    hot = [name for name in made if "accumulated" not in name]
    more = " …" if len(hot) > 2 else ""
    finding = "Every call is right on the reference's inputs"
    if hot:
        finding = f"Error enters at {', '.join(hot[:2])}{more}"
    return _finished(figure, finding, simulated)


def _ratio(value: Any) -> str:
    """A ratio as its cell prints it."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if value < 100:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 1e5 else f"{value:.0e}"


def _depth(value: Any) -> float:
    """How dark a cell is: the decades of its ratio, and beyond all of them for a NaN."""
    if isinstance(value, str):
        return 6.0
    return math.nan if value is None else math.log10(max(value, 1.0))


def rates(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure | None:
    """Median texts per second with 95 % intervals, bars from zero. None when no row has a rate (a
    simulated device has none).
    """
    kept = [r for r in rows if r.get("median") is not None]
    if not kept:
        return None

    names = [short(r) for r in kept]
    medians = [r["median"] for r in kept]
    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.55 * len(kept)))
    sns.barplot(x=medians, y=names, ax=axes, color=BLUE, width=0.5, errorbar=None)
    for place, row in enumerate(kept):
        interval = row.get("ci95") or [row["median"]]
        axes.plot(interval, [place] * len(interval), color="black", linewidth=1.2)
        axes.text(max(row["median"], *interval), place, f"  {row['median']:,.0f}", va="center")
    axes.set(xlabel=f"{kept[0]['unit']}, median with 95 % interval", ylabel="")

    best = max(kept, key=lambda r: float(r["median"]))
    finding = f"Fastest: {short(best)}, {best['median']:,.0f} {best['unit']}"
    return _finished(figure, finding, simulated)


def _finished(figure: Figure, finding: str, simulated: bool) -> Figure:
    """The figure with its finding as title, not shown a second time by the notebook."""
    axes = figure.axes[0]
    axes.set_title(titled(finding, simulated), loc="left", fontsize=11)
    figure.tight_layout()
    plt.close(figure)
    return figure
