"""All layers of an encoder as one call of torch's own interpreter, which computes them without the
lock that lets one thread of Python run at a time.

Batches that run side by side wait for that lock between any two operators, and a short text spends
more time in Python than in its products. The functions below are compiled once a process from their
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
from goemo_utils.classifier.int8 import AT_ONCE, SMALLEST, Int8Linear
from goemo_utils.classifier.layers import Layer, Run
from goemo_utils.classifier.packed import INSIDE, PackedLinear

# A product's tensors are a list: in float32 and bfloat16 its weight, bias and, of small weights,
# the weight as it is; in int8 its weight, bias, scales and zero points. States that are read for
# the last time are quantised where they lie.
#
# The last layer needs no keys and no values. A score is query . (W x + b) = (query W) . x plus what
# is the same for all tokens, which softmax does not see; and weights that sum to 1 mix V x + c to
# V (mixed x) + c. So the first tokens' queries are brought to the states' own features, a head a
# row, and the states themselves are attended to: two small products a text for two a token.
FLOAT = """
def ready(
    states: Tensor, rows: int, last: bool, room: List[Tensor]
) -> Tuple[Tensor, float, int]:
    return states, 1.0, 0

def product(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, activation: str, form: str
) -> Tensor:
    states = given[0]
    if len(of) > 2 and states.size(0) <= few:
        plain = torch.nn.functional.linear(states, of[2], of[1])
        if activation == "gelu":
            return torch.nn.functional.gelu(plain, approximate=form)
        return plain
    none: List[Optional[number]] = []
    return torch.ops.mkldnn._linear_pointwise(states, of[0], of[1], activation, none, form)

def added(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, residual: Tensor
) -> Tensor:
    states = given[0]
    if len(of) > 2 and states.size(0) <= few:
        return torch.nn.functional.linear(states, of[2], of[1]).add_(residual)
    return torch.ops.mkldnn._linear_pointwise(states, residual, of[0], of[1], "add")
