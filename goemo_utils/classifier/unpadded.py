"""An encoder for a CPU that computes real tokens only: texts lie end to end in one row, and nothing
is padded.

For families whose layers are BERT's: products run over all tokens of a batch at once, attention
over each run of texts of one length. A classification head reads only the first token of a text, so
the last layer computes no other. Embeddings, norms and heads are the model's own modules; weights
are packed for oneDNN, with GELU and the residual sums inside the products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_outputs import SequenceClassifierOutput

from goemo_utils.classifier.packed import FORMS as WITH_PADDING
from goemo_utils.classifier.packed import PackedLinear, PackingError, check

# Where a layer keeps its parts: query, key, value, projection and its norm, intermediate product
# and activation, output product and its norm.
BERT = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "intermediate.intermediate_act_fn",
    "output.dense",
    "output.LayerNorm",
)
DISTILBERT = (
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.activation",
    "ffn.lin2",
    "output_layer_norm",
)
# Families whose source was read, and no other: one could share these names and still differ on
# texts longer than those of the self-check.
FAMILIES = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "electra": BERT,
    "distilbert": DISTILBERT,
}
# Products get a multiple of so many rows: oneDNN works in such blocks, and keeps a kernel for every
# number of rows that it meets.
ROWS = 16


@dataclass(frozen=True)
class Run:
    """Texts of one length that stand one after the other."""

    length: int
    texts: int

    @property
    def tokens(self) -> int:
        return self.length * self.texts


class Unpadded(nn.Module):
    """A private inference copy of a classifier of one of FAMILIES; what is not packed is shared
    with ``model``.

    It cannot be saved, copied or cast. Raises PackingError for a model that is not known to be
    computed so.
    """

    def __init__(self, model: nn.Module, linear: type[PackedLinear] = PackedLinear) -> None:
        super().__init__()
        check(model)
        family = _family(model)
        base: Any = model.base_model
        self.embeddings = base.embeddings
        self.project = getattr(base, "embeddings_project", nn.Identity())

        layers = base.transformer.layer if family == "distilbert" else base.encoder.layer
        try:
            self.layers = nn.ModuleList(
                Layer(layer, FAMILIES[family], model.config, linear) for layer in layers
            )
        except AttributeError as error:
            raise PackingError(
                f"a layer of the model is not built like {family}'s: {error}"
            ) from error
        self.head = _head(model, family)
        self.eval()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits ``[n_texts, n_labels]`` of texts padded on the right; fastest where texts of one
        length stand together.
        """
        hidden, counted = self.embedded(input_ids, attention_mask, token_type_ids)
        lengths = counted.tolist()
        runs = [Run(length, len(list(same))) for length, same in groupby(lengths)]
        for layer in self.layers[:-1]:
            hidden = layer(hidden, hidden, runs)

        # [tokens, features] -> [texts, features]: a head reads only each text's first token
        starts = torch.tensor([0, *accumulate(lengths[:-1])])
        asking = with_zeros(hidden[starts])
        answered = self.layers[-1](hidden, asking, runs)[: len(lengths)]

        # [texts, features] -> [texts, 1, features]: heads expect an axis of tokens
        return SequenceClassifierOutput(logits=self.head(answered[:, None]))

    def embedded(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens of all texts end to end ``[tokens, features]``, and how many each text has."""
        # A tokenizer without special tokens leaves an empty text no token; it gets one of the
        # padding, and never its neighbour's answer.
        attention_mask = attention_mask.index_fill(1, torch.tensor([0]), 1)

        # Only the model's own embeddings know how it counts positions. They cost little, so they
        # alone are given padding.
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        embedded = self.project(self.embeddings(input_ids, **types))
        # [texts, width, features] -> [tokens, features], end to end
        return with_zeros(embedded[attention_mask.bool()]), attention_mask.sum(1)


def _family(model: nn.Module) -> str:
    """The model's entry in FAMILIES; raises PackingError for one that is not known to be so."""
    config: Any = getattr(model, "config", None)
    family = getattr(config, "model_type", None)
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    if family not in FAMILIES or not classifies or getattr(config, "is_decoder", False):
        raise PackingError(
            f"only {', '.join(FAMILIES)} are computed without padding, and the model is a"
            f" {type(model).__name__}"
        )
    return str(family)


def _head(model: Any, family: str) -> nn.Sequential:
    """What follows the last layer: ``[texts, 1, features]`` to logits ``[texts, labels]``."""
    if family == "distilbert":
        return nn.Sequential(_First(), model.pre_classifier, nn.ReLU(), model.classifier)
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is None:
        return nn.Sequential(model.classifier)
    return nn.Sequential(pooler, model.classifier)


class Layer(nn.Module):
    """One layer over texts that lie end to end."""

    def __init__(
        self, layer: nn.Module, names: Sequence[str], config: Any, packed: type[PackedLinear]
    ) -> None:
        super().__init__()
        parts = [layer.get_submodule(name) for name in names]
        query, key, value, projection, norm, intermediate, activation, output, output_norm = parts
        for linear in (query, key, value, projection, intermediate, output):
            if type(linear) is not nn.Linear or linear.bias is None:
                raise AttributeError("a product is no plain nn.Linear with a bias")
        exact = "gelu" in (getattr(config, "hidden_act", None), getattr(config, "activation", None))

        self.heads = config.num_attention_heads
        self.query = _packed(packed, query)
        self.key_value = _packed(packed, key, value)
        self.projection = _packed(packed, projection)
        self.norm = norm
        self.intermediate = _packed(packed, intermediate, activation="gelu" if exact else "none")
        self.activation = nn.Identity() if exact else activation
        self.output = _packed(packed, output)
        self.output_norm = output_norm

    def forward(
        self, hidden: torch.Tensor, asking: torch.Tensor, runs: Sequence[Run]
    ) -> torch.Tensor:
        """States ``[rows, features]`` of the tokens that ask: ``asking`` is all of ``hidden``, or
        the first token of every text.
        """
        whole = asking is hidden
        tokens = sum(run.tokens for run in runs)
        rows = tokens if whole else sum(run.texts for run in runs)

        given = self.key_value.ready(hidden, tokens)
        asked = given if whole else self.query.ready(asking, rows)
        attended = self._attend(self.query(asked), self.key_value(given), runs, whole)
        projected = self.projection(self.projection.ready(attended, rows), asking)
        states = self.norm(projected)

        inner = self.activation(self.intermediate(self.intermediate.ready(states, rows)))
        outcome: torch.Tensor = self.output_norm(
            self.output(self.output.ready(inner, rows), states)
        )
        return outcome

    def _attend(
        self, query: torch.Tensor, key_value: torch.Tensor, runs: Sequence[Run], whole: bool
    ) -> torch.Tensor:
        """Attention within each text: ``[rows, heads * width]`` of the tokens that ask."""
        out = torch.zeros_like(query)
        asked = start = 0
        for run in runs:
            rows = run.tokens if whole else run.texts

            # [tokens, 2 * heads * width] -> key and value, each [texts, heads, length, width]
            given = key_value[start : start + run.tokens]
            halves = given.view(run.texts, run.length, 2, self.heads, -1)
            key, value = halves.permute(2, 0, 3, 1, 4)

            # [rows, heads * width] -> [texts, heads, rows of a text, width]
            part = query[asked : asked + rows]
            part = part.view(run.texts, -1, self.heads, key.shape[-1]).transpose(1, 2)
            mixed = scaled_dot_product_attention(part, key, value)

            # [texts, heads, rows of a text, width] -> [rows, heads * width]
            out[asked : asked + rows] = mixed.transpose(1, 2).reshape(rows, -1)
            asked += rows
            start += run.tokens
        return out


def _packed(
    packed: type[PackedLinear], *linears: nn.Module, activation: str = "none"
) -> PackedLinear:
    """The stacked layers, packed; ``Layer`` has checked that they are linear."""
    return packed(*linears, activation=activation)  # type: ignore[arg-type]  # checked by Layer


class _First(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, 0]


def with_zeros(states: torch.Tensor) -> torch.Tensor:
    """The rows, and zeros up to a multiple of ROWS, of more from 1,024 rows on: 32 numbers an
    octave. Nothing reads what becomes of the zeros.
    """
    rows = len(states)
    block = max(ROWS, 1 << max(0, rows.bit_length() - 6))
    return nn.functional.pad(states, (0, 0, 0, -rows % block))


FORMS: Mapping[str, Callable[..., nn.Module]] = {"without padding": Unpadded, **WITH_PADDING}
