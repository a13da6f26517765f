"""How the tokens of texts of one length attend to each other, by family: what an unpadded layer
asks of its attention.

Each takes query ``[texts, heads, rows, width]``, key and value ``[texts, heads, length, width]``,
where ``rows`` is ``length``, or 1 for the first token of every text, and gives mixed values of the
query's shape. Nothing is padded, so no mask is needed but a family's own. Each says, too, what the
interpreted form of the layers takes in its place (``attention_functions``).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

from goemo_utils.classifier.packed import PackingError

# Tokens of a block that attends within a window: memory grows with a text's length, not its square.
BLOCK = 256
# Kinds of rotary positions whose angles do not depend on the length of the text.
FIXED_ANGLES = ("default", "linear", "yarn", "llama3", "proportional")


class Attend(Protocol):
    """What a layer asks of its attention."""

    kind: str
    """Its functions' name in ``attention_functions.KINDS``."""
    longest: int
    """Tokens of the longest text that those take."""
    tables: list[torch.Tensor]
    reach: int
    """A number of tokens; each kind says which."""

    def scale(self, width: int) -> float:
        """What scores of heads of this width are multiplied by."""

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor: ...


class Plain:
    """Attention that knows no places, as BERT's."""

    kind = "plain"
    longest = sys.maxsize
    reach = 0

    def __init__(self) -> None:
        self.tables: list[torch.Tensor] = []

    def scale(self, width: int) -> float:
        return 1 / math.sqrt(width)

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return scaled_dot_product_attention(query, key, value)


class Biased(Plain):
    """MPNet: a learned number a head and a distance, the same in every layer (arXiv 2004.09297).

    ``reach``: the longest text's last place.
    """

    kind = "biased"

    def __init__(self, encoder: Any, longest: int) -> None:
        # key's place - query's place, from -(longest - 1) to longest - 1
        distances = torch.arange(1 - longest, longest)
        buckets = encoder.relative_position_bucket(distances, num_buckets=32)
        # [distances, heads] -> [heads, distances]
        table = encoder.relative_attention_bias(buckets).detach().T.contiguous()
        self.tables = [table]
        self.longest, self.reach = longest, longest - 1

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        rows, length = query.shape[2], key.shape[2]
        # the first row looks ahead from 0 on, each later one from one place further back
        reached = self.tables[0][:, self.reach - rows + 1 : self.reach + length]
        bias = reached.unfold(1, length, 1).flip(1)
        return scaled_dot_product_attention(query, key, value, attn_mask=bias[None])


