"""Fine-tunings small enough for a test: a tiny model, made-up texts, one thread."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForPreTraining,
    RobertaForSequenceClassification,
)

from goemo_utils.training import fit
from goemo_utils.training.data import Split
from goemo_utils.training.params import TrainingParams
from tests.forward.tiny_model import _tokenizer, save_roberta

CUES = {"joy": "happy", "anger": "awful", "neutral": "strange"}
LABELS = tuple(CUES)
FILLERS = ("I", "am", "so", "this", "is", "and", "the", "for", "what", "idea")


def split(n_texts: int, seed: int, task: str = "multi_label") -> Split:
    """Texts of two to seven fillers and a cue, which decides the label."""
    rng = np.random.default_rng(seed)
    ids = [[int(rng.integers(len(CUES)))] for _ in range(n_texts)]
    texts = [
        " ".join([*rng.choice(FILLERS, rng.integers(2, 8)), CUES[LABELS[first]]])
        for (first,) in ids
    ]
    return Split.of_ids(texts, ids, LABELS, task)


def splits(n_texts: int = 48, task: str = "multi_label") -> SimpleNamespace:
    """Train, held and dev of the made-up texts."""
    return SimpleNamespace(
        train=split(n_texts, 1, task), held=split(12, 2, task), dev=split(10, 3, task)
    )


def job(
    out: Path, model: Path, task: str = "multi_label", n_texts: int = 48, **changes: Any
) -> dict[str, Any]:
    """Six steps of eight texts on the CPU, unless ``changes`` say otherwise."""
    params = TrainingParams(
        model=str(model),
        device="cpu",
        threads=1,
        batch_size=8,
        epochs=1.0,
        learning_rate=1e-3,
        patience=0,
    )
    return fit.job(params, splits(n_texts, task), out, **changes)


def run(made: dict[str, Any]) -> dict[str, Any]:
    """The job here in this process; its result has been through JSON, as a worker's has."""
    return json.loads(json.dumps(fit.run(made)))


def save_other(kind: str, folder: Path, n_labels: int = 2) -> Path:
    """A tiny bert or distilbert classifier, or an electra discriminator, whose head is not a
    classifier's.
    """
    torch.manual_seed(0)
    tokenizer = _tokenizer(64)
    shape = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": 64,
        "num_labels": n_labels,
    }

    usual = {
        **shape,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }

    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(**usual))
    elif kind == "electra":
        model = ElectraForPreTraining(ElectraConfig(**usual, embedding_size=16))
    else:
        model = DistilBertForSequenceClassification(
            DistilBertConfig(**shape, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
        )

    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny(folder: Path) -> Path:
    """A tiny RoBERTa classifier of the made-up labels, with dropout, and weights small enough to
    learn from.
    """
    model = RobertaForSequenceClassification.from_pretrained(save_roberta(folder, LABELS))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(0.2)
    model.save_pretrained(folder)
    return folder
