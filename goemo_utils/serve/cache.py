"""Exact answers of texts that were asked before, by the digest of the text and of the model.

BLAKE2 and not MD5: of MD5 two texts with one digest can be made, and the second would be given the
answer of the first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answer:
    """What the model says of one text: probabilities float32 [n_labels], its tokens, and whether
    it was cut.
    """

    probabilities: np.ndarray
    tokens: int
    truncated: bool


class Cache:
    """The most recently asked texts, at most ``entries`` of them; 0 keeps none.

    Answers of two models never mix: the model's digest is the key of the text's digest. Used by one
    thread.
    """

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.hits = self.misses = self.evictions = 0
        self._kept: OrderedDict[bytes, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, model: bytes, text: str) -> Answer | None:
        """The answer that ``model`` (a digest of at most 64 bytes) gave to this very text."""
        if not self.entries:
            return None
        key = _key(model, text)
        answer = self._kept.get(key)
        if answer is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return answer

    def put(self, model: bytes, text: str, answer: Answer) -> None:
        """Keep an answer, and let go the one that was asked for least recently."""
        if not self.entries:
            return
        self._kept[_key(model, text)] = answer
        if len(self._kept) > self.entries:
            self._kept.popitem(last=False)
            self.evictions += 1


def _key(model: bytes, text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8"), digest_size=32, key=model).digest()
