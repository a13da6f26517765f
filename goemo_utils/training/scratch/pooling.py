"""The first stage: learn word vectors, and how one attention query pools them, before there is a
whole encoder to pay for.

A small encoder trained from scratch spends its first dozen passes finding out which words matter. A
pooler that holds only what the last layer does to <s> finds that out about ten times faster; its
weights then become an encoder that computes the same function, with every other block at zero, and
the second stage adds word order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import RobertaForSequenceClassification

from goemo_utils.training.scratch.tokenizer import PAD_ID


class AttentionPooler(nn.Module):
    """Word vectors, normalised; one learned query a head pools them; then RoBERTa's classification
    head.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        n_heads: int,
        n_labels: int,
        dropout: float,
        head_dropout: float,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.words = nn.Embedding(vocab_size, width, padding_idx=PAD_ID)
        self.word_norm = nn.LayerNorm(width, eps=1e-5)
        self.text_norm = nn.LayerNorm(width, eps=1e-5)
        self.query, self.mix = nn.Linear(width, n_heads, bias=False), nn.Linear(width, width)
        self.dense, self.out = nn.Linear(width, width), nn.Linear(width, n_labels)
        self.word_dropout, self.head_dropout = nn.Dropout(dropout), nn.Dropout(head_dropout)
        nn.init.normal_(self.words.weight, std=0.05)
        nn.init.zeros_(self.query.weight)
        nn.init.eye_(self.mix.weight)

        nn.init.zeros_(self.mix.bias)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [b, n_labels] of token ids [b, length]."""
        x = self.word_dropout(self.word_norm(self.words(ids)))  # [b, length, width]
        padding = (ids == PAD_ID).unsqueeze(2)
        shares = self.query(x).masked_fill(padding, float("-inf")).softmax(1)  # [b, length, heads]

        parts = x.view(*x.shape[:2], self.n_heads, -1)  # [b, length, heads, width / heads]
        pooled = torch.einsum("blh,blhd->bhd", shares, parts).flatten(1)  # [b, width]
        text = self.head_dropout(self.text_norm(x[:, 0] + self.mix(pooled)))
        logits: torch.Tensor = self.out(self.head_dropout(torch.tanh(self.dense(text))))
        return logits


@torch.no_grad()
def transplant(pooler: AttentionPooler, model: RobertaForSequenceClassification) -> None:
    """Set the weights of ``model`` so that, in evaluation mode, it gives the pooler's logits (up to
    the epsilons of layer norms).

    Layers before the last become the identity: their two output projections are zero and a layer
    norm of a normalised vector changes nothing. In the last layer the query's bias alone asks, the
    keys' first row of a head answers, the values pass unchanged. The other rows keep their random
    values, so that no gradient is zero for good.
    """
    roberta: Any = model.roberta  # its parts have no declared types
    embeddings, layers, head = roberta.embeddings, roberta.encoder.layer, model.classifier

    embeddings.word_embeddings.weight.copy_(pooler.words.weight)
    embeddings.token_type_embeddings.weight.zero_()
    embeddings.position_embeddings.weight.zero_()
    for layer in layers:
        layer.output.dense.weight.zero_()

    for layer in layers[:-1]:
        layer.attention.output.dense.weight.zero_()
    _copy_norm(pooler.word_norm, layers[-2].output.LayerNorm)
    _copy_norm(pooler.text_norm, layers[-1].output.LayerNorm)
    attention = layers[-1].attention
    size = pooler.query.in_features // pooler.n_heads
    first_rows = torch.arange(pooler.n_heads) * size
    attention.self.query.weight.zero_()
    attention.self.query.bias[first_rows] = size**0.5

    attention.self.key.weight[first_rows] = pooler.query.weight
    nn.init.eye_(attention.self.value.weight)

    for source, target in (
        (pooler.mix, attention.output.dense),
        (pooler.dense, head.dense),
        (pooler.out, head.out_proj),
    ):
        target.weight.copy_(source.weight)
        target.bias.copy_(source.bias)


def _copy_norm(source: nn.LayerNorm, target: nn.LayerNorm) -> None:
    target.weight.copy_(source.weight)
    target.bias.copy_(source.bias)
