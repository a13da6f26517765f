"""The lab's figures. Each returns the figure: its title states what the data show, its axes carry
units, a simulated run says so.

``ALT`` has the text for those who cannot see a figure, by the name of its function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# importing it sets the project's figure style
from goemo_utils.notebook.plots import BLUE, BROWN, GREY, titled

if TYPE_CHECKING:
    from goemo_utils.training.data import Splits

ALT = {
    "labels": (
        "Share of the texts with each label, a pair of bars for train and dev, commonest label"
        " first."
    ),
    "curves": (
        "Training loss and held-out loss against the optimizer step, and below them the held-out"
        " macro-F1 with its best step marked."
    ),
    "per_label": (
        "F1 of each label as bars from zero, sorted, with the number of texts that have the label"
        " beside each bar."
    ),
    "reliability": (
        "Share that came true against the mean predicted probability, a point a bin, with the"
        " diagonal of a calibrated model; below, how many are in each bin."
    ),
    "ablation": (
        "Each training of the ablation as a dot by arm, a line for the mean of each arm, one panel"
        " a score."
    ),
    "search": (
        "Held-out macro-F1 of each trial with the best so far as steps; below, the same scores"
        " against each searched parameter."
    ),
}


def labels(splits: Splits) -> Figure:
    """Share of the texts with each label in train (with what is held out) and in dev, commonest
    first.
    """
    counts = {
        "train": splits.train.targets.sum(0) + splits.held.targets.sum(0),
        "dev": splits.dev.targets.sum(0),
    }
    totals = {"train": len(splits.train) + len(splits.held), "dev": len(splits.dev)}
    names, order = splits.dev.labels, (-counts["train"]).argsort(kind="stable")
    figure, axes = plt.subplots(figsize=(7.5, 1.1 + 0.28 * len(names)))

    for place, (part, color) in enumerate((("train", BLUE), ("dev", GREY))):
        axes.barh(
            [i + (place - 0.5) * 0.36 for i in range(len(names))],
            [100 * counts[part][i] / totals[part] for i in order],
            color=color,
            height=0.34,
            label=f"{part}, {totals[part]:,} texts",
        )

    axes.set_yticks(range(len(names)), [names[i] for i in order])
    axes.invert_yaxis()
    axes.set(xlabel="texts with the label (%)")
    axes.legend(frameon=False, loc="lower right")
    most, least = names[order[0]], names[order[-1]]

    return _done(
        figure,
        axes,
        f"{most} is {counts['train'][order[0]] / max(1, counts['train'][order[-1]]):.0f} times as"
        f" common as {least}",
        False,
    )


def curves(
    history: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], simulated: bool
) -> Figure:
    """Training loss and held-out loss against the step; below, held-out macro-F1 with the best step
    marked.

    ``history`` are rows with ``step`` and ``loss``, ``evaluations`` rows with ``step``,
    ``held_loss`` and ``held_macro_f1``; rows without are passed over, so the progress lines heard
    so far can be given as both while a training runs. Of equal scores the earliest is the best.
    """
    losses = [r for r in history if _known(r.get("loss"))]
    judged = [r for r in evaluations if _known(r.get("held_loss"))]
    scored = [r for r in evaluations if _known(r.get("held_macro_f1"))]
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.5, 5), sharex=True, height_ratios=(3, 2))
    above.plot(
        [r["step"] for r in losses],
        [r["loss"] for r in losses],
        color=GREY,
        linewidth=1,
        label="training, with what R-Drop and smoothing add",
    )

    above.plot(
        [r["step"] for r in judged],
        [r["held_loss"] for r in judged],
        color=BLUE,
        marker="o",
        markersize=4,
        label="held-out texts",
    )

    below.plot(
        [r["step"] for r in scored],
        [r["held_macro_f1"] for r in scored],
        color=BLUE,
        marker="o",
        markersize=4,
    )

    above.set(ylabel="loss (nats)")
    above.legend(loc="upper right", edgecolor="none", framealpha=0.9)
    below.set(ylabel="held-out macro-F1", xlabel="optimizer step")
    best = max(scored, key=lambda r: r["held_macro_f1"], default=None)
    last = max((r["step"] for r in [*losses, *scored]), default=0)

    if best:
        for axes in (above, below):
            axes.axvline(best["step"], color=BROWN, linestyle="--", linewidth=1)
        below.plot(
            [best["step"]],
            [best["held_macro_f1"]],
            color=BROWN,
            marker="o",
            markersize=8,
            linestyle="none",
            label="best",
        )

        title = (
            f"Best held-out macro-F1 {best['held_macro_f1']:.3f} at step {best['step']:,} of"
            f" {last:,}"
        )
    else:
        title = (
            f"Training loss {losses[-1]['loss']:.3f} after {last:,} steps, not evaluated yet"
            if losses
            else "Nothing is trained yet"
        )

    return _done(figure, above, title, simulated)


def per_label(rows: Sequence[Mapping[str, Any]], simulated: bool = False) -> Figure:
    """F1 of each label with its support, best first; ``rows`` as ``evaluation.per_label`` gives
    them.
    """
    kept = sorted(rows, key=lambda r: (-r["f1"], r["label"]))
    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.24 * len(kept)))
    axes.barh(range(len(kept)), [r["f1"] for r in kept], color=BLUE, height=0.6)

    for place, r in enumerate(kept):
        axes.text(r["f1"], place, f" {r['f1']:.2f}  ({r['support']:,})", va="center", fontsize=8)

    axes.set_yticks(range(len(kept)), [r["label"] for r in kept])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.12), xlabel="F1 (texts with the label, in brackets)")
    title = (
        f"F1 from {kept[0]['f1']:.2f} ({kept[0]['label']}) down to {kept[-1]['f1']:.2f}"
        f" ({kept[-1]['label']})"
        if kept
        else "No label to score"
    )

    return _done(figure, axes, title, simulated)


def reliability(bins: Sequence[Mapping[str, Any]], simulated: bool = False) -> Figure:
    """Share that came true against the mean predicted probability of each bin, and below how many
    probabilities are in it (log axis).

    ``bins`` as ``evaluation.calibration`` gives them; empty ones are passed over. The title has the
    expected calibration error, Σ n |share - probability| / Σ n.
    """
    kept = [b for b in bins if b["n"]]
    means, shares, sizes = (
        [b[name] for b in kept] for name in ("mean_probability", "share_true", "n")
    )
    figure, (above, below) = plt.subplots(2, 1, figsize=(6, 5.5), sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=BROWN, linewidth=1, label="calibrated")
    above.plot(means, shares, color=BLUE, marker="o", label="this model")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that came true")
    above.legend(frameon=False, loc="upper left")

    below.vlines(means, 0.5, sizes, color=GREY, linewidth=4)
    below.set(
        yscale="log",
        ylim=(0.5, None),
        ylabel="n (log)",
        xlabel="mean predicted probability of the bin",
    )

    total = sum(sizes)
    error = sum(
        n * abs(share - mean) for n, share, mean in zip(sizes, shares, means, strict=True)
    ) / max(1, total)

    return _done(
        figure,
        above,
        (
            f"Calibration error {error:.3f} over {total:,} probabilities"
            if total
            else "No probability to judge"
        ),
        simulated,
    )


def ablation(result: Mapping[str, Any], baseline: Mapping[str, float] | None = None) -> Figure:
    """A dot per training and the mean of each arm, one panel a score of ``ablation.run``'s result;
    trainings of one seed are joined.

    ``baseline`` has a score by the same names (``macro_f1_tuned`` …) and is drawn as a dashed line
    where it has one.
    """
    from goemo_utils.training.ablation import METRICS

    names, arms = METRICS[result["task"]], result["arms"]
    figure, panels = plt.subplots(
        1, len(names), figsize=(max(9.5, 2.7 * len(names)), 3.8), squeeze=False
    )

    for axes, (metric, name) in zip(panels[0], names.items(), strict=True):
        for i in range(len(result["seeds"])):
            values = [a["metrics"][metric]["values"][i] for a in arms]
            axes.plot(
                range(len(arms)),
                values,
                color=GREY,
                linewidth=0.6,
                alpha=0.6,
                marker="o",
                markersize=4,
            )

        left, right = ([p + side for p in range(len(arms))] for side in (-0.25, 0.25))
        axes.hlines(
            [a["metrics"][metric]["mean"] for a in arms], left, right, color=BLUE, linewidth=2
        )

        if baseline and baseline.get(metric) is not None:
            axes.axhline(baseline[metric], color=BROWN, linestyle="--", linewidth=1)
            axes.text(
                len(arms) - 0.6,
                baseline[metric],
                "linear baseline",
                color=BROWN,
                ha="right",
                va="bottom",
                fontsize=8,
            )

        axes.set_xticks(
            range(len(arms)), [a["arm"] for a in arms], rotation=25, ha="right", fontsize=8
        )
        axes.set(ylabel=f"dev {name}", xlim=(-0.5, len(arms) - 0.5))

    first = next(iter(names))
    best = max(arms, key=lambda a: a["metrics"][first]["mean"])
    count = f"{len(result['seeds'])} seed{'s' * (len(result['seeds']) > 1)} an arm"

    if best["differences"] is None:
        title = f"No arm has a higher mean dev {names[first]} than plain training ({count})"
    else:
        gained = best["differences"][first]
        sure = gained["ci95"] is not None and gained["ci95"][0] > 0
        title = (
            f"Highest mean dev {names[first]}: {best['arm']}, {gained['mean']:+.3f} against plain, "
            + (
                f"95 % interval above 0 ({count})"
                if sure
                else f"which {count} cannot tell from none"
            )
        )

    figure.suptitle(
        titled(title, result["simulated"]),
        x=0.01,
        ha="left",
        fontsize=plt.rcParams["axes.titlesize"],
    )
    figure.tight_layout()
    plt.close(figure)

    return figure


def search(result: Mapping[str, Any]) -> Figure:
    """Score against trial with the best so far, and below one panel a parameter; ``result`` is what
    ``search.run`` returns.
    """
    names = list(result["space"])
    scored = [r for r in result["trials"] if r["held_macro_f1"] is not None]
    failed = [r for r in result["trials"] if r["held_macro_f1"] is None]
    rows = 1 + -(-len(names) // 4)
    figure = plt.figure(figsize=(10, 2.6 * rows))
    grid = figure.add_gridspec(rows, 4)
    above = figure.add_subplot(grid[0, :])
    best = [max(s["held_macro_f1"] for s in scored[: i + 1]) for i in range(len(scored))]
    above.plot(
        [r["trial"] for r in scored],
        [r["held_macro_f1"] for r in scored],
        color=BLUE,
        marker="o",
        linestyle="none",
        label="trial",
    )

    above.step(
        [r["trial"] for r in scored],
        best,
        where="post",
        color=BROWN,
        linewidth=1,
        label="best so far",
    )

    if failed and scored:
        floor = min(s["held_macro_f1"] for s in scored)
        above.plot(
            [r["trial"] for r in failed],
            [floor] * len(failed),
            color=GREY,
            marker="x",
            linestyle="none",
            label="failed (no score)",
        )

    above.set(xlabel="trial", ylabel="held-out macro-F1")
    above.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    figure.legend(frameon=False, loc="lower right")  # the last cell of the grid is free

    for place, name in enumerate(names):
        axes, r = (
            figure.add_subplot(grid[1 + place // 4, place % 4], sharey=above),
            result["space"][name],
        )
        values = [s[name] for s in scored]

        if "values" in r:  # a choice: evenly spaced places with the values as words
            axes.set_xticks(range(len(r["values"])), [f"{v:g}" for v in r["values"]])
            axes.set_xlim(-0.5, len(r["values"]) - 0.5)
            values = [list(r["values"]).index(v) for v in values]

        axes.plot(
            values,
            [s["held_macro_f1"] for s in scored],
            color=BLUE,
            marker="o",
            markersize=4,
            linestyle="none",
            alpha=0.8,
        )

        if r["draw"] == "log":
            axes.set_xscale("log")
        axes.set_xlabel(f"{name}{' (log)' if r['draw'] == 'log' else ''}")
        axes.tick_params(labelleft=place % 4 == 0)

    top = result["best"]
    title = f"{len(result['trials'])} trials" + (
        f", {len(failed)} of them failed" if failed else ""
    )
    title += (
        f": best held-out macro-F1 {top['held_macro_f1']:.3f} at trial {top['trial']}"
        if top
        else ": none has a score"
    )

    return _done(figure, above, title, result["simulated"])


def _known(value: Any) -> bool:
    """A number that can be drawn: not None, NaN, an infinity or a record's word for one."""
    return isinstance(value, (int, float)) and abs(value) < float("inf")


def _done(figure: Figure, axes: Any, title: str, simulated: bool) -> Figure:
    axes.set_title(titled(title, simulated), loc="left")
    figure.tight_layout()
    plt.close(figure)
    return figure
