"""Embeddings of texts that are not padded: the sum of three rows a token, in place of the twenty
operators by which transformers finds each token's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding, layer_norm


class OneText:
    """The rows of a BERT-like model's embeddings, read without its own way of counting places."""

    def __init__(self, embeddings: Any, first: int, padding: int | None) -> None:
        self.words = embeddings.word_embeddings.weight
        self.types = embeddings.token_type_embeddings.weight[0]
        self.places = embeddings.position_embeddings.weight[first:]
        self.norm = embeddings.LayerNorm
        self.padding = padding

    def takes(self, ids: Sequence[int] | np.ndarray) -> bool:
        """Whether each token's place is its number: not where the text itself names padding."""
        return self.padding is None or self.padding not in ids

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """``[1, tokens]`` to ``[tokens, features]``, summed in the order of the model's own."""
        words = embedding(ids[0], self.words)
        states = words.add_(self.types).add_(self.places[: len(words)])
        norm = self.norm
        return layer_norm(states, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def of_one_text(embeddings: nn.Module) -> OneText | None:
    """The quick form of a model's embeddings, where it gives the very bits of theirs for a text of
    every length that they take; None where it does not.

    RoBERTa counts places from the padding token on, and gives padding itself none.
    """
    padding = getattr(embeddings, "padding_idx", None)
    try:
        forms = [OneText(embeddings, 0, None)]
        if padding is not None:
            forms.append(OneText(embeddings, padding + 1, padding))
        longest = len(forms[-1].places)
        ids = torch.arange(longest)[None] % len(forms[0].words)
        ids[ids == (-1 if padding is None else padding)] += 1
        with torch.inference_mode():
            expected = embeddings(ids).flatten(0, 1)
            right = [form for form in forms if torch.equal(form(ids), expected)]
    except (AttributeError, IndexError, RuntimeError, TypeError):  # they are built otherwise
        return None
    return right[0] if right else None
