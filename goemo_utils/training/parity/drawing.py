"""The figure of a training parity: the loss of the three roles, and how far the device is from
float64 at every step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goemo_utils.notebook.plots import (
    BLUE,
    BROWN,
    GREY,
    titled,
)  # also sets the project's figure style

PANELS = {
    "loss": "of the texts' losses\n(rms, nats, log)",
    "norms": "of the gradient norms\n(rms, log)",
}


def draw(result: Mapping[str, Any], simulated: bool) -> Figure:
    """Left the loss of gold, reference and device; right, on log axes, the errors against float64
    of the losses and of the gradient norms, with their limit and the first step beyond it.

    ``result`` is what ``compare`` returns. An error of 0 stands at the lower edge; with a named
    cause the device's distance from the CPU under it is drawn too.
    """
    figure, axes = plt.subplot_mosaic([["curve", "loss"], ["curve", "norms"]], figsize=(11, 4.8))
    left, rows = axes["curve"], result["curves"]

    for role, name, style in (
        ("gold", "CPU, float64", {"color": GREY, "linewidth": 4, "alpha": 0.5}),
        ("reference", f"CPU, {result['dtype']}", {"color": BROWN}),
        ("candidate", "device", {"color": BLUE, "linestyle": (0, (4, 3))}),
    ):
        left.plot(
            [row["step"] for row in rows],
            [float(row["loss"][role]) for row in rows],
            label=name,
            **style,
        )

    left.set(xlabel="optimizer step", ylabel="loss of the batch (nats)")
    left.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    left.legend(edgecolor="none", framealpha=0.9)
    left.set_title("The same batches, three times", loc="left", fontsize="medium")
    for key, what in PANELS.items():
        _errors(axes[key], result, key)
        axes[key].set_ylabel(f"error {what}", fontsize="small")

    axes["norms"].set_xlabel("optimizer step")
    axes["loss"].set_title(_right(result), loc="left", fontsize="medium")
    figure.suptitle(
        titled(_title(result), simulated),
        x=0.01,
        ha="left",
        fontsize=matplotlib.rcParams["axes.titlesize"],
    )

    lines = axes["loss"].get_legend_handles_labels()
    if lines[0]:
        figure.legend(*lines, loc="lower right", ncols=2, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.1 if lines[0] else 0, 1, 1))
    plt.close(figure)

    return figure


def _errors(axes: Axes, result: Mapping[str, Any], key: str) -> None:
    """One panel of errors against float64."""
    rows, limit = (
        [row for row in result["curves"] if f"{key}_error" in row],
        result["limits"]["curve"],
    )
    if not rows:
        return
    steps, at = [row["step"] for row in rows], result["first_diverging_step"]
    drawn: dict[str, tuple[str, dict[str, Any]]] = {
        "CPU against float64": ("reference", {"color": BROWN, "marker": "o", "markersize": 3}),
        "device against float64": (
            "candidate",
            {"color": BLUE, "marker": "o", "markersize": 3, "linestyle": (0, (4, 3))},
        ),
        f"device against the CPU with {' + '.join(result['causes'])}": (
            "from_cause",
            {"color": BLUE, "linestyle": ":"},
        ),
    }

    values = {
        name: [float(row[f"{key}_error"][part]) for row in rows]
        for name, (part, _) in drawn.items()
        if part in rows[0][f"{key}_error"]
    }
    bound = [limit * float(row[f"{key}_error"]["noise"]) for row in rows]
    known = [v for line in (*values.values(), bound) for v in line if math.isfinite(v) and v > 0]
    floor = min(known, default=1e-9) / 3

    for name, line in values.items():
        axes.plot(
            steps,
            [max(v, floor) if math.isfinite(v) else math.nan for v in line],
            label=name,
            **drawn[name][1],
        )

    axes.plot(
        steps,
        bound,
        color=GREY,
        linestyle="--",
        linewidth=1,
        label=f"limit: {limit:g} x the noise of right arithmetic",
    )

    if at:
        axes.axvline(at, color=BROWN, linewidth=1)
        axes.text(
            at,
            1.0,
            f" step {at}",
            color=BROWN,
            va="top",
            fontsize=8,
            transform=axes.get_xaxis_transform(),
        )

    axes.set(yscale="log", ylim=(floor, max(known, default=1e-8) * 3))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))


def _right(result: Mapping[str, Any]) -> str:
    at = result["first_diverging_step"]
    if not any("loss_error" in row for row in result["curves"]):
        return "Nothing was compared"
    return (
        f"Losses or gradient norms leave right arithmetic at step {at}"
        if at
        else "The device stays within right arithmetic"
    )


def _title(result: Mapping[str, Any]) -> str:
    steps = f"{result['steps']} step{'s' * (result['steps'] > 1)}"
    if result["verdict"] == "fail":
        return f"Training parity failed over {steps}"
    if result["verdict"] == "pass-with-cause":
        return f"Over {steps} the device trains as the CPU with {' + '.join(result['causes'])}"
    return f"Over {steps} the device trains as the CPU does" + (
        ", to the bit" if result["equal_to_reference"] else ""
    )