"""
INT8 = f"""
def ready(
    states: Tensor, rows: int, last: bool, room: List[Tensor]
) -> Tuple[Tensor, float, int]:
    lowest, highest = torch.aminmax(states.narrow(0, 0, rows))
    low, high = float(lowest), float(highest)
    if (high - low) - (high - low) != 0.0:
        return torch.zeros_like(states, dtype=torch.uint8), float("nan"), 0

    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 254
    if scale < {SMALLEST}:
        scale = 1.0
    zero_point = -int((low / scale) // 1.0)
    shift = torch.scalar_tensor(float(zero_point - 128))

    signed = room[0].narrow(0, 0, states.numel()).view(states.size(0), -1)
    piece = max(1, {AT_ONCE} // states.size(1))
    for start in range(0, states.size(0), piece):
        count = min(piece, states.size(0) - start)
        part = states.narrow(0, start, count)
        if last:
            torch.add(shift, part, alpha=1 / scale, out=part)
        else:
            part = torch.add(shift, part, alpha=1 / scale)
        signed.narrow(0, start, count).copy_(part.round_())
    values = room[1].narrow(0, 0, states.numel()).view(states.size(0), -1)
    return values.bitwise_xor_(128), scale, zero_point

def product(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, activation: str, form: str
) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.onednn.qlinear_pointwise(
        given[0], given[1], given[2], of[0], of[2], of[3], of[1],
        1.0, 0, torch.float32, activation, none, form
    )

def added(
    given: Tuple[Tensor, float, int], of: List[Tensor], few: int, residual: Tensor
) -> Tensor:
    none: List[Optional[number]] = []
    return torch.ops.onednn.qlinear_pointwise(
        given[0], given[1], given[2], of[0], of[2], of[3], residual, of[1],
        1.0, 0, torch.float32, 1.0, 0, "add", 1.0, "none", none, ""
    )
"""
LAYERS = """
def embedded(
    ids: Tensor, tables: List[Tensor], eps: float, lengths: List[int], texts: List[int]
) -> Tensor:
    words, types, places, weight, bias = tables
    states = torch.embedding(words, ids).add_(types)
    start = 0
    for length, count in zip(lengths, texts):
        part = states.narrow(0, start, length * count).view(count, length, -1)
        part.add_(places.narrow(0, 0, length))
        start += length * count
    return torch.layer_norm(states, [states.size(1)], weight, bias, eps)

def attended(
    heads: int, query: Tensor, key_value: Tensor, lengths: List[int], texts: List[int]
) -> Tensor:
    parts: List[Tensor] = []
    start = 0
    for length, count in zip(lengths, texts):
        tokens = length * count
        # [tokens, 2 * heads * width] -> key and value, each [texts, heads, length, width]
        halves = key_value.narrow(0, start, tokens).view(count, length, 2, heads, -1)
        key, value = halves.permute(2, 0, 3, 1, 4).unbind(0)
        asking = query.narrow(0, start, tokens).view(count, length, heads, -1).transpose(1, 2)
        mixed = torch.nn.functional.scaled_dot_product_attention(asking, key, value)
        # [texts, heads, length, width] -> [tokens, heads * width]
        parts.append(mixed.transpose(1, 2).reshape(tokens, -1))
        start += tokens
    if start < query.size(0):
        parts.append(query.new_zeros([query.size(0) - start, query.size(1)]))
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts)

def firsts_attended(
    heads: int, query: Tensor, hidden: Tensor, lengths: List[int], texts: List[int],
    of: List[Tensor]
) -> Tensor:
    key, value, bias = of
    rows, width = query.size(0), query.size(1) // heads
    # [rows, heads * width] -> [heads, rows, width] -> [heads, rows, features] -> its rows first
    asking = query.view(rows, heads, width).transpose(0, 1)
    asking = torch.bmm(asking, key.view(heads, width, -1)).transpose(0, 1)
    parts: List[Tensor] = []
    asked, given = 0, 0
    for length, count in zip(lengths, texts):
        states = hidden.narrow(0, given, length * count).view(count, 1, length, -1)
        part = asking.narrow(0, asked, count).unsqueeze(1)
        mixed = torch.nn.functional.scaled_dot_product_attention(
            part, states, states, scale=float(width) ** -0.5
        )
        parts.append(mixed.squeeze(1))
        asked += count
        given += length * count
    if asked < rows:
        parts.append(hidden.new_zeros([rows - asked, heads, hidden.size(1)]))
    # [rows, heads, features] -> [heads, rows, width] -> [rows, heads * width]
    mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
    values = torch.bmm(mixed.transpose(0, 1), value.view(heads, width, -1).transpose(1, 2))
    return values.transpose(0, 1).reshape(rows, -1).add_(bias)

def layer(
    hidden: Tensor, asking: Tensor, whole: bool, tokens: int, rows: int, lengths: List[int],
    texts: List[int], heads: int, eps: float, few: int, activation: str, form: str,
    products: List[List[Tensor]], norms: List[Tensor], unprojected: List[Tensor],
    room: List[Tensor]
) -> Tensor:
    if whole:
        given = ready(hidden, tokens, False, room)
        if len(products[1]) == 0:
            joined = product(given, products[0], few, "none", "")
            third = joined.size(1) // 3
            query, key_value = joined.narrow(1, 0, third), joined.narrow(1, third, 2 * third)
        else:
            query = product(given, products[0], few, "none", "")
            key_value = product(given, products[1], few, "none", "")
        mixed = attended(heads, query, key_value, lengths, texts)
    else:
        query = product(ready(asking, rows, False, room), products[0], few, "none", "")
        mixed = firsts_attended(heads, query, hidden, lengths, texts, unprojected)
    projected = added(ready(mixed, rows, True, room), products[2], few, asking)
    states = torch.layer_norm(projected, [projected.size(1)], norms[0], norms[1], eps)
    inner = product(ready(states, rows, False, room), products[3], few, activation, form)
    outcome = added(ready(inner, rows, True, room), products[4], few, states)
    return torch.layer_norm(outcome, [outcome.size(1)], norms[2], norms[3], eps)

def firsts(hidden: Tensor, rows: int, lengths: List[int], texts: List[int]) -> Tensor:
    parts: List[Tensor] = []
    start, count = 0, 0
    for length, number in zip(lengths, texts):
        states = hidden.narrow(0, start, length * number).view(number, length, -1)
        parts.append(states.select(1, 0))
        start += length * number
        count += number
    if count < rows:
        parts.append(hidden.new_zeros([rows - count, hidden.size(1)]))
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

def headed(states: Tensor, of: List[Tensor], between: str) -> Tensor:
    if len(of) == 0:
        return states
    inner = torch.nn.functional.linear(states, of[0], of[1])
    if between == "tanh":
        inner = torch.tanh(inner)
    elif between == "relu":
        inner = torch.relu(inner)
    else:
        inner = torch.nn.functional.gelu(inner)
    return torch.nn.functional.linear(inner, of[2], of[3])

def of_states(
    hidden: Tensor, lengths: List[int], texts: List[int], asked: int, room: List[Tensor],
    heads: int, eps: float, few: int, activation: str, form: str, products: List[List[Tensor]],
    norms: List[Tensor], unprojected: List[Tensor], head: List[Tensor], between: str
) -> Tensor:
    tokens, count, last = 0, 0, len(norms) // 4 - 1
    for length, number in zip(lengths, texts):
        tokens += length * number
        count += number
    for i in range(last):
        hidden = layer(
            hidden, hidden, True, tokens, tokens, lengths, texts, heads, eps, few, activation,
            form, products[5 * i : 5 * i + 5], norms[4 * i : 4 * i + 4], unprojected, room
        )
    outcome = layer(
        hidden, firsts(hidden, asked, lengths, texts), False, tokens, count, lengths, texts,
        heads, eps, few, activation, form, products[5 * last :], norms[4 * last :], unprojected,
        room
    )
    return headed(outcome.narrow(0, 0, count), head, between)

def of_ids(
    ids: Tensor, tables: List[Tensor], table_eps: float, lengths: List[int], texts: List[int],
    asked: int, room: List[Tensor], heads: int, eps: float, few: int, activation: str, form: str,
    products: List[List[Tensor]], norms: List[Tensor], unprojected: List[Tensor],
    head: List[Tensor], between: str
) -> Tensor:
    hidden = embedded(ids, tables, table_eps, lengths, texts)
    return of_states(
        hidden, lengths, texts, asked, room, heads, eps, few, activation, form, products, norms,
        unprojected, head, between
    )
"""
# What may stand between the two products of a head.
BETWEEN: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
}
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
    if not all(isinstance(layer, Layer) and _plain(layer) for layer in layers):
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
