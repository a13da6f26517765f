"""A classifier of a few thousand numbers, and texts for it, without a tokenizer or a file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification

from goemo_utils.forward.inputs import Inputs

LABELS = ("calm", "glad", "sad")


def model(layers: int = 2, seed: int = 0) -> RobertaForSequenceClassification:
    """A RoBERTa of width 16 with random weights."""
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=34,
        type_vocab_size=1,
        pad_token_id=1,
        num_labels=len(LABELS),
        initializer_range=0.5,
        problem_type="multi_label_classification",
    )
    return RobertaForSequenceClassification(config).eval()


def rows(n: int = 30) -> list[list[int]]:
    """Token ids of texts of 3 to 9 tokens."""
    rng = np.random.default_rng(0)
    return [[0, *rng.integers(5, 40, rng.integers(1, 8)).tolist(), 2] for _ in range(n)]


def inputs() -> Inputs:
    """What pads them."""
    tokenizer = SimpleNamespace(pad_token_id=1, mask_token_id=4, all_special_ids=[0, 1, 2, 3, 4])
    return Inputs(tokenizer)


def lab(network: Any, n: int = 30) -> Any:
    """What a rung asks of a lab, around a model."""
    ids, rng = rows(n), np.random.default_rng(1)
    targets = (rng.random((n, len(LABELS))) < 0.4).astype(np.float32)
    loaded = SimpleNamespace(model=network, inputs=inputs(), tokenizer=inputs().tokenizer)
    return SimpleNamespace(
        loaded=loaded,
        train=SimpleNamespace(targets=targets, labels=LABELS),
        rows=ids,
        rows_of=lambda base: ids,
        answers=SimpleNamespace(logits=torch.randn(n, len(LABELS)), states=torch.randn(n, 16)),
        digest="tiny",
        params=SimpleNamespace(epochs=1, rate=1e-3, batch_size=8, seed=0),
    )
