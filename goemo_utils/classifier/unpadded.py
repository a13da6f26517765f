"""An encoder for a CPU that computes real tokens only: texts lie end to end in one row, and nothing
is padded.

For families whose layers are BERT's: products run over all tokens of a batch at once, attention
over each run of texts of one length. A classification head reads only the first token of a text, so
the last layer computes no other. Embeddings, norms and heads are the model's own modules; weights
are packed for oneDNN, with GELU and the residual sums inside the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby

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


class Unpadded(nn.Module):
    """A private inference copy of a classifier of one of FAMILIES; what is not packed is shared
    with ``model``.

    It cannot be saved, copied or cast. Raises PackingError for a model that is not known to be
    computed so.
    """

    def __init__(self, model: nn.Module, linear: type[nn.Module] = PackedLinear) -> None:
        super().__init__()
        check(model)
        family = getattr(getattr(model, "config", None), "model_type", None)
        if (
            family not in FAMILIES
            or not type(model).__name__.endswith("ForSequenceClassification")
            or getattr(model.config, "is_decoder", False)
        ):
            raise PackingError(
                f"only {', '.join(FAMILIES)} are computed without padding, and the model is a"
                f" {type(model).__name__}"
            )
        base = model.base_model
        self.embeddings = nn.Sequential(
            base.embeddings,
            *([base.embeddings_project] if hasattr(base, "embeddings_project") else []),
        )
        layers = base.transformer.layer if family == "distilbert" else base.encoder.layer
        try:
            self.layers = nn.ModuleList(
                Layer(layer, FAMILIES[family], model.config, linear) for layer in layers
            )
        except AttributeError as error:
            raise PackingError(
                f"a layer of the model is not built like {family}'s: {error}"
            ) from error
        if family == "distilbert":
            head = [_First(), model.pre_classifier, nn.ReLU(), model.classifier]
        else:
            head = (
                [base.pooler, model.classifier]
                if getattr(base, "pooler", None) is not None
                else [model.classifier]
            )
        self.head = nn.Sequential(*head)
        self.eval()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> SequenceClassifierOutput:
        """Logits ``[n_texts, n_labels]`` of texts padded on the right; fastest where texts of one
        length stand together.
        """
        # A tokenizer without special tokens leaves an empty text no token; it gets one of the
        # padding, and never its neighbour's answer.
        attention_mask = attention_mask.index_fill(1, torch.tensor([0]), 1)
        # Only the model's own embeddings know how it counts positions. They cost little, so they
        # alone are given padding.
        hidden = _filled(self.embeddings(input_ids)[attention_mask.bool()])
        lengths = attention_mask.sum(1).tolist()
        runs = [(length, len(list(run))) for length, run in groupby(lengths)]
        for layer in self.layers[:-1]:
            hidden = layer(hidden, hidden, runs)
        first = torch.tensor([0, *accumulate(lengths[:-1])])
        hidden = self.layers[-1](hidden, _filled(hidden[first]), runs)
        return SequenceClassifierOutput(logits=self.head(hidden[: len(lengths), None]))


class Layer(nn.Module):
    """One layer over texts that lie end to end."""

    def __init__(
        self, layer: nn.Module, names: Sequence[str], config: object, packed: type[nn.Module]
    ) -> None:
        super().__init__()
        (
            query,
            key,
            value,
            projection,
            self.norm,
            intermediate,
            activation,
            output,
            self.output_norm,
        ) = map(layer.get_submodule, names)
        if not all(
            type(linear) is nn.Linear and linear.bias is not None
            for linear in (query, key, value, projection, intermediate, output)
        ):
            raise AttributeError("a product is no plain nn.Linear with a bias")
        self.heads = config.num_attention_heads
        exact = (
            getattr(config, "hidden_act", None) == "gelu"
            or getattr(config, "activation", None) == "gelu"
        )
        self.query, self.key_value, self.projection = (
            packed(query),
            packed(key, value),
            packed(projection),
        )
        self.intermediate, self.output = (
            packed(intermediate, activation="gelu" if exact else "none"),
            packed(output),
        )
        self.activation = nn.Identity() if exact else activation

    def forward(
        self, hidden: torch.Tensor, asking: torch.Tensor, runs: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """States of the tokens that ask: ``asking`` is all of ``hidden``, or the first token of
        every text. ``runs`` are (length, texts).
        """
        whole, texts = asking is hidden, sum(count for _, count in runs)
        tokens = sum(length * count for length, count in runs)
        rows = tokens if whole else texts
        given = self.key_value.ready(hidden, tokens)
        asked = given if whole else self.query.ready(asking, rows)
        attended = self._attend(self.query(asked), self.key_value(given), runs, whole)
        states = self.norm(self.projection(self.projection.ready(attended, rows), asking))
        inner = self.activation(self.intermediate(self.intermediate.ready(states, rows)))
        return self.output_norm(self.output(self.output.ready(inner, rows), states))

    def _attend(
        self,
        query: torch.Tensor,
        key_value: torch.Tensor,
        runs: Sequence[tuple[int, int]],
        whole: bool,
    ) -> torch.Tensor:
        out = torch.zeros_like(query)
        asked = start = 0
        for length, texts in runs:
            rows = texts * (length if whole else 1)
            key, value = (
                key_value[start : start + texts * length]
                .view(texts, length, 2, self.heads, -1)
                .permute(2, 0, 3, 1, 4)
            )
            part = (
                query[asked : asked + rows]
                .view(texts, -1, self.heads, key.shape[-1])
                .transpose(1, 2)
            )
            out[asked : asked + rows] = (
                scaled_dot_product_attention(part, key, value).transpose(1, 2).reshape(rows, -1)
            )
            asked, start = asked + rows, start + texts * length
        return out


class _First(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, 0]


def _filled(states: torch.Tensor) -> torch.Tensor:
    """The rows, and zeros up to a multiple of ROWS, of more from 1,024 rows on: 32 numbers an
    octave. Nothing reads what becomes of the zeros.
    """
    return nn.functional.pad(
        states, (0, 0, 0, -len(states) % max(ROWS, 1 << max(0, len(states).bit_length() - 6)))
    )


FORMS = {"without padding": Unpadded, **WITH_PADDING}
