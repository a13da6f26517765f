"""The notebooks' figures (seaborn). Each returns the figure; its title states the finding, its axes carry units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.rcParams.update({"figure.dpi": 96, "savefig.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})

import matplotlib.pyplot as plt  # noqa: E402  after the settings
import seaborn as sns  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BLUE, BROWN, GREY = "#0b5c8a", "#8a5c00", "#5b6675"


def titled(text: str, simulated: bool) -> str:
    """A figure of a simulated run says so in its title."""
    return f"SIMULATED. {text}" if simulated else text


def margins(near: Sequence[Sequence[float]], envelope: float | None, simulated: bool) -> Figure:
    """Decisions nearest the threshold: margin of the gold logit against the candidate's error, both in logits.

    A decision can only change where the error is at least the margin, on or above the diagonal.
    """
    points = [(m, e) for m, e in near if m > 0 and e > 0]
    figure, axes = plt.subplots(figsize=(7.5, 4))
    if points:
        sns.scatterplot(x=[m for m, _ in points], y=[e for _, e in points], ax=axes, color=GREY, s=16, linewidth=0)
    low, high = min([v for p in points for v in p], default=1e-7) / 2, max([v for p in points for v in p], default=1) * 2
    axes.plot([low, high], [low, high], color=BROWN, linewidth=1)
    axes.text(low * 1.5, high / 4, "a decision can change", color=BROWN)
    if envelope:
        axes.axhline(envelope, color=BLUE, linestyle="--", linewidth=1)
        axes.text(high, envelope, "envelope ", color=BLUE, ha="right", va="bottom")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="margin: distance of the gold logit from the threshold (logit units)",
             ylabel="error |candidate − gold|\n(logit units)")
    crossed = sum(e >= m for m, e in points)
    axes.set_title(titled(f"{crossed} of the {len(points)} nearest decisions could have changed" if crossed else
                          f"None of the {len(points)} nearest decisions is near enough to change", simulated), loc="left")
    plt.close(figure)
    return figure


def layers(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure:
    """Accumulated error ratio R after each layer (embeddings first, logits last)."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    kept = [r for r in rows if isinstance(r["R"], (int, float))]
    sns.lineplot(x=[str(r["layer"]) for r in kept], y=[r["R"] for r in kept], ax=axes, marker="o", color=BLUE)
    axes.axhline(2, color=BROWN, linestyle="--", linewidth=1)
    axes.set(xlabel="state", ylabel="R = RMSE(candidate) ÷ RMSE(reference)\nboth against float64", yscale="log" if any(r["R"] > 30 for r in kept) else "linear")
    worst = max((r["R"] for r in kept), default=0)
    axes.set_title(titled("The device is as near to float64 as the CPU, layer by layer" if worst <= 2 else f"Up to {worst:.3g} times further from float64 than the CPU", simulated), loc="left")
    plt.close(figure)
    return figure


def rates(rows: Sequence[Mapping[str, Any]], simulated: bool) -> Figure | None:
    """Median texts per second with 95 % intervals, bars from zero. None when no row has a rate (a simulated device has none)."""
    kept = [r for r in rows if r.get("median") is not None]
    if not kept:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 0.8 + 0.55 * len(kept)))
    names = [r["configuration"] for r in kept]
    sns.barplot(x=[r["median"] for r in kept], y=names, ax=axes, color=BLUE, width=0.5, errorbar=None)
    for place, r in enumerate(kept):
        if r.get("ci95"):
            axes.plot(r["ci95"], [place, place], color="black", linewidth=1.2)
        axes.text(max(r["median"], *(r.get("ci95") or [0])), place, f"  {r['median']:,.0f}", va="center")
    axes.set(xlabel=f"{kept[0]['unit']} (median, 95 % interval)", ylabel="", xlim=(0, None))
    best = max(kept, key=lambda r: r["median"])
    axes.set_title(titled(f"{best['configuration']}: {best['median']:,.0f} {best['unit']}", simulated), loc="left")
    plt.close(figure)
    return figure
