"""The card of a rung's folder, from its record."""

from __future__ import annotations

from typing import Any


def render(record: dict[str, Any], labels: int) -> str:
    """README.md of the folder."""
    quality = record["quality"]
    against = quality["against_teacher"]["macro_f1"]
    low, high = quality["ci95"]["macro_f1"]
    share_low, share_high = against["share_ci95"]
    note = f"\n{record['note']}\n" if record["note"] else ""
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---
# {record["name"]}

{record["title"]}: a rung of goemo's optimisation lab, made from the classifier
`{record["teacher"]}` ({labels} labels). Source of the method: {record["source"]}.
{note}
| | |
|---|---|
| macro F1 on dev, tuned thresholds | {quality["macro_f1"]:.3f} ({low:.3f}–{high:.3f}) |
| of the teacher's macro F1, paired | {against["share"]:.1%} ({share_low:.1%}–{share_high:.1%}) |
| micro F1 on dev | {quality["micro_f1"]:.3f} |
| dev texts whose labels changed | {quality["flips"]["texts"]:.1%} |
| bytes on disk | {record["bytes"]:,} |
| trained | {_trained(record["training"])} |

Thresholds were tuned on texts held out of train and lie in `thresholds.json`. Speed belongs to the
machine that measured it, so it stands in the study's table and not here.
"""


def _trained(training: dict[str, Any] | None) -> str:
    if not training or "epochs" not in training:
        return "no"
    before = training.get("pooling_epochs")
    first = f"{before} epochs of word vectors and pooling, then " if before else ""
    return f"{first}{training['epochs']} epochs of {training['texts']:,} texts"
