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

# Rows that stand for the places of a model without a table of them: more than any text has.
ANY_LENGTH = 1 << 30
# Tokens of the text by which a form is checked.
CHECKED = 1 << 10


class OneText:
    """The rows of a model's embeddings, read without its own way of counting places; zeros for a
    table that it does not have.
    """

    def __init__(self, embeddings: Any, first: int, padding: int | None) -> None:
        words = _first_of(embeddings, "word_embeddings", "tok_embeddings")
        types = _first_of(embeddings, "token_type_embeddings")
        places = _first_of(embeddings, "position_embeddings")
        self.words = words.weight
        nothing = self.words.new_zeros(1, self.words.shape[1])
        self.types = (nothing if types is None else types.weight)[0]
        self.places = nothing.expand(ANY_LENGTH, -1) if places is None else places.weight[first:]
        self.norm = _first_of(embeddings, "LayerNorm", "norm")
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


def _first_of(module: Any, *names: str) -> Any:
    """The module's part of the first of these names that it has; None where it has none."""
    return next((part for name in names if (part := getattr(module, name, None)) is not None), None)


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
        longest = min(len(forms[-1].places), CHECKED)
        ids = torch.arange(longest)[None] % len(forms[0].words)
        ids[ids == (-1 if padding is None else padding)] += 1
        with torch.inference_mode():
            expected = embeddings(ids).flatten(0, 1)
            right = [form for form in forms if torch.equal(form(ids), expected)]
    except (AttributeError, IndexError, RuntimeError, TypeError):  # they are built otherwise
        return None
    return right[0] if right else None
