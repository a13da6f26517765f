"""The classifier itself: a stock RobertaForSequenceClassification of the recipe's size, and what
saves it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import RobertaConfig, RobertaForSequenceClassification

from goemo_utils.training.scratch.recipe import Recipe
from goemo_utils.training.scratch.tokenizer import BEGIN_ID, END_ID, PAD_ID, save_tokenizer


def build(
    recipe: Recipe, vocab_size: int, labels: tuple[str, ...]
) -> RobertaForSequenceClassification:
    """An untrained classifier. RoBERTa numbers positions from the padding id on, so the table has
    max_length + 2 rows.
    """
    return RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=vocab_size,
            hidden_size=recipe.width,
            num_hidden_layers=recipe.n_layers,
            num_attention_heads=recipe.n_heads,
            intermediate_size=recipe.inner_width,
            hidden_act="gelu",
            max_position_embeddings=recipe.max_length + PAD_ID + 1,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            hidden_dropout_prob=recipe.finetuning.dropout,
            attention_probs_dropout_prob=recipe.finetuning.dropout,
            classifier_dropout=recipe.finetuning.head_dropout,
            pad_token_id=PAD_ID,
            bos_token_id=BEGIN_ID,
            eos_token_id=END_ID,
            problem_type="multi_label_classification",
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
            dtype="float32",
        )
    )


def classifier_logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Logits of padded token ids."""
    logits: torch.Tensor = model(ids, attention_mask=(ids != PAD_ID).long()).logits
    return logits


def pooler_logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Logits of padded token ids, from the first stage's model."""
    logits: torch.Tensor = model(ids)
    return logits


@torch.no_grad()
def fold_thresholds(
    model: RobertaForSequenceClassification, thresholds: np.ndarray, common: float
) -> None:
    """Shift each label's bias by logit(common) - logit(its threshold), so that ``common`` marks
    what the thresholds marked.
    """
    shifts = [
        math.log(common / (1 - common)) - math.log(t / (1 - t)) for t in thresholds.astype(float)
    ]
    model.classifier.out_proj.bias.add_(torch.tensor(shifts, dtype=torch.float32))


def save(
    model: RobertaForSequenceClassification, tokenizer: Tokenizer, max_length: int, folder: Path
) -> None:
    """Write config.json, model.safetensors and the tokenizer files."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, max_length)
