"""An encoder for a CPU that computes real tokens only: texts lie end to end in one row, and nothing
is padded.

For families whose layers are BERT's: products run over all tokens of a batch at once, attention
over each run of texts of one length. A classification head reads only the first token of a text, so
the last layer computes no other. Embeddings, norms and heads are the model's own modules; weights
are packed for oneDNN, with GELU and the residual sums inside the products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, groupby
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from goemo_utils.classifier.attending import Biased, Disentangled, rotaries
from goemo_utils.classifier.embedding import of_one_text
from goemo_utils.classifier.interpreted import of_layers
from goemo_utils.classifier.layers import AttendAll, Layer, ModernLayer, Run
from goemo_utils.classifier.packed import FEW, PackedLinear, PackingError, check
from goemo_utils.classifier.packed import FORMS as WITH_PADDING

# Where a layer keeps its parts: query, key, value, projection and its norm, intermediate product
# and activation, output product and its norm.
FEED_FORWARD = (
    "intermediate.dense",
    "intermediate.intermediate_act_fn",
    "output.dense",
    "output.LayerNorm",
)
BERT = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    *FEED_FORWARD,
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
ALBERT = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.dense",
    "attention.LayerNorm",
    "ffn",
    "activation",
    "ffn_output",
    "full_layer_layer_norm",
)
MPNET = (
    "attention.attn.q",
    "attention.attn.k",
    "attention.attn.v",
    "attention.attn.o",
    "attention.LayerNorm",
    *FEED_FORWARD,
)
DEBERTA_V2 = (
    "attention.self.query_proj",
    "attention.self.key_proj",
    "attention.self.value_proj",
    "attention.output.dense",
    "attention.output.LayerNorm",
    *FEED_FORWARD,
)
# Families whose source was read, and no other: one could share these names and still differ on
# texts longer than those of the self-check. The plain ones have a list of layers of their own,
# whose attention knows no places.
PLAIN = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "electra": BERT,
    "distilbert": DISTILBERT,
}
FAMILIES = {**PLAIN, "albert": ALBERT, "mpnet": MPNET, "deberta-v2": DEBERTA_V2, "modernbert": ()}
# Products get a multiple of so many rows: oneDNN works in such blocks, and keeps a kernel for every
# number of rows that it meets.
ROWS = 16


class Unpadded(nn.Module):
    """A private inference copy of a classifier of one of FAMILIES; what is not packed is shared
    with ``model``.

    It cannot be saved, copied or cast. Raises PackingError for a model that is not known to be
    computed so.
    """

    def __init__(
        self,
        model: nn.Module,
        linear: type[PackedLinear] = PackedLinear,
        attend_all: AttendAll | None = None,
    ) -> None:
        """``attend_all``: attention of a whole batch on a device of its own, of a family whose
        attention knows no places; ``linear`` is then that device's too.
        """
        super().__init__()
        if attend_all is None:
            check(model)
        family = _family(model)
        base: Any = model.base_model
        config: Any = model.config
        self.embeddings = base.embeddings
        self.one_text = of_one_text(base.embeddings)
        self.project = _projection(base)
        try:
            self.layers = nn.ModuleList(_layers(base, family, config, linear, attend_all))
            self.head = _head(model, family)
        except (AttributeError, KeyError, TypeError) as error:
            raise PackingError(
                f"a layer of the model is not built like {family}'s: {error}"
            ) from error
        # what stands between the last layer and a head; a mean is over all of a text's tokens
        self.norm = getattr(base, "final_norm", nn.Identity())
        self.mean = _mean(config)
        # rows up to which nothing meets oneDNN, so that any number of them may come
        products = [product for product in self.modules() if isinstance(product, linear)]
        self.few = min(product.few for product in products)
        # tokens up to which one thread is the fastest
        self.short = FEW if all(product.small for product in products) else 0
        # what is computed without Python in between; None where it is not known how
        head = nn.Sequential(self.norm, self.head)
        self.interpreted = of_layers(list(self.layers), self.few, self.one_text, head, self.mean)
        self.eval()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits ``[n_texts, n_labels]`` of padded texts; fastest where texts of one length stand
        together.
        """
        hidden, counted = self.embedded(input_ids, attention_mask, token_type_ids)
        lengths = counted.tolist()
        runs = _runs(lengths)
        return SequenceClassifierOutput(logits=self._logits(hidden, runs))

    def end_to_end(self, ids: Sequence[Sequence[int]]) -> torch.Tensor | None:
        """Logits ``[texts, labels]`` of texts given by their ids alone; fastest where texts of one
        length stand together. None where only ``forward`` knows a token's place.
        """
        form = self.interpreted
        if form is None or self.one_text is None or not all(ids):
            return None
        runs = _runs([len(row) for row in ids])
        if any(run.length > form.longest for run in runs):
            return None
        tokens = sum(run.tokens for run in runs)
        flat = np.zeros(rounded(tokens, self.few), dtype=np.int64)
        flat[:tokens] = np.fromiter(chain.from_iterable(ids), np.int64, tokens)
        if not self.one_text.takes(flat[:tokens]):
            return None

        if type(self.project) is nn.Identity:
            asked = rounded(len(ids), self.few)
            read = form.of_ids(torch.from_numpy(flat), runs, asked)
            return read if form.head else self._headed(read, runs)
        hidden = self.project(form.embedded(torch.from_numpy(flat), runs))
        logits: torch.Tensor = self._logits(hidden, runs)
        return logits

    def _logits(self, hidden: torch.Tensor, runs: Sequence[Run]) -> Any:
        """Logits ``[texts, labels]`` of the embedded tokens."""
        form = self.interpreted
        if form is not None and all(run.length <= form.longest for run in runs):
            asked = rounded(sum(run.texts for run in runs), self.few)
            read = form.of_states(hidden, runs, asked)
            return read if form.head else self._headed(read, runs)
        for layer in list(self.layers)[:-1]:
            hidden = layer(hidden, hidden, runs)
        return self.answered(hidden, runs)

    def alone(self, ids: Sequence[int]) -> torch.Tensor:
        """Logits ``[1, labels]`` of one text of one token and more, given by its ids alone."""
        logits = self.end_to_end([ids])
        if logits is not None:
            return logits

        tokens = torch.tensor([ids])
        if self.one_text is not None and self.one_text.takes(ids):
            embedded = self.one_text(tokens)
        else:
            embedded = self.embeddings(tokens).flatten(0, 1)

        hidden = with_zeros(self.project(embedded), self.few)
        answer: torch.Tensor = self._logits(hidden, [Run(len(ids), 1)])
        return answer

    def _headed(self, read: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
        """Logits ``[texts, labels]`` of the last layer's states, of first tokens or of all."""
        read = self.norm(read)
        if self.mean:
            read = _means(read, runs)
        # [texts, features] -> [texts, 1, features]: heads expect an axis of tokens
        logits: torch.Tensor = self.head(read[:, None])
        return logits

    def answered(self, hidden: torch.Tensor, runs: Sequence[Run]) -> Any:
        """Logits ``[texts, labels]`` by the last layer and the head, of the states before them.

        A head that reads only each text's first token has the last layer compute no other.
        """
        last = self.layers[-1]
        if self.mean:
            return self._headed(last(hidden, hidden, runs), runs)
        # [tokens, features] -> [texts, features]
        first = _first_tokens(hidden, runs)
        read = last(hidden, with_zeros(first, self.few), runs)[: len(first)]
        return self._headed(read, runs)

    def embedded(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens of all texts end to end ``[tokens, features]``, and how many each text has."""
        if not attention_mask[:, 0].all():
            # Padded on the left, tokens would get the places that padding moves them to.
            order = attention_mask.argsort(dim=1, descending=True, stable=True)
            input_ids, attention_mask = input_ids.gather(1, order), attention_mask.gather(1, order)
            token_type_ids = None if token_type_ids is None else token_type_ids.gather(1, order)

        # A tokenizer without special tokens leaves an empty text no token; it gets one of the
        # padding, and never its neighbour's answer.
        counted = attention_mask.sum(1)
        if not counted.all():
            attention_mask = attention_mask.clone()
            attention_mask[:, 0] = 1
            counted = attention_mask.sum(1)

        # Only the model's own embeddings know how it counts positions. They cost little, so they
        # alone are given padding.
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        embedded = self.project(self.embeddings(input_ids, **types))
        # [texts, width, features] -> [tokens, features], end to end
        if int(counted.sum()) == attention_mask.numel():
            return with_zeros(embedded.flatten(0, 1), self.few), counted
        return with_zeros(embedded[attention_mask.bool()], self.few), counted


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


def _projection(base: Any) -> nn.Module:
    """What brings embeddings of another width to that of the layers."""
    encoder = getattr(base, "encoder", None)
    projection: nn.Module = getattr(
        encoder,
        "embedding_hidden_mapping_in",
        getattr(base, "embeddings_project", nn.Identity()),
    )
    return projection


def _layers(
    base: Any,
    family: str,
    config: Any,
    linear: type[PackedLinear],
    attend_all: AttendAll | None,
) -> Sequence[nn.Module]:
    """The layers in their order. Raises AttributeError, KeyError or TypeError for a model that is
    built otherwise.
    """
    names = FAMILIES[family]
    if family == "albert":
        return _shared(base.encoder, config, linear, attend_all)
    if family == "modernbert":
        attention, mean = rotaries(base, config, base.dtype), _mean(config)
        return [
            ModernLayer(
                layer,
                config,
                linear,
                attention(layer.attention_type),
                mean or layer is not base.layers[-1],
            )
            for layer in base.layers
        ]
    if family == "deberta-v2":
        return _disentangled(base, config, linear)

    attend = None
    if family == "mpnet":
        attend = Biased(base.encoder, config.max_position_embeddings)
    layers = base.transformer.layer if family == "distilbert" else base.encoder.layer
    # the last one computes the query of first tokens alone
    return [
        Layer(layer, names, config, linear, attend, attend_all, layer is not layers[-1])
        for layer in layers
    ]


def _shared(
    encoder: Any, config: Any, linear: type[PackedLinear], attend_all: AttendAll | None
) -> list[nn.Module]:
    """ALBERT's layers, each packed once however often it runs."""
    groups = encoder.albert_layer_groups
    each = config.num_hidden_layers / config.num_hidden_groups
    order = [
        layer
        for number in range(config.num_hidden_layers)
        for layer in groups[int(number / each)].albert_layers
    ]
    packed = {
        layer: Layer(layer, ALBERT, config, linear, None, attend_all)
        for layer in dict.fromkeys(order)
    }
    return [packed[layer] for layer in order]


def _disentangled(base: Any, config: Any, linear: type[PackedLinear]) -> list[nn.Module]:
    """DeBERTa-v2's layers."""
    if base.encoder.conv is not None or base.z_steps > 1:
        raise AttributeError("it has a convolution, or runs its last layer more than once")
    with torch.inference_mode():
        places = base.encoder.get_rel_embedding()
    layers = base.encoder.layer
    return [
        Layer(
            layer,
            DEBERTA_V2,
            config,
            linear,
            Disentangled(layer.attention.self, places),
            whole=layer is not layers[-1],
        )
        for layer in layers
    ]


def _head(model: Any, family: str) -> nn.Sequential:
    """What follows the last layer: ``[texts, 1, features]`` to logits ``[texts, labels]``."""
    base = model.base_model
    if family == "distilbert":
        return nn.Sequential(_First(), model.pre_classifier, nn.ReLU(), model.classifier)
    if family == "albert":
        return nn.Sequential(_First(), base.pooler, base.pooler_activation, model.classifier)
    if family == "modernbert":
        return nn.Sequential(_First(), model.head, model.classifier)
    if family == "deberta-v2":
        return nn.Sequential(model.pooler, model.classifier)

    pooler = getattr(base, "pooler", None)
    if pooler is None:
        return nn.Sequential(model.classifier)
    return nn.Sequential(pooler, model.classifier)


def _mean(config: Any) -> bool:
    """Whether the head reads the mean of all of a text's tokens."""
    return getattr(config, "classifier_pooling", "cls") == "mean"


def _means(states: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
    """The mean of each text's tokens: ``[tokens, features]`` to ``[texts, features]``."""
    sizes = [run.tokens for run in runs]
    parts = states[: sum(sizes)].split(sizes)
    return torch.cat(
        [
            part.view(run.texts, run.length, -1).mean(1)
            for part, run in zip(parts, runs, strict=True)
        ]
    )


def _first_tokens(states: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
    """The first token of each text: ``[tokens, features]`` to ``[texts, features]``."""
    lengths = [run.length for run in runs for _ in range(run.texts)]
    if len(lengths) == 1:
        return states[:1]
    return states[torch.tensor([0, *accumulate(lengths[:-1])], device=states.device)]


class _First(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, 0]


def _runs(lengths: Sequence[int]) -> list[Run]:
    return [Run(length, len(list(same))) for length, same in groupby(lengths)]


def with_zeros(states: torch.Tensor, few: int = 0) -> torch.Tensor:
    """The rows, and zeros up to as many as products take. Nothing reads what becomes of them."""
    rows = rounded(len(states), few)
    if rows == len(states):
        return states
    return nn.functional.pad(states, (0, 0, 0, rows - len(states)))


def rounded(rows: int, few: int = 0) -> int:
    """A multiple of ROWS, of more from 1,024 rows on: 32 numbers an octave. Up to ``few`` rows
    stay as they are.
    """
    if rows <= few:
        return rows
    block = max(ROWS, 1 << max(0, rows.bit_length() - 6))
    return rows + -rows % block


FORMS: Mapping[str, Callable[..., nn.Module]] = {"without padding": Unpadded, **WITH_PADDING}
