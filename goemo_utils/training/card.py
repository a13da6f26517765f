"""The model card of a fine-tuned model, and its figures in a line: rendered from the training's
record alone.
"""

from __future__ import annotations

from typing import Any

# Where a score is taken: at the common threshold, at the tuned ones, or by the most probable label.
POINTS = {"at_0.3": "at 0.3", "tuned": "tuned thresholds", "argmax": "most probable label"}
METRICS = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "subset_accuracy": "subset accuracy",
    "accuracy": "accuracy",
}
DECIDED = {
    "multi_label": (
        "One threshold a label was tuned on the held-out texts, never on the ones scored here; they"
        " lie in `thresholds.json`."
    ),
    "single_label": "The most probable label is the answer.",
}


def headline(judged: dict[str, Any]) -> str:
    """The scores on dev in a line, with their 95 % intervals."""
    point = next(p for p in ("tuned", "argmax", "at_0.3") if p in judged)
    shown = ("macro_f1", "micro_f1") if point != "argmax" else ("macro_f1", "accuracy")
    return (
        ", ".join(_valued(METRICS[name], judged[point], name) for name in shown)
        + f" ({POINTS[point]})"
    )


def gained(gain: dict[str, Any] | None) -> str:
    """How far above the baseline, in words; empty without one."""
    if not gain:
        return ""
    value, (low, high) = gain["macro_f1"]["value"], gain["macro_f1"]["ci95"]
    return f"; macro F1 {value:+.3f} ({low:+.3f} to {high:+.3f}) against the linear baseline"


def study(name: str, found: dict[str, Any]) -> str:
    """A line about the training parity, the ablation or the search."""
    if name == "parity":
        return (
            f"{'SIMULATED: ' if found['simulated'] else ''}{found['verdict']}: {found['summary']}"
        )

    if name == "ablation":
        metric = next(iter(found["arms"][0]["metrics"]))
        means = ", ".join(
            f"{arm['arm']} {arm['metrics'][metric]['mean']:.3f}" for arm in found["arms"]
        )
        return (
            f"mean dev {metric.replace('_', ' ').replace('macro f1', 'macro F1')}: {means}"
            f" ({len(found['seeds'])} seeds an arm)"
        )

    tried = f"{len(found['trials'])} trials"
    return (
        f"{tried}, best held-out macro F1 {found['best']['held_macro_f1']:.3f} with {found['line']}"
        if found["best"]
        else f"{tried}, none with a score"
    )


def rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """The table of scores: one row a model and point, as dictionaries of column to value with
    interval.
    """
    table = []
    for name, judged in scores.items():
        for point, words in POINTS.items():
            if point in judged:
                cells = {
                    METRICS[
                        metric
                    ]: f"{judged[point][metric]:.3f}{_interval(judged[point], metric)}"
                    for metric in METRICS
                    if metric in judged[point]
                    and not (metric == "micro_f1" and "accuracy" in judged[point])
                }

                area = judged["macro_roc_auc"]
                table.append(
                    {
                        "model": name,
                        "decided by": words,
                        **cells,
                        "ROC-AUC": "–" if area is None else f"{area:.3f}",
                        "calibration error": f"{judged['calibration_error']:.3f}",
                    }
                )

    return table


def render(facts: dict[str, Any]) -> str:
    """The card (Markdown with the hub's metadata in front) of the training whose record is
    ``facts``.
    """
    params, made, data = facts["params"], facts["training"], facts["data"]
    source = (
        params["model"]
        if not str(params["model"]).startswith("/")
        else str(params["model"]).rsplit("/", 1)[-1]
    )

    return f"""---
library_name: transformers
pipeline_tag: text-classification
{_base(params)}tags: [{facts["task"].replace("_", "-")}]
---
# {source}, fine-tuned

On {data["dev"]["texts"]:,} texts that neither training nor thresholds have seen: \
{headline(facts["scores"]["model"])}{gained(facts["gain_over_baseline"])}.
{_simulated(facts)}
| | |
|---|---|
| started from | {source}{f" @ {params['revision']}" if params.get("revision") else ""}; \
classification head {made.get("head", "new")} |
| task | {facts["task"]}, {len(facts["labels"])} labels |
| parameters | {made["n_parameters"]:,} |
| trained on | {made["device"]["name"]}, {made["dtype"]}, {made["seconds"]:.0f} s, {made["steps"]} \
steps{", stopped early" if made.get("stopped_early") else ""} |
| texts | {data["train"]["texts"]:,} to learn from, {data["held"]["texts"]:,} held out for \
stopping and thresholds, {data["dev"]["texts"]:,} scored |
{_notes(data["notes"])}
## Scores

95 % bootstrap intervals over the texts. {DECIDED[facts["task"]]}

{_markdown(rows(facts["scores"]))}

{_markdown([_label(row) for row in facts["labels"]])}

## Recipe

{params["epochs"]:g} epochs, batches of {params["batch_size"]}, AdamW at \
{params["learning_rate"]:g} (warm-up {params["warm_up"]:g}, cosine), weight decay \
{params["weight_decay"]:g},
gradients clipped to {params["max_grad_norm"]:g}, R-Drop {made["alpha"]:g}, label smoothing \
{made["smoothing"]:g}, seed {params["seed"]}.
{_parity(facts)}
Versions: {", ".join(f"{name} {version}" for name, version in facts["versions"].items())}.

`scores.json` holds every figure above; this page is rendered from it.
"""


def _base(params: dict[str, Any]) -> str:
    """The hub's way of naming what a model was made from; a folder of this machine has no name
    there.
    """
    name = params["model"]
    return (
        "" if name == "embedded" or name.startswith(("/", "random:")) else f"base_model: {name}\n"
    )


def _notes(notes: list[str]) -> str:
    return "\n" + "".join(f"- {note}\n" for note in notes) if notes else ""


def _simulated(facts: dict[str, Any]) -> str:
    return (
        "\n**SIMULATED**: trained on the rehearsal device, a simulated NPU on a CPU. No Ascend"
        " device took part.\n"
        if facts["simulated"]
        else ""
    )


def _parity(facts: dict[str, Any]) -> str:
    compared = facts.get("parity")
    return (
        f"Training parity with the CPU: {study('parity', compared).rstrip('.')}."
        if compared
        else "Training parity with the CPU: not checked, because parity_steps is 0."
    )


def _valued(words: str, judged: dict[str, Any], name: str) -> str:
    return f"{words} {judged[name]:.3f}{_interval(judged, name)}"


def _interval(judged: dict[str, Any], name: str) -> str:
    edges = judged.get("ci95", {}).get(name)
    return f" ({edges[0]:.3f}–{edges[1]:.3f})" if edges else ""


def _label(row: dict[str, Any]) -> dict[str, str]:
    return {
        "label": row["label"],
        "texts": str(row["support"]),
        **{k: f"{row[k]:.3f}" for k in ("precision", "recall", "f1")},
        "ROC-AUC": "–" if row["roc_auc"] is None else f"{row['roc_auc']:.3f}",
    }


def _markdown(table: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in table for key in row))
    lines = [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(_cell(row.get(c, '–')) for c in columns)} |" for row in table),
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """A label may hold what would end a cell or a row of the table."""
    return " ".join(str(value).split()).replace("|", "\\|")
