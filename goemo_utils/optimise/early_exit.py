"""Early exit in batches: a classifier behind every layer, and texts that are sure leave.

The batch is the classifier's unpadded row of tokens (classifier/unpadded.py), so the tokens of a
text that leaves are simply not in the next layer's products, and the batch shrinks: nobody waits
for the slowest text of a batch, as a padded batch would (DeeBERT, Xin et al. 2020, arXiv
2004.12993, measures one text at a time).

DeeBERT leaves when the entropy of the softmax is low. The answer here is a set of labels, so a text
leaves when no label is near its threshold: the smallest abs(logit - logit(threshold)) over labels
is at least a margin. Exits are trained with the encoder frozen (DeeBERT's second stage), thresholds
of each exit and the margin are chosen on held-out texts, never on dev.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers.modeling_outputs import SequenceClassifierOutput

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.classifier.layers import Run
from goemo_utils.classifier.unpadded import Unpadded, with_zeros
from goemo_utils.optimise.distil import goal, seed_of
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made
from goemo_utils.optimise.settings import RungSettings
from goemo_utils.optimise.unpadded import open_unpadded
from goemo_utils.training.metrics import scores
from goemo_utils.training.thresholds import tune

SOURCE = "DeeBERT (arXiv 2004.12993); leaving the unpadded batch, and the margin: this project"
WEIGHTS, SETTINGS = "exits.safetensors", "exits.json"
# Margins that are tried, in logits: from all leave at once to nobody does.
MARGINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0)


class Settings(RungSettings):
    """``texts`` of train, ``epochs`` and ``rate`` of the exits; ``loss``: how much macro-F1 the
    held-out texts may lose against nobody leaving; ``share`` of the teacher's answer in the target.
    """

    texts: int = Field(10_000, ge=1)
    epochs: int = Field(20, ge=1)
    rate: float = Field(2e-3, gt=0.0)
    loss: float = Field(0.0, ge=0.0, lt=1.0)
    share: float = Field(0.7, ge=0.0, le=1.0)
    seed: int | None = Field(None, ge=0)


class Exit(nn.Module):
    """A classifier of the states behind one layer: the first token's, and the mean of all, side by
    side ``[texts, 2 * width]``, to logits ``[texts, labels]``.
    """

    def __init__(self, width: int, n_labels: int) -> None:
        super().__init__()
        self.dense, self.out = nn.Linear(2 * width, width), nn.Linear(width, n_labels)
        self.dropout = nn.Dropout(0.1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Logits."""
        inner = torch.tanh(self.dense(self.dropout(states)))
        logits: torch.Tensor = self.out(self.dropout(inner))
        return logits


def runs_of(lengths: Sequence[int]) -> list[Run]:
    """Neighbours of one length."""
    return [Run(length, len(list(same))) for length, same in groupby(lengths)]


