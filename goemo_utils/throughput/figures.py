"""The figures of a throughput run and the tables behind them: rates by batch size, latency, and the
ladder.

The tables are plain lists of rows, so that a report can draw them in its own way; each figure takes
its table and nothing else.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]


def by_batch_size(results: dict[str, Any], length: int | None = None) -> list[dict[str, Any]]:
    """Rate with its interval by number of texts at one length (the longest that the grid measured
    throughout, unless given).

    ``batch_size`` is that number: one batch of a padded way, and what was handed to the classifier,
    which makes its own batches.
    """
    cells = [cell for cell in results.get("grid") or [] if cell["median"] is not None]
    if not cells:
        return []
    sizes = {cell["batch_size"] for cell in cells}
    complete = [
        n
        for n in {cell["length"] for cell in cells}
        if {c["batch_size"] for c in cells if c["length"] == n} == sizes
    ]

    chosen = (
        length
        if length is not None
        else max(complete, default=max(cell["length"] for cell in cells))
    )

    # Padded ways run the texts of a cell as one batch whatever their usual batches are, so they are
    # named by their arithmetic and place only.
    return [
        {
            "way": (
                f"{'classifier' if cell.get('own_batches') else 'one padded batch'},"
                f" {cell['dtype']} on {cell['device']}"
            ),
            "length": chosen,
            "batch_size": cell["batch_size"],
            "median": cell["median"],
            "low": cell["ci95"][0],
            "high": cell["ci95"][1],
            "n": cell["n"],
        }
        for cell in cells
        if cell["length"] == chosen
    ]


def latency(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Milliseconds of every single-text call, with the way it belongs to."""
    return [
        {"way": f"{row['configuration']}, {row['device']}", "milliseconds": value}
        for row in results.get("latency") or []
        for value in row["raw"]
    ]


def steps(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The rungs that were measured: rate, multiple of the first, and texts whose labels changed."""
    return [
        {
            "rung": rung["rung"],
            "median": rung["median"],
            "low": rung["ci95"][0],
            "high": rung["ci95"][1],
            "times_first": rung["times_first"],
            "sets_changed": (rung["parity"] or {}).get("sets_changed"),
            "n_texts": (rung["parity"] or {}).get("n_texts"),
        }
        for rung in results.get("ladder") or []
        if rung["median"] is not None
    ]


def draw_by_batch_size(rows: Rows) -> Figure:
    """Rates over the number of texts with 95 % intervals, a line a way."""
    from matplotlib.ticker import NullLocator

    figure, axes = _axes()
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = sorted((row for row in rows if row["way"] == way), key=lambda row: row["batch_size"])
        middle = [row["median"] for row in mine]
        spread = [
            [m - row["low"] for m, row in zip(middle, mine, strict=True)],
            [row["high"] - m for m, row in zip(middle, mine, strict=True)],
        ]
        axes.errorbar(
            [row["batch_size"] for row in mine],
            middle,
            yerr=spread,
            marker="o",
            capsize=3,
            label=way,
        )

    best = max(rows, key=lambda row: row["median"])
    axes.set(
        xscale="log",
        xlabel=f"texts of {best['length']} tokens in the batch, or handed to the classifier",
        ylabel="texts/s",
        ylim=(0, None),
    )

    axes.set_xticks(
        sorted({row["batch_size"] for row in rows}),
        labels=[str(size) for size in sorted({row["batch_size"] for row in rows})],
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(
        f"Highest at {best['batch_size']} texts: {best['median']:.3g} texts/s, {best['way']}",
        loc="left",
    )

    axes.legend(frameon=False)
    return figure


def draw_latency(rows: Rows) -> Figure:
    """Share of single-text calls that took at most so long."""
    import numpy as np
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = _axes()
    medians = {}

    for way in dict.fromkeys(row["way"] for row in rows):
        values = np.sort([row["milliseconds"] for row in rows if row["way"] == way])
        medians[way] = float(np.median(values))
        axes.step(
            values,
            np.arange(1, len(values) + 1) / len(values),
            where="post",
            label=f"{way} (n = {len(values)})",
        )

    axes.set(xscale="log", xlabel="milliseconds for one text", ylabel="share of calls")
    axes.xaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)),
        major_formatter=lambda value, _: f"{value:g}",
        minor_locator=NullLocator(),
    )
    axes.set_title(
        f"Half of all calls end within {min(medians.values()):.3g} ms at best", loc="left"
    )

    # Names of ways are long, and the curves fill the axes from corner to corner.
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def draw_ladder(rows: Rows) -> Figure:
    """Rates of the rungs as bars with intervals, the multiple of the first rung and the changed
    answers printed beside them.
    """
    figure, axes = _axes(width=9)
    places = range(len(rows))[::-1]
    middle = [row["median"] for row in rows]
    spread = [
        [row["median"] - row["low"] for row in rows],
        [row["high"] - row["median"] for row in rows],
    ]

    axes.barh(places, middle, xerr=spread, color="#0b5c8a", ecolor="#5b6675", capsize=3)
    for place, row in zip(places, rows, strict=True):
        changed = (
            ""
            if row["sets_changed"] is None
            else f", {row['sets_changed']} of {row['n_texts']} label sets changed"
        )
        axes.text(row["high"], place, f"  {row['times_first']:.2f}×{changed}", va="center")

    axes.set_yticks(places, labels=[textwrap.fill(row["rung"], 28) for row in rows])
    axes.set(xlabel="texts/s", xlim=(0, 1.9 * max(row["high"] for row in rows)))
    axes.set_title(
        f"From rung to rung: {max(row['times_first'] for row in rows):.2f} times the first at best",
        loc="left",
    )

    return figure


def write(results: dict[str, Any], folder: Path) -> list[Path]:
    """Every figure that the results have data for, as SVG, and beside it its table as CSV; the
    paths that were written.
    """
    written = []
    for name, rows, draw in (
        ("by_batch_size", by_batch_size(results), draw_by_batch_size),
        ("latency", latency(results), draw_latency),
        ("ladder", steps(results), draw_ladder),
    ):
        if not rows:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        figure, table = folder / f"{name}.svg", folder / f"{name}.csv"
        draw(rows).savefig(figure)
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        written += [figure, table]

    return written


def _axes(width: float = 7.5) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
