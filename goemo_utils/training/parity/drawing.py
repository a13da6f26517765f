"""The figure of a training parity: the loss of the three roles, and how far the device is from float64 at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from goemo_utils.plots import BLUE, BROWN, GREY, titled  # also sets the project's figure style

import matplotlib  # noqa: E402  after the style
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402


def draw(result: Mapping[str, Any], simulated: bool) -> Figure:
    """Left the loss of gold, reference and device; right, on a log axis, their error against float64 with the limit and the first step beyond it.

    ``result`` is what ``compare`` returns. An error of nothing stands at the lower edge; with a named cause the device's distance from the CPU under that
    cause is drawn too.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    rows = result["curves"]
    steps, limit = [row["step"] for row in rows], result["limits"]["curve"]
    for role, name, style in (("gold", "CPU, float64", {"color": GREY, "linewidth": 4, "alpha": 0.5}), ("reference", f"CPU, {result['dtype']}", {"color": BROWN}),
                              ("candidate", "device", {"color": BLUE, "linestyle": (0, (4, 3))})):
        left.plot(steps, [_number(row["loss"][role]) for row in rows], label=name, **style)
    left.set(xlabel="optimizer step", ylabel="loss of the batch (nats)")
    left.legend(edgecolor="none", framealpha=0.9)
    left.set_title("The same batches, three times", loc="left", fontsize="medium")
    curves = {"CPU against float64": ("reference", {"color": BROWN, "marker": "o", "markersize": 3}), "device against float64": ("candidate", {"color": BLUE, "marker": "o", "markersize": 3}),
              f"device against the CPU with {' + '.join(result['causes'])}": ("from_cause", {"color": BLUE, "linestyle": ":"})}
    drawn = {name: ([_number(row["loss_error"][key]) for row in rows], style) for name, (key, style) in curves.items() if rows and key in rows[0].get("loss_error", {})}
    bound = [limit * _number(row["loss_error"]["noise"]) for row in rows if "loss_error" in row]
    known = [v for values in [*(d[0] for d in drawn.values()), bound] for v in values if math.isfinite(v) and v > 0]
    floor = min(known, default=1e-9) / 3
    for name, (values, style) in drawn.items():
        right.plot(steps, [max(v, floor) if math.isfinite(v) else math.nan for v in values], label=name, **style)
    if bound:
        right.plot(steps, bound, color=GREY, linestyle="--", linewidth=1, label=f"limit: {limit:g} x the noise of right arithmetic")
    at = result["first_diverging_step"]
    if at:
        right.axvline(at, color=BROWN, linewidth=1)
        right.text(at, 1.0, f" step {at}", color=BROWN, va="top", transform=right.get_xaxis_transform())
    right.set(xlabel="optimizer step", ylabel="error of the texts' losses\n(root mean square, nats, log)", yscale="log", ylim=(floor, max(known, default=1e-8) * 3))
    if drawn:
        right.legend(fontsize=8, edgecolor="none", framealpha=0.9)
    right.set_title(_right(result), loc="left", fontsize="medium")
    for axes in (left, right):
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    figure.suptitle(titled(_title(result), simulated), x=0.01, ha="left", fontsize=matplotlib.rcParams["axes.titlesize"])
    figure.tight_layout()
    plt.close(figure)
    return figure


def _number(value: Any) -> float:
    return float(value)  # NaN and infinities are words in a record


def _right(result: Mapping[str, Any]) -> str:
    at = result["first_diverging_step"]
    if not any("loss_error" in row for row in result["curves"]):
        return "Nothing was compared"
    return f"Loss or gradient norms leave right arithmetic at step {at}" if at else "The device stays within right arithmetic"


def _title(result: Mapping[str, Any]) -> str:
    steps = f"{result['steps']} step{'s' * (result['steps'] > 1)}"
    if result["verdict"] == "fail":
        return f"Training parity failed over {steps}"
    if result["verdict"] == "pass-with-cause":
        return f"Over {steps} the device trains as the CPU with {' + '.join(result['causes'])}"
    return f"Over {steps} the device trains as the CPU does" + (", to the bit" if result["equal_to_reference"] else "")