def summary(hidden: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
    """First and mean state of every text, side by side: [tokens, width] -> [texts, 2 * width]."""
    parts, start = [], 0
    for run in runs:
        # [tokens, width] -> [texts, length, width]
        states = hidden[start : start + run.tokens].view(run.texts, run.length, -1)
        parts.append(torch.cat([states[:, 0], states.mean(1)], 1))
        start += run.tokens
    return torch.cat(parts)


class Leaving(Unpadded):
    """An unpadded classifier that texts leave behind the layer that is sure of them.

    ``left`` counts the texts that left behind each layer since it was made.
    """

    def __init__(self, whole: Unpadded, exits: Sequence[Exit], sure: Sure) -> None:
        nn.Module.__init__(self)
        self.embeddings, self.project = whole.embeddings, whole.project
        self.layers, self.head = whole.layers, whole.head
        self.norm, self.mean, self.few = whole.norm, whole.mean, whole.few
        self.exits = nn.ModuleList(exits)
        self.sure = sure
        self.left = [0] * len(self.layers)
        self.eval()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits ``[n_texts, n_labels]`` of texts padded on the right."""
        hidden, lengths = self.embedded(input_ids, attention_mask, token_type_ids)

        # inside: the numbers of the texts that have not left
        inside = torch.arange(len(lengths))
        logits: Any = torch.zeros(len(lengths), self.sure.thresholds.shape[1])
        for number, leave in enumerate(self.exits):
            runs = runs_of(lengths[inside].tolist())
            hidden = self.layers[number](hidden, hidden, runs)
            given, done = self.sure.of(number, leave(summary(hidden, runs)))
            logits[inside[done]] = given[done]
            self.left[number] += int(done.sum())

            # The tokens of those that stay close ranks.
            tokens = (~done).repeat_interleave(lengths[inside])
            hidden = with_zeros(hidden[: len(tokens)][tokens])
            inside = inside[~done]
            if not len(inside):
                return SequenceClassifierOutput(logits=logits)

        logits[inside] = self.answered(hidden, runs_of(lengths[inside].tolist()))
        self.left[-1] += len(inside)
        return SequenceClassifierOutput(logits=logits)


class Sure:
    """The rule: ``thresholds`` are logits ``[exits + 1, labels]``, the last row the whole
    model's.
    """

    def __init__(self, thresholds: torch.Tensor, margin: float) -> None:
        self.thresholds, self.margin = thresholds, margin

    def of(self, number: int, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of an exit, shifted so that the whole model's thresholds decide as its own would,
        and which texts leave.
        """
        distance = logits - self.thresholds[number]
        return distance + self.thresholds[-1], distance.abs().amin(1) >= self.margin


@torch.inference_mode()
def states(whole: Unpadded, inputs: Any, rows: list[list[int]]) -> torch.Tensor:
    """The summaries behind every layer but the last: [layers - 1, texts, 2 * width], float16."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    parts: list[torch.Tensor] = []
    for start in range(0, len(order), 256):
        batch = inputs.tensors([rows[i] for i in order[start : start + 256]])
        mask = batch["attention_mask"].bool()
        hidden = with_zeros(whole.project(whole.embeddings(batch["input_ids"]))[mask])
        runs = runs_of(mask.sum(1).tolist())
        behind = []
        for layer in list(whole.layers)[:-1]:
            hidden = layer(hidden, hidden, runs)
            behind.append(summary(hidden, runs).half())
        parts.append(torch.stack(behind))
    return torch.cat(parts, 1)[:, np.argsort(order)]


def fitted(given: torch.Tensor, targets: torch.Tensor, asked: Settings, seed: int) -> Exit:
    """One exit, trained on frozen states [texts, 2 * width]."""
    torch.manual_seed(seed)
    leave = Exit(given.shape[1] // 2, targets.shape[1])
    optimizer = torch.optim.AdamW(leave.parameters(), lr=asked.rate, weight_decay=0.01, fused=True)
    for _ in range(asked.epochs):
        for chosen in torch.randperm(len(given)).split(256):
            logits = leave(given[chosen].float())
            loss = binary_cross_entropy_with_logits(logits, targets[chosen], reduction="none")
            optimizer.zero_grad()
            loss.sum(1).mean().backward()
            optimizer.step()
    return leave.eval()


def choose_margin(
    held: np.ndarray, logits: Sequence[torch.Tensor], asked: Settings
) -> tuple[Sure, list[dict[str, Any]]]:
    """The smallest margin at which held-out macro-F1 loses no more than asked, and what each margin
    gave. ``held`` are targets, ``logits`` [texts, labels] of each exit and of the whole model.
    """
    cuts = [torch.from_numpy(tune(held, one.sigmoid().numpy())).float() for one in logits]
    sure = Sure(torch.stack(cuts).logit(), 0.0)
    final = torch.sigmoid(sure.thresholds[-1]).numpy()
    whole = scores(held, logits[-1].sigmoid().numpy(), final)["macro_f1"]
    tried = []
    for margin in MARGINS:
        sure.margin = margin
        given, depth = answered(sure, logits)
        found = scores(held, given.sigmoid().numpy(), final)["macro_f1"]
        tried.append({"margin": margin, "macro_f1": found, "mean_layers": depth})
    enough = [one["margin"] for one in tried if one["macro_f1"] >= whole - asked.loss]
    sure.margin = min(enough, default=float("inf"))
    return sure, tried


def answered(sure: Sure, logits: Sequence[torch.Tensor]) -> tuple[torch.Tensor, float]:
    """What texts get under the rule, and the mean number of layers that they run through."""
    out = logits[-1].clone()
    inside = torch.ones(len(out), dtype=torch.bool)
    layers = 0.0
    for number, own in enumerate(logits[:-1]):
        layers += float(inside.float().mean())
        given, done = sure.of(number, own)
        now = inside & done
        out[now] = given[now]
        inside &= ~done
    return out, layers + float(inside.float().mean())


def open_exits(folder: Path, **settings: Any) -> GoEmotionsClassifier:
    """A classifier of the folder that texts leave early. Raises ModelError where the model cannot
    be computed without padding.
    """
    classifier, whole = open_unpadded(folder, "early exit needs", **settings)
    told = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    weights = load_file(folder / WEIGHTS)
    exits = []
    for number in range(len(whole.layers) - 1):
        own = {
            name.partition(".")[2]: value
            for name, value in weights.items()
            if name.startswith(f"{number}.")
        }
        leave = Exit(own["dense.weight"].shape[0], own["out.weight"].shape[0])
        leave.load_state_dict(own)
        exits.append(leave)
    sure = Sure(torch.tensor(told["thresholds"]), told["margin"])
    classifier._model = Leaving(whole, exits, sure)
    return classifier


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The model's folder with its exits beside it."""
    base, model = lab.model_of(asked.of), folder / "model"
    whole = Unpadded(base.model)
    rows = lab.rows_of(base)[: asked.texts]
    given = states(whole, base.inputs, rows)
    targets = goal(lab, asked.share)[: len(rows)]
    exits = [fitted(one, targets, asked, seed_of(lab, asked)) for one in given]
    say(f"{len(exits)} exits trained on {len(rows):,} texts")

    held = lab.splits.held
    held_rows = base.inputs.encode(held.texts, lab.max_length)
    held_states = states(whole, base.inputs, held_rows)
    with torch.inference_mode():
        logits = [leave(one.float()) for leave, one in zip(exits, held_states, strict=True)]
    probabilities = GoEmotionsClassifier(lab.folder_of(asked.of)).predict(held.texts)[1]
    logits.append(torch.from_numpy(probabilities).logit())
    sure, tried = choose_margin(held.targets, logits, asked)

    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(lab.folder_of(asked.of), model)
    weights = {
        f"{number}.{name}": value
        for number, leave in enumerate(exits)
        for name, value in leave.state_dict().items()
    }
    save_file(weights, model / WEIGHTS)
    margin = min(sure.margin, float(np.finfo(np.float32).max))
    told = {"thresholds": sure.thresholds.tolist(), "margin": margin, "tried": tried}
    (model / SETTINGS).write_text(json.dumps(told), encoding="utf-8")
    note = f"Exits are read by goemo's early exit alone; margin {margin:.3g} by held-out texts."
    training = {"epochs": asked.epochs, "rate": asked.rate, "texts": len(rows), "tried": tried}
    return Made(model, {"kind": "early_exit"}, training, note)


def title(asked: Settings) -> str:
    """The rung in words."""
    return "early exit in batches"
