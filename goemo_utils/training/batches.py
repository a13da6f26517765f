"""Batches of a fine-tuning: token ids with their targets, padded as the tokenizer pads, texts of
similar length together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from goemo_utils.forward.inputs import Inputs

# Batches are cut from this many times their size of shuffled texts, sorted by length: little
# padding, and still random company.
POOL = 30


class Examples(Dataset[dict[str, Any]]):
    """Token ids and targets: item i is {"input_ids": list of ids, "labels": float32 [n_labels]}."""

    def __init__(self, rows: list[list[int]], targets: np.ndarray) -> None:
        self.rows, self.targets = rows, torch.from_numpy(np.asarray(targets, np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.rows[index], "labels": self.targets[index]}


class Padding:
    """The collator: pads texts as the model's inputs are padded everywhere, and stacks the targets.
    It changes nothing of the tokenizer.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self._inputs.tensors([example["input_ids"] for example in examples])
        return {**batch, "labels": torch.stack([example["labels"] for example in examples])}


class ByLength(Sampler[int]):
    """Every text once an epoch, so that consecutive ``batch_size`` ones are of similar length; in
    order of length with ``shuffle`` off.

    The order depends on the seed and the epoch alone, so a resumed epoch is the epoch that was
    interrupted. transformers' own sampler by length draws from the global generator and cannot
    promise that.
    """

    def __init__(
        self, lengths: list[int], batch_size: int, seed: int = 0, shuffle: bool = True
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.shuffle, self.epoch = (
            np.array(lengths),
            batch_size,
            seed,
            shuffle,
            0,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate at the start of each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(np.argsort(self.lengths, kind="stable").tolist())

        rng, size = np.random.default_rng([self.seed, self.epoch]), self.batch_size
        order, batches = rng.permutation(len(self)), []
        for start in range(0, len(order), size * POOL):
            pool = order[start : start + size * POOL]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]

        # A batch that is not full goes last, or it would shift the borders of those behind it.
        full = [batch for batch in batches if len(batch) == size]
        rest = [batch for batch in batches if len(batch) < size]

        return iter(
            np.concatenate([*(full[i] for i in rng.permutation(len(full))), *rest]).tolist()
        )