class Disentangled(Plain):
    """DeBERTa-v2 and -v3: content to position and position to content (arXiv 2006.03654, section
    3.1). A layer's keys and queries of positions do not depend on the texts: they are computed
    once, and a run multiplies only those of the distances that it has.

    ``tables``: keys ``[heads, places, width]`` from the farthest place ahead to that behind, and
    their rows for the distances of the longest text; queries the other way round, and theirs; each
    empty where the model has none. ``reach``: up to so many tokens the rows follow each other.
    """

    kind = "disentangled"

    def __init__(self, attention: Any, embeddings: torch.Tensor | None) -> None:
        kinds = attention.pos_att_type
        self._scale: float = 1 / math.sqrt(
            attention.attention_head_size * (1 + ("c2p" in kinds) + ("p2c" in kinds))
        )
        none = torch.empty(0)
        self.tables = [none] * 4
        self.longest, self.reach = sys.maxsize, 0
        if embeddings is None or not attention.relative_attention:
            return

        self.span = attention.pos_ebd_size
        self.buckets = attention.position_buckets
        self.longest = attention.max_relative_positions
        shared, heads = attention.share_att_key, attention.num_attention_heads
        keys = queries = none
        with torch.inference_mode():
            places = embeddings[: 2 * self.span]
            if "c2p" in kinds:
                project = attention.key_proj if shared else attention.pos_key_proj
                keys = _by_head(project(places) * self._scale, heads).flip(1)
            if "p2c" in kinds:
                project = attention.query_proj if shared else attention.pos_query_proj
                queries = _by_head(project(places) * self._scale, heads)
        key_rows, query_rows = self._rows(self.longest)
        self.tables = [keys, key_rows, queries, query_rows]
        self.reach = _following(key_rows)

    def scale(self, width: int) -> float:
        return self._scale

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        rows, length = query.shape[2], key.shape[2]
        keys, _, queries, _ = self.tables
        bias = None
        if len(keys):
            bias = _shifted(query, keys[:, self._rows(length)[0]], length)
        if len(queries):
            # a key asks from its own place, so its distances run the other way
            turned = _shifted(key, queries[:, self._rows(length)[1]], rows).transpose(2, 3)
            bias = turned if bias is None else bias + turned
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=self._scale)

    def _rows(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the keys for the distances length - 1 down to -(length - 1), and of the queries
        for those the other way round.
        """
        places = _places(length, self.buckets, self.longest, self.span)
        return 2 * self.span - 1 - places, places.flip(0)


def _by_head(states: torch.Tensor, heads: int) -> torch.Tensor:
    # [places, heads * width] -> [heads, places, width]
    return states.view(len(states), heads, -1).transpose(0, 1).contiguous()


def _following(rows: torch.Tensor) -> int:
    """Tokens of the longest text whose distances have rows that follow each other."""
    middle = len(rows) // 2
    follows = rows - rows[middle] == torch.arange(-middle, middle + 1)
    either = follows[middle:] & follows[: middle + 1].flip(0)
    return int(either.cumprod(0).sum())


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


class Rotary(Plain):
    """ModernBERT: places turn query and key, and in most layers only a window is seen (arXiv
    2412.13663, section 2.1).

    ``tables``: the turns of every place ``[places, width / 2]``, complex; the two numbers that turn
    together are expected side by side (``paired``). ``reach``: the window to either side.
    """

    kind = "rotary"

    def __init__(self, turns: torch.Tensor, window: int) -> None:
        self.tables = [turns]
        self.longest, self.reach = len(turns), window

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        query, key = _turned(query, self.tables[0]), _turned(key, self.tables[0])
        if key.shape[2] <= self.reach + 1:
            return scaled_dot_product_attention(query, key, value)

        parts = [
            _within(query, key, value, start, self.reach)
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


def _turned(states: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """``[texts, heads, rows, width]``, the rows being the first places of a text."""
    pairs = torch.view_as_complex(states.float().unflatten(3, (-1, 2)))
    turned = torch.view_as_real(pairs * turns[: states.shape[2]])
    return turned.flatten(3).to(states.dtype)


def paired(outputs: int, heads: int) -> torch.Tensor:
    """The order of a product's outputs in which the two that turn together, which the model has
    half a head apart, lie side by side.
    """
    return torch.arange(outputs).view(heads, 2, -1).transpose(1, 2).reshape(-1)


def _turns(rotary: Any, kind: str, longest: int, dtype: torch.dtype) -> torch.Tensor:
    """The rotation of every place, of one kind of layer."""
    if rotary.rope_type[kind] not in FIXED_ANGLES:
        raise PackingError(
            f"its rotary positions are of the kind '{rotary.rope_type[kind]}', whose angles"
            " depend on the length of the text"
        )
    with torch.inference_mode():
        cosine, sine = rotary(torch.zeros(1, dtype=dtype), torch.arange(longest)[None], kind)
        half = cosine.shape[-1] // 2
        return torch.complex(cosine[0, :, :half].float(), sine[0, :, :half].float())


def rotaries(base: Any, config: Any, dtype: torch.dtype) -> Callable[[str], Rotary]:
    """What gives the attention of a kind of ModernBERT's layers."""

    @cache
    def of(kind: str) -> Rotary:
        longest = config.max_position_embeddings
        turns = _turns(base.rotary_emb, kind, longest, dtype)
        window = config.local_attention // 2 if kind == "sliding_attention" else longest
        return Rotary(turns, window)

    return of
