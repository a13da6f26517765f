"""How texts become the input of a model: what its tokenizer gives, what the model takes of that,
and on which side and whether it may be padded.

Every path of the package (runs, parity, bench, classifier, smoke) encodes and pads here, so that
one text has one input.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.records.pairs import PAIR, halves

if TYPE_CHECKING:
    import torch

PLAIN = ("input_ids", "attention_mask")
# What pads a field when the model's tokenizer does not say; input_ids are padded by its own token.
PADDING = {"attention_mask": 0, "token_type_ids": 0}
# What stands between a call of a fast tokenizer and the one beneath it, in transformers 4.57 and 5.
CALLS = (
    "__call__",
    "_call_one",
    "batch_encode_plus",
    "_encode_plus",
    "_batch_encode_plus",
    "_convert_encoding",
    "_get_padding_truncation_strategies",
    "_switch_to_input_mode",
    "set_truncation_and_padding",
)


class Tokens(list[int]):
    """The token ids of one text, with what else the tokenizer gives for them (``beside``: name to
    one value a token, as token_type_ids). Most models need nothing beside, and get plain lists.
    """

    beside: Mapping[str, list[Any]]

    def __init__(self, ids: Sequence[int], beside: Mapping[str, list[Any]]) -> None:
        super().__init__(ids)
        self.beside = beside


@dataclass(frozen=True)
class Inputs:
    """What a model takes.

    ``fields``: what it needs beside token ids and mask for single texts; ``pair_fields``: the same
    for pairs. ``pads``: whether a text's answer stays the same in padded company; otherwise texts
    of one length run together, and ``why`` says so in a sentence. ``single``: a batch is one text,
    for there is no token to pad with. ``least``: tokens that the model takes at least; shorter rows
    are padded to so many. ``end``: the token that the texts of a batch must hold equally often, as
    BART and T5 have it; None where a batch takes any.
    """

    tokenizer: Any
    fields: tuple[str, ...] = ()
    pair_fields: tuple[str, ...] = ()
    pads: bool = True
    why: str | None = None
    single: bool = False
    least: int = 1
    end: int | None = None

    @property
    def side(self) -> str:
        """The side of padding, "right" or "left", as the tokenizer says."""
        return str(getattr(self.tokenizer, "padding_side", "right"))

    def encode(self, texts: Sequence[str], max_length: int | None) -> list[list[int]]:
        """Token ids of each text (or pair), truncated to ``max_length`` and not padded; whole with
        None.
        """
        if not texts:
            return []
        pairs = [PAIR in text for text in texts]
        if any(pairs) and not all(pairs):
            return [self.encode([text], max_length)[0] for text in texts]
        beneath = beneath_of(self.tokenizer, max_length)
        if beneath is not None and not any(pairs) and not self.fields:
            return [encoding.ids for encoding in beneath.encode_batch_fast(list(texts))]

        cut = {"truncation": True, "max_length": max_length} if max_length else {"verbose": False}
        if any(pairs):
            first, second = zip(*(halves(text) for text in texts), strict=True)
            given = self.tokenizer(list(first), list(second), padding=False, **cut)
        else:
            given = self.tokenizer(list(texts), padding=False, **cut)

        ids: list[list[int]] = given["input_ids"]
        wanted = self.pair_fields if any(pairs) else self.fields
        fields = [name for name in wanted if name in given]
        if not fields:
            return ids
        return [Tokens(row, {name: given[name][i] for name in fields}) for i, row in enumerate(ids)]

    def pad(self, rows: Sequence[Sequence[int]], to: int = 0) -> dict[str, np.ndarray]:
        """One batch, padded to its longest row, or to ``to`` where that is more: int64
        ``[rows, width]`` by name of the input.

        Padding here instead of in the tokenizer leaves the tokenizer's shared padding state alone.
        """
        width = max(self.least, to, *(len(row) for row in rows))
        # Pairs of texts may need more than single texts beside them do.
        beside = dict.fromkeys(name for row in rows for name in beside_of(row))
        if any(name not in PADDING for name in beside):
            return self._padded_by_tokenizer(rows, width, list(beside))

        ids = filled(rows, self.tokenizer.pad_token_id or 0, width, self.side)
        mask = filled([[1] * len(row) for row in rows], 0, width, self.side)
        batch = {"input_ids": ids, "attention_mask": mask}
        for name in beside:
            filler = getattr(self.tokenizer, "pad_token_type_id", PADDING[name])
            given = [_given(row, name) for row in rows]
            batch[name] = filled(given, filler, width, self.side)
        return batch

    def tensors(self, rows: Sequence[Sequence[int]], to: int = 0) -> dict[str, torch.Tensor]:
        """As ``pad``, as tensors on the CPU."""
        import torch

        return {name: torch.from_numpy(array) for name, array in self.pad(rows, to).items()}

    def batches(
        self, rows: Sequence[Sequence[int]], size: int, to: int = 0
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Consecutive padded batches of at most ``size`` rows, in order; cut where the length
        changes for a model that is not padded.
        """
        lengths = [len(row) for row in rows]
        for start in range(0, len(rows), size):
            whole = [list(range(start, min(start + size, len(rows))))]
            for run in self.apart(whole, lengths):
                for alike in self.neighbours(run, rows):
                    yield self.tensors([rows[i] for i in alike], to if self.pads else 0)

    def ends(self, row: Sequence[int]) -> int:
        """How many of the tokens that a batch must agree in the row holds; 0 where none must."""
        return 0 if self.end is None else list(row).count(self.end)

    def neighbours(
        self, batch: Sequence[int], rows: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """The batch (positions in ``rows``), cut where the number of ends changes."""
        for _, run in itertools.groupby(batch, key=lambda i: self.ends(rows[i])):
            yield list(run)

    def alike(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """The positions of rows that may share a batch, in order; nearly always one group."""
        if self.end is None:
            return [list(range(len(rows)))]
        groups: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(self.ends(row), []).append(i)
        return list(groups.values())

    def apart(self, batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
        """The batches (positions in ``lengths``), cut into neighbours of one length for a model
        that is not padded.
        """
        if self.pads:
            return [list(batch) for batch in batches]

        cut: list[list[int]] = []
        for batch in batches:
            before = -1
            for i in batch:
                if self.single or lengths[i] != before:
                    cut.append([])
                    before = lengths[i]
                cut[-1].append(i)

        return cut

    def _padded_by_tokenizer(
        self, rows: Sequence[Sequence[int]], width: int, beside: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """For inputs of other shapes, such as MarkupLM's paths: only its tokenizer knows them."""
        given = {"input_ids": [list(row) for row in rows]}
        for name in beside:
            given[name] = [_given(row, name) for row in rows]
        padded = self.tokenizer.pad(
            given, padding="max_length", max_length=width, return_tensors="np"
        )
        return {name: np.asarray(array, dtype=np.int64) for name, array in padded.items()}


def filled(
    rows: Sequence[Sequence[int]], filler: int, width: int, side: str = "right"
) -> np.ndarray:
    """The rows in an int64 array ``[rows, width]``, the rest of each filled on ``side``."""
    array = np.full((len(rows), width), filler, dtype=np.int64)
    for i, row in enumerate(rows):
        if side == "left":
            array[i, width - len(row) :] = row
        else:
            array[i, : len(row)] = row
    return array


def beside_of(row: Sequence[int]) -> Mapping[str, list[Any]]:
    """What else a row carries; nothing for plain ids."""
    return row.beside if isinstance(row, Tokens) else {}


def _given(row: Sequence[int], name: str) -> list[Any]:
    """What a row carries by that name, one value a token; zeros where it needs none, as a single
    text in the company of pairs.
    """
    return beside_of(row).get(name, [0] * len(row))


def beneath_of(tokenizer: Any, max_length: int | None) -> Any | None:
    """The tokenizer beneath a fast one, where asking it is all that a call of the fast one with
    this truncation would do: the call is transformers' own, and would leave the state of the one
    beneath as it is. None elsewhere, as at the first call with another ``max_length``.

    For one short text transformers' call takes several times as long as what is beneath it.
    """
    kind: Any = type(tokenizer)
    if max_length is None or not _calls_beneath(kind):
        return None
    beneath = tokenizer.backend_tokenizer
    wanted = {
        "max_length": max_length,
        "stride": 0,
        "strategy": "longest_first",
        "direction": tokenizer.truncation_side,
    }
    as_asked = (
        beneath.truncation == wanted
        and beneath.padding is None
        and beneath.encode_special_tokens == tokenizer.split_special_tokens
    )
    return beneath if as_asked else None


@cache
def _calls_beneath(kind: Any) -> bool:
    """Whether a class of tokenizers is a fast one that changes nothing of transformers' call."""
    from transformers import PreTrainedTokenizerFast

    if not issubclass(kind, PreTrainedTokenizerFast):
        return False
    own = [getattr(kind, name) for name in CALLS if hasattr(kind, name)]
    return all(call.__module__.startswith("transformers.tokenization_utils") for call in own)


def real_states(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states of real tokens, ``[tokens, features]``, from ``[texts, width, features]``.

    A model that pools or pads inside (Funnel, BigBird) has states of another width than its input:
    they have no token to belong to, and are compared whole.
    """
    if states.shape[:2] == mask.shape:
        return states[mask]
    return states.flatten(0, -2)


def hidden_states(output: Any) -> list[torch.Tensor]:
    """The hidden states of a model's output, first layer first; none where it gives none."""
    return list(output.get("hidden_states") or ())
