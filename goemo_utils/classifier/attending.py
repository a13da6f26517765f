"""How the tokens of texts of one length attend to each other, by family: what an unpadded layer
asks of its attention.

Each takes query ``[texts, heads, rows, width]``, key and value ``[texts, heads, length, width]``,
where ``rows`` is ``length``, or 1 for the first token of every text, and gives mixed values of the
query's shape. Nothing is padded, so no mask is needed but a family's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from goemo_utils.classifier.packed import PackingError

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# Tokens of a block that attends within a window: memory grows with a text's length, not its square.
BLOCK = 256
# Kinds of rotary positions whose angles do not depend on the length of the text.
FIXED_ANGLES = ("default", "linear", "yarn", "llama3", "proportional")


class Biased:
    """MPNet: a learned number a head and a distance, the same in every layer (arXiv 2004.09297)."""

    def __init__(self, encoder: Any, longest: int) -> None:
        # key's place - query's place, from -(longest - 1) to longest - 1
        distances = torch.arange(1 - longest, longest)
        buckets = encoder.relative_position_bucket(distances, num_buckets=32)
        # [distances, heads] -> [heads, distances]
        self.table = encoder.relative_attention_bias(buckets).detach().T.contiguous()
        self.middle = longest - 1

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        rows, length = query.shape[2], key.shape[2]
        # the first row looks ahead from 0 on, each later one from one place further back
        reached = self.table[:, self.middle - rows + 1 : self.middle + length]
        bias = reached.unfold(1, length, 1).flip(1)
        return scaled_dot_product_attention(query, key, value, attn_mask=bias[None])


class Disentangled:
    """DeBERTa-v2 and -v3: content to position and position to content (arXiv 2006.03654, section
    3.1). A layer's keys and queries of positions do not depend on the texts: they are computed
    once, and a run multiplies only those of the distances that it has.
    """

    def __init__(self, attention: Any, embeddings: torch.Tensor | None) -> None:
        kinds = attention.pos_att_type
        self.scale = 1 / math.sqrt(
            attention.attention_head_size * (1 + ("c2p" in kinds) + ("p2c" in kinds))
        )
        self.key: torch.Tensor | None = None
        self.query: torch.Tensor | None = None
        if embeddings is None or not attention.relative_attention:
            return

        self.span = attention.pos_ebd_size
        self.buckets = attention.position_buckets
        self.farthest = attention.max_relative_positions
        shared, heads = attention.share_att_key, attention.num_attention_heads
        with torch.inference_mode():
            places = embeddings[: 2 * self.span]
            if "c2p" in kinds:
                project = attention.key_proj if shared else attention.pos_key_proj
                self.key = _by_head(project(places), heads)
            if "p2c" in kinds:
                project = attention.query_proj if shared else attention.pos_query_proj
                self.query = _by_head(project(places), heads)

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        rows, length = query.shape[2], key.shape[2]
        bias = None
        if self.key is not None:
            bias = _shifted(query, self.key[:, self._places(length)], length)
        if self.query is not None:
            # a key asks from its own place, so its distances run the other way
            asked = self.query[:, self._places(length).flip(0)]
            turned = _shifted(key, asked, rows).transpose(2, 3)
            bias = turned if bias is None else bias + turned
        mask = None if bias is None else bias * self.scale
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale)

    def _places(self, length: int) -> torch.Tensor:
        """Rows of the position table for the distances length - 1 down to -(length - 1)."""
        return _places(length, self.buckets, self.farthest, self.span)


def _by_head(states: torch.Tensor, heads: int) -> torch.Tensor:
    # [places, heads * width] -> [heads, places, width]
    return states.view(len(states), heads, -1).transpose(0, 1).contiguous()


@lru_cache(maxsize=512)
def _places(length: int, buckets: int, farthest: int, span: int) -> torch.Tensor:
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    # query's place - key's place
    distances = torch.arange(length - 1, -length, -1)
    if buckets > 0 and farthest > 0:
        distances = make_log_bucket_position(distances, buckets, farthest).long()
    return (distances + span).clamp(0, 2 * span - 1)


def _shifted(states: torch.Tensor, positions: torch.Tensor, seen: int) -> torch.Tensor:
    """``[texts, heads, rows, seen]``: each row of ``states`` times the position of what it sees,
    the row's own place being the column length - 1, one column to the left for each later row.

    ``positions`` ``[heads, 2 * length - 1, width]``. A view reads the product at a slant.
    """
    texts, heads, rows, width = states.shape
    columns = positions.shape[1]
    # [texts, heads, rows, width] -> [heads, texts * rows, width]: few large products
    flat = states.transpose(0, 1).reshape(heads, texts * rows, width)
    product = torch.bmm(flat, positions.transpose(1, 2))

    shape = (texts, heads, rows, seen)
    strides = (rows * columns, texts * rows * columns, columns - 1, 1)
    return product.as_strided(shape, strides, (columns - 1) // 2)


class Rotary:
    """ModernBERT: places turn query and key, and in most layers only a window is seen (arXiv
    2412.13663, section 2.1).
    """

    def __init__(self, turns: Turns, window: int | None) -> None:
        self.turns, self.window = turns, window

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        query, key = self.turns(query), self.turns(key)
        if self.window is None or key.shape[2] <= self.window + 1:
            return scaled_dot_product_attention(query, key, value)

        parts = [
            _within(query, key, value, start, self.window)
            for start in range(0, query.shape[2], BLOCK)
        ]
        return torch.cat(parts, 2)


def _within(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, start: int, window: int
) -> torch.Tensor:
    """Attention of a block of query's rows from ``start`` on to what lies within ``window``."""
    block = query[:, :, start : start + BLOCK]
    first = max(0, start - window)
    last = min(key.shape[2], start + block.shape[2] + window)
    rows = torch.arange(start, start + block.shape[2])
    near = (rows[:, None] - torch.arange(first, last)).abs() <= window
    return scaled_dot_product_attention(
        block, key[:, :, first:last], value[:, :, first:last], attn_mask=near
    )


class Turns:
    """The rotation of every place, of one kind of layer; ``[places, width]`` each of cosine and
    sine, the sine's first half with the other sign.
    """

    def __init__(self, rotary: Any, kind: str, longest: int, dtype: torch.dtype) -> None:
        if rotary.rope_type[kind] not in FIXED_ANGLES:
            raise PackingError(
                f"its rotary positions are of the kind '{rotary.rope_type[kind]}', whose angles"
                " depend on the length of the text"
            )
        with torch.inference_mode():
            cosine, sine = rotary(torch.zeros(1, dtype=dtype), torch.arange(longest)[None], kind)
        self.cosine, self.sine = cosine[0], sine[0].clone()
        self.sine[:, : sine.shape[-1] // 2].neg_()

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """``[texts, heads, rows, width]``, the rows being the first places of a text."""
        rows, half = states.shape[2], states.shape[3] // 2
        halves_swapped = states.float().roll(half, -1)
        turned: torch.Tensor = states.float() * self.cosine[:rows]
        turned = turned + halves_swapped * self.sine[:rows]
        return turned.to(states.dtype)


def rotaries(base: Any, config: Any, dtype: torch.dtype) -> Callable[[str], Rotary]:
    """What gives the attention of a kind of ModernBERT's layers."""

    @cache
    def of(kind: str) -> Rotary:
        turns = Turns(base.rotary_emb, kind, config.max_position_embeddings, dtype)
        return Rotary(turns, config.sliding_window if kind == "sliding_attention" else None)

    return of
