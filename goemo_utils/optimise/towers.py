"""Two towers: a text and a label's description become vectors of one space, and their cosine is the
answer (Sentence-BERT, Reimers and Gurevych 2019, arXiv 1908.10084).

The vectors of descriptions are computed once and kept, so a text costs one pass, whatever the
number of labels; a new label needs a sentence and a bias, no training of the encoder. The towers
are the teacher's frozen encoder and two small linear maps. An example of matching short texts, not
a faster way: the encoder stays as it is.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.optimise.distil import goal, seed_of
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, answer
from goemo_utils.optimise.settings import RungSettings
from goemo_utils.optimise.unpadded import open_unpadded

SOURCE = "Sentence-BERT (arXiv 1908.10084); descriptions: GoEmotions (arXiv 2005.00547), appendix A"
WEIGHTS, DESCRIPTIONS = "towers.safetensors", "descriptions.json"
# Demszky et al. 2020, arXiv 2005.00547, appendix A: what annotators were told.
GOEMOTIONS = {
    "admiration": "Finding something impressive or worthy of respect.",
    "amusement": "Finding something funny or being entertained.",
    "anger": "A strong feeling of displeasure or antagonism.",
    "annoyance": "Mild anger, irritation.",
    "approval": "Having or expressing a favorable opinion.",
    "caring": "Displaying kindness and concern for others.",
    "confusion": "Lack of understanding, uncertainty.",
    "curiosity": "A strong desire to know or learn something.",
    "desire": "A strong feeling of wanting something or wishing for something to happen.",
    "disappointment": (
        "Sadness or displeasure caused by the nonfulfillment of one's hopes or expectations."
    ),
    "disapproval": "Having or expressing an unfavorable opinion.",
    "disgust": "Revulsion or strong disapproval aroused by something unpleasant or offensive.",
    "embarrassment": "Self-consciousness, shame, or awkwardness.",
    "excitement": "Feeling of great enthusiasm and eagerness.",
    "fear": "Being afraid or worried.",
    "gratitude": "A feeling of thankfulness and appreciation.",
    "grief": "Intense sorrow, especially caused by someone's death.",
    "joy": "A feeling of pleasure and happiness.",
    "love": "A strong positive emotion of regard and affection.",
    "nervousness": "Apprehension, worry, anxiety.",
    "optimism": "Hopefulness and confidence about the future or the success of something.",
    "pride": (
        "Pleasure or satisfaction due to one's own achievements or the achievements of those with"
        " whom one is closely associated."
    ),
    "realization": "Becoming aware of something.",
    "relief": "Reassurance and relaxation following release from anxiety or distress.",
    "remorse": "Regret or guilty feeling.",
    "sadness": "Emotional pain, sorrow.",
    "surprise": "Feeling astonished, startled by something unexpected.",
}


class Settings(RungSettings):
    """The common space's ``width``, and how its maps are trained."""

    width: int = Field(64, ge=1)
    epochs: int = Field(10, ge=1)
    seed: int | None = Field(None, ge=0)
    rate: float = Field(2e-3, gt=0.0)
    share: float = Field(0.7, ge=0.0, le=1.0)


class Towers(nn.Module):
    """Maps of texts' and descriptions' states into one space; a logit is scale × cosine + bias."""

    def __init__(self, states: int, width: int, n_labels: int) -> None:
        super().__init__()
        self.text, self.label = nn.Linear(states, width), nn.Linear(states, width)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.full((n_labels,), -3.0))

    def forward(self, texts: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Logits [n_texts, n_labels] of states [n_texts, states] and vectors [n_labels, width]."""
        return self.scale * normalize(self.text(texts)) @ vectors.T + self.bias

    def vectors(self, descriptions: torch.Tensor) -> torch.Tensor:
        """What is kept of the descriptions' states: [n_labels, width], of length 1."""
        return normalize(self.label(descriptions))


class Head(nn.Module):
    """The towers as a classification head, with the descriptions' vectors computed ahead."""

    def __init__(self, towers: Towers, vectors: torch.Tensor) -> None:
        super().__init__()
        self.towers, self.vectors = towers, vectors

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of the first token's states [n_texts, 1, states]."""
        logits: torch.Tensor = self.towers(hidden[:, 0], self.vectors)
        return logits


def fitted(
    states: torch.Tensor,
    descriptions: torch.Tensor,
    targets: torch.Tensor,
    asked: Settings,
    seed: int,
) -> Towers:
    """The two maps, trained on frozen states [texts, states]."""
    torch.manual_seed(seed)
    towers = Towers(states.shape[1], asked.width, len(descriptions))
    optimizer = torch.optim.AdamW(towers.parameters(), lr=asked.rate, weight_decay=0.01, fused=True)
    for _ in range(asked.epochs):
        for chosen in torch.randperm(len(states)).split(256):
            logits = towers(states[chosen], towers.vectors(descriptions))
            loss = binary_cross_entropy_with_logits(logits, targets[chosen], reduction="none")
            optimizer.zero_grad()
            loss.sum(1).mean().backward()
            optimizer.step()
    return towers.eval()


def open_towers(folder: Path, **settings: Any) -> GoEmotionsClassifier:
    """A classifier of the folder whose head is the towers. Raises ModelError where the model cannot
    be computed without padding.
    """
    classifier, whole = open_unpadded(folder, "towers need", **settings)
    weights = load_file(folder / WEIGHTS)
    vectors = weights.pop("vectors")
    width, states = weights["text.weight"].shape
    towers = Towers(states, width, len(vectors))
    towers.load_state_dict(weights)
    head = Head(towers.eval(), vectors)
    whole.head = head  # type: ignore[assignment]  # in the place of a Sequential
    return classifier


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The teacher's folder with the towers and the descriptions' vectors in it."""
    descriptions = [GOEMOTIONS.get(label, label) for label in lab.train.labels]
    base, states = lab.loaded, lab.answers.states
    if asked.of != "teacher":
        base = lab.model_of(asked.of)
        states = torch.from_numpy(answer(base, lab.rows_of(base))[1]).float()
    rows = base.inputs.encode(descriptions, lab.max_length)
    described = torch.from_numpy(answer(base, rows)[1]).float()
    targets = goal(lab, asked.share)
    towers = fitted(states, described, targets, asked, seed_of(lab, asked))

    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(lab.folder_of(asked.of), model)
    with torch.inference_mode():
        kept = {**towers.state_dict(), "vectors": towers.vectors(described)}
    save_file({name: value.contiguous() for name, value in kept.items()}, model / WEIGHTS)
    told = json.dumps(dict(zip(lab.train.labels, descriptions, strict=True)), ensure_ascii=False)
    (model / DESCRIPTIONS).write_text(told, encoding="utf-8")
    training = {"epochs": asked.epochs, "rate": asked.rate, "texts": len(states)}
    note = f"The towers are read by the lab alone; the encoder is the {asked.of}'s."
    return Made(model, {"kind": "towers"}, training, note)


def title(asked: Settings) -> str:
    """The rung in words."""
    return f"two towers, {asked.width} numbers a text and a label"
