"""All layers of an encoder as one call of torch's own interpreter, which computes them without the
lock that lets one thread of Python run at a time.

Batches that run side by side wait for that lock between any two operators, and a short text spends
more time in Python than in its products. The functions are compiled once a process from their
source, in milliseconds, without torch's Python front end; where a torch refuses them, the layers
run in Python as before. Nothing is traced and nothing recorded: any number of rows may come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from goemo_utils.classifier import attention_functions, layer_functions, product_functions
from goemo_utils.classifier.embedding import OneText
from goemo_utils.classifier.int8 import Int8Linear
from goemo_utils.classifier.layers import Layer, ModernLayer, Run
from goemo_utils.classifier.packed import INSIDE, PackedLinear

# What may stand between the two products of a head.
BETWEEN: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
}
# Rows of the trial at loading.
TRIAL = 64
SOURCES: Mapping[type[nn.Module], str] = {
    Layer: layer_functions.BEHIND,
    ModernLayer: layer_functions.BEFORE,
}


class Interpreted:
    """The layers of an encoder, over texts that lie end to end."""

    def __init__(
        self,
        layers: Sequence[Layer | ModernLayer],
        few: int,
        one_text: OneText | None,
        head: nn.Module,
        whole: bool,
    ) -> None:
        """``whole``: the last layer computes all tokens, as the others do."""
        first, last = layers[0], layers[-1]
        products = [_products(layer) for layer in layers]
        attentions = [layer.attention for layer in layers]
        self.functions = _compiled(
            SOURCES[type(first)], isinstance(first.projection, Int8Linear), attentions[0].kind
        )
        self.longest = min(attention.longest for attention in attentions)
        self.head, between = ([], "") if whole else _two_products(head, _norms(last)[-1].weight)
        # what the functions take beside the texts
        width = first.projection.in_features // first.heads
        self.given = (
            whole,
            first.heads,
            attentions[0].scale(width),
            _norms(first)[-1].eps,
            few,
            *INSIDE[first.intermediate.activation],
            [[_tensors(product) for product in of_layer] for of_layer in products],
            [[_norm_tensors(norm) for norm in _norms(layer)] for layer in layers],
            [attention.tables for attention in attentions],
            [attention.reach for attention in attentions],
            last.unprojected if isinstance(last, Layer) else [],
            self.head,
            between,
        )

        self.widest = 0
        if isinstance(first.projection, Int8Linear):
            self.widest = max(product.in_features for product in products[0] if product)
        self.tables: list[torch.Tensor] = []
        if one_text is not None:
            norm = one_text.norm
            rows = [one_text.words, one_text.types, one_text.places]
            self.tables, self.table_eps = [*rows, *_norm_tensors(norm)], norm.eps
            self.longest = min(self.longest, len(one_text.places))

    def embedded(self, ids: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
        """``[rows]`` token ids to states ``[rows, features]``."""
        return _run(self.functions.embedded, ids, self.tables, self.table_eps, *_sizes(runs))

    def of_states(self, hidden: torch.Tensor, runs: Sequence[Run], asked: int) -> torch.Tensor:
        """Logits ``[texts, labels]`` where the head is known (``head``), else the last layer's
        states: ``[texts, features]`` of each text's first token, or ``[tokens, features]``.

        ``asked``: rows of the last layer, as many as texts or more where products take no fewer.
        """
        room = self._room(len(hidden))
        return _run(self.functions.of_states, hidden, *_sizes(runs), asked, room, *self.given)

    def of_ids(self, ids: torch.Tensor, runs: Sequence[Run], asked: int) -> torch.Tensor:
        """As ``of_states``, of ``[rows]`` token ids."""
        tables, room = (self.tables, self.table_eps), self._room(len(ids))
        return _run(self.functions.of_ids, ids, *tables, *_sizes(runs), asked, room, *self.given)

    def _room(self, rows: int) -> list[torch.Tensor]:
        """Bytes for the widest states in int8, as signed and unsigned ones; none in float32."""
        if not self.widest:
            return []
        signed = torch.empty(rows * self.widest, dtype=torch.int8)
        return [signed, signed.view(torch.uint8)]


def of_layers(
    layers: Sequence[nn.Module], few: int, one_text: OneText | None, head: nn.Module, whole: bool
) -> Interpreted | None:
    """The interpreted form of layers, where they are built so that it computes what they do; None
    elsewhere, and where this torch does not compile it. Parameters as of ``Interpreted``.
    """
    plain: Any = layers
    if not all(type(layer) in SOURCES and _plain(layer) for layer in plain):
        return None
    if len({_settings(layer) for layer in plain}) != 1:
        return None
    try:
        form = Interpreted(plain, few, one_text, head, whole)
        with torch.inference_mode():
            # texts of one token, more of them than the few rows that never meet oneDNN
            like = _norms(plain[0])[-1].weight
            form.of_states(like.new_zeros(TRIAL, len(like)), [Run(1, TRIAL)], TRIAL)
    except (RuntimeError, AttributeError, TypeError):  # a torch that has dropped one of its parts
        return None
    return form


def _plain(layer: Layer | ModernLayer) -> bool:
    """Whether a layer has nothing of its own that the interpreted form would leave out."""
    kinds = {type(product) for product in _products(layer) if product is not None}
    norms = _norms(layer)
    return (
        kinds in ({PackedLinear}, {Int8Linear})
        and layer.alone
        and type(layer.activation) is nn.Identity
        and type(norms[-1]) is nn.LayerNorm
        and all(type(norm) in (nn.LayerNorm, nn.Identity) for norm in norms)
        and len({norm.eps for norm in norms if type(norm) is nn.LayerNorm}) == 1
    )


def _settings(layer: Layer | ModernLayer) -> tuple[Any, ...]:
    """What the functions expect to be the same in all layers."""
    width = layer.projection.in_features // layer.heads
    attention = layer.attention
    eps = _norms(layer)[-1].eps
    return (type(layer), layer.heads, eps, attention.kind, attention.scale(width))


def _two_products(head: nn.Module, like: Any) -> tuple[list[torch.Tensor], str]:
    """The weights and biases of a head of two products, and what stands between them, where that
    gives the very bits of the head's own answers; else none. ``like``: one state.
    """
    products: list[Any] = [module for module in head.modules() if type(module) is nn.Linear]
    if len(products) != 2 or any(product.bias is None for product in products):
        return [], ""
    first, second = products
    with torch.inference_mode():
        states = torch.linspace(-3, 3, 5 * len(like)).view(5, -1).to(like.dtype)
        expected = head(states[:, None])
        for name, between in BETWEEN.items():
            if torch.equal(second(between(first(states))), expected):
                return [first.weight, first.bias, second.weight, second.bias], name
    return [], ""


def _products(layer: Layer | ModernLayer) -> list[Any]:
    asking = [layer.joined, None] if layer.joined is not None else [layer.query, layer.key_value]
    inside = [layer.intermediate, *([layer.gate] if isinstance(layer, ModernLayer) else [])]
    return [*asking, layer.projection, *inside, layer.output]


def _norms(layer: Layer | ModernLayer) -> list[Any]:
    """The attention's and the feed-forward's."""
    if isinstance(layer, ModernLayer):
        return [layer.norm, layer.inner_norm]
    return [layer.norm, layer.output_norm]


def _norm_tensors(norm: Any) -> list[torch.Tensor]:
    """Weight and bias, where it has one; none of what is no norm."""
    if isinstance(norm, nn.Identity):
        return []
    return [norm.weight] if norm.bias is None else [norm.weight, norm.bias]


def _tensors(product: Any) -> list[torch.Tensor]:
    """The tensors of a product, as the functions take them; none of one that is not there."""
    if product is None:
        return []
    bias = product.bias
    if isinstance(product, Int8Linear):
        bias = torch.zeros_like(product.scales) if bias is None else bias
        return [product.weight, bias, product.scales, product.zero_points]
    if bias is None:
        bias = torch.zeros(product.out_features, dtype=product.weight.dtype)
    plain = [] if product.plain is None else [product.plain]
    return [product.weight, bias, *plain]


def _sizes(runs: Sequence[Run]) -> tuple[list[int], list[int]]:
    return [run.length for run in runs], [run.texts for run in runs]


@cache
def _compiled(layer: str, int8: bool, attention: str) -> Any:
    products = product_functions.INT8 if int8 else product_functions.FLOAT
    kind = attention_functions.KINDS[attention] + attention_functions.ATTENTION
    layers = layer_functions.ASKED + layer + layer_functions.AROUND
    return torch.jit.CompilationUnit(products + kind + layers)


def _run(function: Any, *given: Any) -> torch.Tensor:
    """The function's answer, as it stands: torch would else watch the first calls, for tenths of a
    second, to fit the function to the shapes that it meets. The setting is the thread's own.
    """
    jit: Any = torch.jit
    with jit.optimized_execution(False):
        answer: torch.Tensor = function(*given)
    return answer
