"""Layers of an encoder over texts that lie end to end, packed for oneDNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from goemo_utils.classifier.attending import Attend, Plain, paired
from goemo_utils.classifier.packed import INSIDE, SMALL, PackedLinear


@dataclass(frozen=True)
class Run:
    """Texts of one length that stand one after the other."""

    length: int
    texts: int

    @property
    def tokens(self) -> int:
        return self.length * self.texts


AttendAll = Callable[[int, torch.Tensor, torch.Tensor, Sequence[Run], bool], torch.Tensor]
"""The attention of a whole batch, as ``attend_each`` of one kind of attention."""


@dataclass(frozen=True)
class Asking:
    """Which tokens ask: all of them, or the first of every text; ``rows`` in all."""

    whole: bool
    rows: int
    tokens: int

    @staticmethod
    def of(hidden: torch.Tensor, asking: torch.Tensor, runs: Sequence[Run]) -> Asking:
        whole = asking is hidden
        tokens = sum(run.tokens for run in runs)
        return Asking(whole, tokens if whole else sum(run.texts for run in runs), tokens)


class Asked(nn.Module):
    """A layer's query, key and value: one product where every token asks, two elsewhere."""

    joined: PackedLinear | None

    def stack(self, packed: type[PackedLinear], *linears: nn.Module, one: bool) -> None:
        """Pack query, key and value."""
        self.joined = _packed(packed, *linears) if one else None
        if not one:
            self.query = _packed(packed, linears[0])
            self.key_value = _packed(packed, *linears[1:])

    def asked_and_given(
        self, hidden: torch.Tensor, asking: torch.Tensor, who: Asking, ready: Callable[..., Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Query ``[rows, features]``, and key and value side by side."""
        given = ready(hidden, who.tokens)
        if self.joined is not None:
            joined: torch.Tensor = self.joined(given)
            query, key_value = joined.tensor_split([joined.shape[1] // 3], 1)
            return query, key_value
        asked = given if who.whole else ready(asking, who.rows)
        return self.query(asked), self.key_value(given)


class Layer(Asked):
    """A layer as BERT's: each half's norm stands behind its sum."""

    def __init__(
        self,
        layer: nn.Module,
        names: Sequence[str],
        config: Any,
        packed: type[PackedLinear],
        attend: Attend | None = None,
        attend_all: AttendAll | None = None,
        whole: bool = False,
    ) -> None:
        """``whole``: every token will ask, so that query, key and value may be one product."""
        super().__init__()
        parts = [layer.get_submodule(name) for name in names]
        query, key, value, projection, norm, intermediate, activation, output, output_norm = parts
        _check(query, key, value, projection, intermediate, output, bias=True)
        inside = _inside(config)

        self.heads = config.num_attention_heads
        self.attention = attend or Plain()
        # whether it is this attention that is used
        self.alone = attend_all is None
        self.attend: AttendAll = attend_all or partial(attend_each, self.attention)
        # what first tokens need to attend to the states themselves; it would keep every layer's
        # weights in a second form
        self.unprojected: list[torch.Tensor] = []
        if attend is None and attend_all is None and not whole:
            weights: list[Any] = [key.weight, value.weight, value.bias]
            self.unprojected = [weight.detach() for weight in weights]
        one = whole and attend_all is None and _stay_few(query, key, value)
        self.stack(packed, query, key, value, one=one)
        self.projection = _packed(packed, projection)
        self.norm = norm
        self.intermediate = _packed(packed, intermediate, activation=inside)
        self.activation = activation if inside == "none" else nn.Identity()
        self.output = _packed(packed, output)
        self.output_norm = output_norm

    def forward(
        self, hidden: torch.Tensor, asking: torch.Tensor, runs: Sequence[Run]
    ) -> torch.Tensor:
        """States ``[rows, features]`` of the tokens that ask: ``asking`` is all of ``hidden``, or
        the first token of every text.
        """
        who = Asking.of(hidden, asking, runs)
        query, key_value = self.asked_and_given(hidden, asking, who, self.projection.ready)
        attended = self.attend(self.heads, query, key_value, runs, who.whole)
        projected = self.projection(self.projection.ready(attended, who.rows), asking)
        states = self.norm(projected)

        inner = self.activation(self.intermediate(self.intermediate.ready(states, who.rows)))
        outcome: torch.Tensor = self.output_norm(
            self.output(self.output.ready(inner, who.rows), states)
        )
        return outcome


class ModernLayer(Asked):
    """A layer of ModernBERT: each half's norm stands before it, and a gate in its feed-forward."""

    def __init__(
        self, layer: Any, config: Any, packed: type[PackedLinear], attend: Attend, whole: bool
    ) -> None:
        """``whole``: as of ``Layer``."""
        super().__init__()
        attention, inner = layer.attn, layer.mlp
        _check(attention.Wqkv, attention.Wo, inner.Wi, inner.Wo, bias=None)
        exact = config.hidden_activation == "gelu"
        width = config.hidden_size

        self.heads = config.num_attention_heads
        self.attention = attend
        self.alone = True
        self.attend: AttendAll = partial(attend_each, attend)
        self.norm = layer.attn_norm
        turning = paired(width, self.heads)
        query, key = (_rows(attention.Wqkv, turning + first) for first in (0, width))
        value = _rows(attention.Wqkv, slice(2 * width, 3 * width))
        one = whole and _stay_few(query, key, value)
        self.stack(packed, query, key, value, one=one)
        self.projection = _packed(packed, attention.Wo)
        self.inner_norm = layer.mlp_norm

        half = inner.Wi.out_features // 2
        opened = _rows(inner.Wi, slice(0, half))
        self.intermediate = _packed(packed, opened, activation="gelu" if exact else "none")
        self.activation = nn.Identity() if exact else inner.act
        self.gate = _packed(packed, _rows(inner.Wi, slice(half, 2 * half)))
        self.output = _packed(packed, inner.Wo)

    def forward(
        self, hidden: torch.Tensor, asking: torch.Tensor, runs: Sequence[Run]
    ) -> torch.Tensor:
        """States ``[rows, features]`` of the tokens that ask, as of ``Layer``."""
        who = Asking.of(hidden, asking, runs)
        given = self.norm(hidden)
        asked = given if who.whole else self.norm(asking)
        query, key_value = self.asked_and_given(given, asked, who, self.projection.ready)
        attended = self.attend(self.heads, query, key_value, runs, who.whole)
        states = self.projection(self.projection.ready(attended, who.rows), asking)

        opened = self.intermediate.ready(self.inner_norm(states), who.rows)
        inner = self.activation(self.intermediate(opened)) * self.gate(opened)
        outcome: torch.Tensor = self.output(self.output.ready(inner, who.rows), states)
        return outcome


def attend_each(
    attend: Attend,
    heads: int,
    query: torch.Tensor,
    key_value: torch.Tensor,
    runs: Sequence[Run],
    whole: bool,
) -> torch.Tensor:
    """Attention within each text: ``[rows, heads * width]`` of the tokens that ask, all
    (``whole``) or the first of every text.
    """
    if len(runs) == 1:
        rows = runs[0].tokens if whole else runs[0].texts
        mixed = _attend(attend, heads, query[:rows], key_value[: runs[0].tokens], runs[0])
        if rows == len(query):
            return mixed
        return nn.functional.pad(mixed, (0, 0, 0, len(query) - rows))

    out = torch.zeros_like(query)
    asking = [run.tokens if whole else run.texts for run in runs]
    tokens = [run.tokens for run in runs]
    asked, answered = query[: sum(asking)].split(asking), out[: sum(asking)].split(asking)
    given = key_value[: sum(tokens)].split(tokens)
    for run, part, states, answer in zip(runs, asked, given, answered, strict=True):
        answer.copy_(_attend(attend, heads, part, states, run))
    return out


def _attend(
    attend: Attend, heads: int, query: torch.Tensor, key_value: torch.Tensor, run: Run
) -> torch.Tensor:
    """Attention within each text of a run: ``[rows, heads * width]``."""
    # [tokens, 2 * heads * width] -> key and value, each [texts, heads, length, width]
    halves = key_value.view(run.texts, run.length, 2, heads, -1)
    key, value = halves.permute(2, 0, 3, 1, 4)

    # [rows, heads * width] -> [texts, heads, rows of a text, width]
    asking = query.view(run.texts, -1, heads, key.shape[-1]).transpose(1, 2)
    mixed = attend(asking, key, value)

    # [texts, heads, rows of a text, width] -> [rows, heads * width]
    return mixed.transpose(1, 2).reshape(len(query), -1)


def _inside(config: Any) -> str:
    """The activation between the products of the feed-forward, where they can take it in."""
    names = [getattr(config, name, None) for name in ("hidden_act", "activation")]
    return next((name for name in names if isinstance(name, str) and name in INSIDE), "none")


def _stay_few(*linears: Any) -> bool:
    """Whether stacking them all leaves it to each product's size whether few rows meet oneDNN."""
    sizes: list[int] = [linear.weight.numel() for linear in linears]
    return sum(sizes) <= SMALL or sum(sizes[1:]) > SMALL


def _check(*linears: nn.Module, bias: bool | None) -> None:
    """Raise AttributeError unless all are plain, and have a bias where ``bias`` is set."""
    for linear in linears:
        if type(linear) is not nn.Linear or (bias and linear.bias is None):
            raise AttributeError("a product is no plain nn.Linear" + " with a bias" * bool(bias))


def _rows(linear: nn.Linear, of: slice | torch.Tensor) -> nn.Linear:
    """Some outputs as a layer of their own, its weights shared where they follow each other."""
    weight = linear.weight.detach()[of]
    part: nn.Linear = nn.utils.skip_init(nn.Linear, linear.in_features, len(weight), bias=False)
    part.weight = nn.Parameter(weight, requires_grad=False)
    if linear.bias is not None:
        part.bias = nn.Parameter(linear.bias.detach()[of], requires_grad=False)
    return part


def _packed(
    packed: type[PackedLinear], *linears: nn.Module, activation: str = "none"
) -> PackedLinear:
    """The stacked layers, packed; the layer has checked that they are linear."""
    return packed(*linears, activation=activation)  # type: ignore[arg-type]  # checked by _check
