"""Small random classifiers of every architecture goemo meets, and a padded batch for them."""

from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

_SIZE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 200,
    "num_labels": 28,
}

ARCHITECTURES: dict[str, tuple[Any, Any]] = {
    "roberta": (
        RobertaForSequenceClassification,
        RobertaConfig(**_SIZE, max_position_embeddings=40),
    ),
    "bert": (BertForSequenceClassification, BertConfig(**_SIZE)),
    "distilbert": (
        DistilBertForSequenceClassification,
        DistilBertConfig(
            dim=64, n_layers=2, n_heads=4, hidden_dim=128, vocab_size=200, num_labels=28
        ),
    ),
    "electra": (ElectraForSequenceClassification, ElectraConfig(**_SIZE, embedding_size=32)),
    "deberta-v2": (
        DebertaV2ForSequenceClassification,
        DebertaV2Config(
            **_SIZE, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"]
        ),
    ),
    "modernbert": (
        ModernBertForSequenceClassification,
        ModernBertConfig(
            **_SIZE,
            local_attention=8,
            global_attn_every_n_layers=2,
            pad_token_id=1,
            bos_token_id=2,
            eos_token_id=3,
            cls_token_id=2,
            sep_token_id=3,
        ),
    ),
    "mpnet": (MPNetForSequenceClassification, MPNetConfig(**_SIZE, max_position_embeddings=40)),
    "xlm-roberta": (
        XLMRobertaForSequenceClassification,
        XLMRobertaConfig(**_SIZE, max_position_embeddings=40),
    ),
}
EAGER_ONLY = ("deberta-v2", "mpnet")
"""Architectures that transformers runs with eager attention alone."""


def classifier(architecture: str = "roberta", attention: str = "eager", spread: float = 3.0) -> Any:
    """A classifier in eval mode on the CPU, its matrices scaled by ``spread`` so that its logits
    are not all alike.
    """
    torch.manual_seed(0)
    kind, config = ARCHITECTURES[architecture]
    model = kind._from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embeddings" not in name:
                parameter.mul_(spread)
    return model


def batch() -> dict[str, torch.Tensor]:
    """Three texts of 12, 7 and 4 tokens, padded to 12."""
    torch.manual_seed(1)
    mask = (torch.arange(12) < torch.tensor([[12], [7], [4]])).long()
    return {
        "input_ids": torch.where(mask == 1, torch.randint(5, 200, (3, 12)), 1),
        "attention_mask": mask,
    }


@torch.no_grad()
def logits(model: Any, where: str) -> torch.Tensor:
    """The model's logits of ``batch()``, computed on ``where``, on the CPU."""
    return model.to(where)(**{key: value.to(where) for key, value in batch().items()}).logits.cpu()
