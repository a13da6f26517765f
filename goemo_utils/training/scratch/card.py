"""The model card, rendered from scores.json alone."""

from __future__ import annotations

import re
import textwrap
from typing import Any

# Prose of the guides is wrapped here too (tests/test_project.py).
WIDTH = 120
ROWS = (
    ("model", "**this model, as shipped**"),
    ("unfolded", "this model before its thresholds went into the bias"),
    ("pooled", "the first stage alone (attention pooling, no word order)"),
    ("teacher", "linear teacher (words + characters)"),
    ("baseline", "linear TF-IDF baseline (words)"),
)


def render(facts: dict[str, Any]) -> str:
    """The card (Markdown with the hub's metadata in front) of the model whose scores.json is
    ``facts``.
    """
    recipe, data, scores = facts["recipe"], facts["data"], facts["scores"]
    page = f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-classification
tags: [emotion, multi-label, rehearsal]
---
# Embedded GoEmotions model

A toy: {facts["n_parameters"]:,} parameters, trained from scratch on a CPU. It exists so that \
porting a text classifier can be rehearsed, tested and taught without a download. **For rehearsal \
and CI only**; use a full-size model for anything about people.

| | |
|---|---|
| architecture | `RobertaForSequenceClassification`, {recipe["n_layers"]} layers, width \
{recipe["width"]}, {recipe["n_heads"]} heads, inner width {recipe["inner_width"]}, exact GELU, \
float32 |
| labels | {len(facts["labels"])}: 27 emotions and neutral; multi-label (sigmoid), threshold 0.3 |
| tokenizer | byte-level BPE, at most {recipe["vocab_size"]} pieces, learned on the same texts; a \
space is added in front of a text |
| longest input | {recipe["max_length"]} tokens |
| licence | Apache-2.0, as the data |

## Data

GoEmotions, "simplified" (Demszky et al., ACL 2020, arXiv 2005.00547; Apache-2.0): English Reddit \
comments with names masked as `[NAME]` and `[RELIGION]`. Weights learned from {data["fit"]:,} \
texts of the train split; thresholds from the other {data["held_out"]:,}; the {data["dev"]:,} \
texts of the dev split were only scored ({data["dev_texts_also_in_train"]} of them occur letter \
for letter in train). The test split was not touched.

## Scores on dev

F1 with 95 % bootstrap intervals (1,000 draws of the texts). *Tuned*: one threshold a label, the \
median best cut over bootstrap draws of the held-out texts.

| | macro F1 at 0.3 | micro F1 at 0.3 | macro F1, tuned | micro F1, tuned | macro ROC-AUC | \
calibration error |
|---|---|---|---|---|---|---|
{chr(10).join(_row(words, scores[name]) for name, words in ROWS if name in scores)}

{_verdict(facts)}

| label | texts | precision | recall | F1 at 0.3 | ROC-AUC |
|---|---|---|---|---|---|
{chr(10).join(_label_row(row) for row in facts["labels"])}

## Recipe

1. *Linear teacher*: logistic regressions on TF-IDF of words and of characters, \
{recipe["teacher_folds"]}-fold cross-fitted; the target of a text is {recipe["teacher_share"]:g} × \
the teacher's probability + {1 - recipe["teacher_share"]:g} × its label.
2. *Pooling*: {_stage(recipe["pooling"])} of a model that is only word vectors, one attention \
query a head, and the head.
3. *Fine-tuning*: {_stage(recipe["finetuning"])} of the whole encoder, started as the same function.
4. *Thresholds*: {_thresholds(recipe)}.

AdamW, cosine schedule, batches of {recipe["batch_size"]} texts of similar length, averaged \
weights, seed {recipe["seed"]}. Wall clock with `threads: {recipe["threads"]}`: \
{", ".join(f"{stage} {_took(seconds)}" for stage, seconds in facts["seconds"].items())}. Versions: \
{", ".join(f"{name} {version}" for name, version in facts["versions"].items())}.

```
goemo finetune -f params/embedded.yaml -p train train.tsv -p dev dev.tsv
```

writes this folder (`outputs/finetune/model`); `scores.json` in it holds every figure above, and \
this page is rendered from it.

## Limits

- It knows short English Reddit comments, with their irony, slang and offensive language, and \
nothing else.
- Rare emotions rest on a few dozen texts or fewer (the table's *texts* column), so their scores \
are uncertain.
- Annotators of GoEmotions disagree often, and their judgements carry their own biases; so do this \
model's.
- Recipes were compared on the dev split, so these scores lean slightly high; the test split was \
not touched.
- It must not be used to judge people, nor to measure any group's feelings.
"""

    return _wrapped(page)


def _thresholds(recipe: dict[str, Any]) -> str:
    if recipe["fold_threshold"] is None:
        return "left beside the model"
    return (
        "each label's tuned threshold is folded into the head's bias, so that 0.3 serves every"
        " label; the outputs are scores, not calibrated probabilities"
    )


def _wrapped(page: str) -> str:
    """The page with its paragraphs and list items laid over lines of at most 120 characters."""
    return "\n".join(_laid(line) for line in page.split("\n"))


def _laid(line: str) -> str:
    """A line of prose over several; a table's row stays one."""
    if len(line) <= WIDTH or line.startswith("|"):
        return line

    hanging = re.match(r"(\d+\. |- )?", line)
    indent = " " * len(hanging[0]) if hanging else ""
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _took(seconds: float | None) -> str:
    return (
        "not timed (its answers were kept from an earlier run)"
        if seconds is None
        else f"{seconds:,} s"
    )


def _row(words: str, judged: dict[str, Any]) -> str:
    cells = [
        f"{judged[at][metric]:.3f}"
        f" ({judged[at]['ci95'][metric][0]:.3f}–{judged[at]['ci95'][metric][1]:.3f})"
        for at in ("at_0.3", "tuned")
        for metric in ("macro_f1", "micro_f1")
    ]
    area = "—" if judged["macro_roc_auc"] is None else f"{judged['macro_roc_auc']:.3f}"
    return f"| {words} | {' | '.join(cells)} | {area} | {judged['calibration_error']:.3f} |"


def _label_row(row: dict[str, Any]) -> str:
    area = "—" if row["roc_auc"] is None else f"{row['roc_auc']:.3f}"
    return (
        f"| {row['label']} | {row['support']} | {row['precision']:.3f} | {row['recall']:.3f} |"
        f" {row['f1']:.3f} | {area} |"
    )


def _verdict(facts: dict[str, Any]) -> str:
    gained = facts["gain_over_baseline"]
    if gained is None:
        return "No baseline was scored beside it."

    parts = [
        f"{name} F1 by {gained[key]['value']:+.3f} ({gained[key]['ci95'][0]:+.3f} to"
        f" {gained[key]['ci95'][1]:+.3f})"
        for key, name in (("macro_f1", "macro"), ("micro_f1", "micro"))
    ]

    return (
        "With tuned thresholds on both sides it differs from the linear baseline in"
        f" {' and in '.join(parts)}; 95 % intervals of the difference, over draws of the texts"
        " that both are scored on. At 0.3 the second row, not the first, is the like-for-like"
        " comparison: the first has its tuned thresholds inside."
    )


def _stage(stage: dict[str, Any]) -> str:
    return (
        f"{stage['epochs']} passes (peak rate {stage['rate']:g}, {stage['word_dropout']:.0%} of"
        " words hidden)"
    )
