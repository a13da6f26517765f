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

from goemo_utils.classifier.embedding import OneText
from goemo_utils.classifier.functions import FLOAT, INT8, LAYERS
from goemo_utils.classifier.int8 import Int8Linear
from goemo_utils.classifier.layers import Layer, Run
from goemo_utils.classifier.packed import INSIDE, PackedLinear

# What may stand between the two products of a head.
BETWEEN: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
}
# Rows of the trial at loading.
TRIAL = 64


class Interpreted:
    """The layers of an encoder whose attention knows no places, over texts that lie end to end."""

    def __init__(
        self, layers: Sequence[Layer], few: int, one_text: OneText | None, head: nn.Module
    ) -> None:
        first = layers[0]
        self.functions = _compiled(isinstance(first.projection, Int8Linear))
        norms = [norm for layer in layers for norm in (layer.norm, layer.output_norm)]
        self.head, between = _two_products(head, first.norm.weight)
        # what the functions take beside the texts
        self.given = (
            first.heads,
            first.norm.eps,
            few,
            *INSIDE[first.intermediate.activation],
            [_tensors(product) for layer in layers for product in _products(layer)],
            [tensor for norm in norms for tensor in (norm.weight, norm.bias)],
            layers[-1].unprojected,
            self.head,
            between,
        )

        self.widest = 0
        if isinstance(first.projection, Int8Linear):
            self.widest = max(product.in_features for product in _products(first) if product)
        self.tables: list[torch.Tensor] = []
        if one_text is not None:
            norm = one_text.norm
            given = (one_text.words, one_text.types, one_text.places, norm.weight, norm.bias)
            self.tables, self.table_eps = list(given), norm.eps

    def embedded(self, ids: torch.Tensor, runs: Sequence[Run]) -> torch.Tensor:
        """``[rows]`` token ids to states ``[rows, features]``."""
        return _run(self.functions.embedded, ids, self.tables, self.table_eps, *_sizes(runs))

    def of_states(self, hidden: torch.Tensor, runs: Sequence[Run], asked: int) -> torch.Tensor:
        """Logits ``[texts, labels]`` where the head is known (``head``), else the last layer's
        states ``[texts, features]`` of each text's first token.

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
    layers: Sequence[nn.Module], few: int, one_text: OneText | None, head: nn.Module
) -> Interpreted | None:
    """The interpreted form of layers, where they are built so that it computes what they do; None
    elsewhere, and where this torch does not compile it.
    """
    if not all(type(layer) is Layer and _plain(layer) for layer in layers):
        return None
    plain: Any = layers
    alike = {(layer.norm.eps, layer.output_norm.eps, layer.heads) for layer in plain}
    if len(alike) != 1 or len(set(next(iter(alike))[:2])) != 1:
        return None
    try:
        form = Interpreted(plain, few, one_text, head)
        with torch.inference_mode():
            # texts of one token, more of them than the few rows that never meet oneDNN
            states = plain[0].norm.weight.new_zeros(TRIAL, len(plain[0].norm.weight))
            form.of_states(states, [Run(1, TRIAL)], TRIAL)
    except (RuntimeError, AttributeError, TypeError):  # a torch that has dropped one of its parts
        return None
    return form


def _plain(layer: Layer) -> bool:
    """Whether a layer has nothing of its own that the interpreted form would leave out."""
    kinds = {type(product) for product in _products(layer) if product is not None}
    norms = (layer.norm, layer.output_norm)
    return (
        kinds in ({PackedLinear}, {Int8Linear})
        and layer.attends_plainly
        and type(layer.activation) is nn.Identity
        and all(type(norm) is nn.LayerNorm and norm.bias is not None for norm in norms)
    )


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


def _products(layer: Layer) -> list[Any]:
    asking = [layer.joined, None] if layer.joined is not None else [layer.query, layer.key_value]
    return [*asking, layer.projection, layer.intermediate, layer.output]


def _tensors(product: Any) -> list[torch.Tensor]:
    """The tensors of a product, as the functions take them; none of one that is not there."""
    if product is None:
        return []
    if isinstance(product, Int8Linear):
        return [product.weight, product.bias, product.scales, product.zero_points]
    plain = [] if product.plain is None else [product.plain]
    return [product.weight, product.bias, *plain]


def _sizes(runs: Sequence[Run]) -> tuple[list[int], list[int]]:
    return [run.length for run in runs], [run.texts for run in runs]


@cache
def _compiled(int8: bool) -> Any:
    return torch.jit.CompilationUnit((INT8 if int8 else FLOAT) + LAYERS)


def _run(function: Any, *given: Any) -> torch.Tensor:
    """The function's answer, as it stands: torch would else watch the first calls, for tenths of a
    second, to fit the function to the shapes that it meets. The setting is the thread's own.
    """
    jit: Any = torch.jit
    with jit.optimized_execution(False):
        answer: torch.Tensor = function(*given)
    return answer
