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
import pandas as pd  # noqa: E402
import seaborn as sns  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BLUE, BROWN, GREY = "#0b5c8a", "#8a5c00", "#5b6675"


def titled(text: str, simulated: bool) -> str:
    """A figure of a simulated run says so in its title."""
    return f"SIMULATED. {text}" if simulated else text


def margins(near: Sequence[Sequence[float]], envelope: float | None, simulated: bool) -> Figure:
    """Decisions nearest the threshold: margin of the gold logit against the candidate's error, both
    in logits.

    A decision can only change where the error is at least the margin, on or above the diagonal.
    """
    points = [(m, e) for m, e in near if m > 0 and e > 0]
    figure, axes = plt.subplots(figsize=(7.5, 4))
    if points:
        sns.scatterplot(
            x=[m for m, _ in points],
            y=[e for _, e in points],
            ax=axes,
            color=GREY,
            s=16,
            linewidth=0,
        )
    low, high = (
        min([v for p in points for v in p], default=1e-7) / 2,
        max([v for p in points for v in p], default=1) * 2,
    )
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
    axes.set_title(
        titled(
            (
                f"{crossed} of the {len(points)} nearest decisions could have changed"
                if crossed
                else f"None of the {len(points)} nearest decisions is near enough to change"
            ),
            simulated,
        ),
        loc="left",
    )
    plt.close(figure)
    return figure


def layers(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure:
    """Accumulated error ratio R after each layer (embeddings first, logits last)."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    kept = [r for r in rows if isinstance(r["R"], (int, float))]
    sns.lineplot(
        x=[str(r["layer"]) for r in kept], y=[r["R"] for r in kept], ax=axes, marker="o", color=BLUE
    )
    axes.axhline(2, color=BROWN, linestyle="--", linewidth=1)
    axes.set(
        xlabel="state",
        ylabel="R = RMSE(candidate) ÷ RMSE(reference)\nboth against float64",
        yscale="log" if any(r["R"] > 30 for r in kept) else "linear",
    )
    worst = max((r["R"] for r in kept), default=0)
    axes.set_title(
        titled(
            (
                "The device is as near to float64 as the CPU, layer by layer"
                if worst <= 2
                else f"Up to {worst:.3g} times further from float64 than the CPU"
            ),
            simulated,
        ),
        loc="left",
    )
    plt.close(figure)
    return figure


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
    for place, row in enumerate(kept):
        axes.text(
            max(row["rmse"], floor) * 1.3,
            place,
            "bit-equal" if row["rmse"] == 0 else f"{row['rmse']:.1e}",
            va="center",
        )
    axes.set(
        xscale="log",
        xlim=(floor, max(values, default=1) * 30),
        xlabel=(
            "RMSE between the candidate and each run (log scale; a bit-equal run stands at the left"
            " edge)"
        ),
        ylabel="",
    )
    axes.set_yticks(range(len(kept)), [r["rung"] for r in kept])
    axes.invert_yaxis()
    nearest = min(kept, key=lambda r: r["rmse"], default=None)
    axes.set_title(
        titled(
            f"Nearest to the device: {nearest['rung']}" if nearest else "No run to compare with",
            simulated,
        ),
        loc="left",
    )
    plt.close(figure)
    return figure


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
    missed = frame.map(lambda v: v == "not covered")
    frame = frame.mask(missed, None)
    shown = frame.map(
        lambda v: (
            ""
            if v is None or v != v
            else (
                v
                if isinstance(v, str)
                else f"{v:.1f}"
                if v < 100
                else f"{v:,.0f}"
                if v < 1e5
                else f"{v:.0e}"
            )
        )
    )
    depth = frame.map(
        lambda v: (
            6.0 if isinstance(v, str) else math.log10(max(v, 1.0)) if v is not None else math.nan
        )
    ).astype(float)
    figure, axes = plt.subplots(figsize=(3.6 + 0.62 * len(frame.columns), 1 + 0.3 * len(frame)))
    sns.heatmap(
        depth,
        annot=shown,
        fmt="",
        ax=axes,
        cmap="YlOrBr",
        vmin=0,
        vmax=4,
        cbar=False,
        linewidths=1,
        annot_kws={"fontsize": 8},
    )
    for y, x in zip(*missed.to_numpy().nonzero()):
        axes.text(x + 0.5, y + 0.5, "n/c", ha="center", va="center", fontsize=8, color="gray")
    axes.set(
        xlabel=(
            "layer   (n/c: the call could not be repeated)" if missed.to_numpy().any() else "layer"
        ),
        ylabel="",
    )
    # The last row shows what has accumulated by the end of each layer, not where it was made.
    hot = [name for name, row in depth.iterrows() if row.max() > 1 and "accumulated" not in name]
    axes.set_title(
        titled(
            (
                "Every call is right on the reference's inputs"
                if not hot
                else f"Error enters at {', '.join(hot[:2])}" + (" …" if len(hot) > 2 else "")
            ),
            simulated,
        ),
        loc="left",
    )
    plt.close(figure)
    return figure


def rates(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure | None:
    """Median texts per second with 95 % intervals, bars from zero. None when no row has a rate (a
    simulated device has none).
    """
    kept = [r for r in rows if r.get("median") is not None]
    if not kept:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.55 * len(kept)))
    names = [r["configuration"] for r in kept]
    sns.barplot(
        x=[r["median"] for r in kept], y=names, ax=axes, color=BLUE, width=0.5, errorbar=None
    )
    for place, r in enumerate(kept):
        if r.get("ci95"):
            axes.plot(r["ci95"], [place, place], color="black", linewidth=1.2)
        axes.text(
            max(r["median"], *(r.get("ci95") or [0])), place, f"  {r['median']:,.0f}", va="center"
        )
    axes.set(xlabel=f"{kept[0]['unit']} (median, 95 % interval)", ylabel="", xlim=(0, None))
    best = max(kept, key=lambda r: r["median"])
    axes.set_title(
        titled(f"{best['configuration']}: {best['median']:,.0f} {best['unit']}", simulated),
        loc="left",
    )
    plt.close(figure)
    return figure
