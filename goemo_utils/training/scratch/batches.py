"""Padded batches of token ids, grouped by length so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from goemo_utils.training.scratch.tokenizer import PAD_ID

# Batches are cut from this many times their size of shuffled texts, sorted by length: little
# padding, and still random company.
POOL = 30


def in_order(rows: list[list[int]], batch_size: int) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Every text once, shortest first: (row numbers [b], ids int64 [b, longest])."""
    order = np.argsort([len(row) for row in rows], kind="stable")
    for start in range(0, len(order), batch_size):
        yield _padded(rows, order[start : start + batch_size])


def shuffled(
    rows: list[list[int]], batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Every text once, in random batches of texts of similar length; the order depends on ``rng``
    alone.
    """
    lengths = np.array([len(row) for row in rows])
    order = rng.permutation(len(rows))
    batches = []

    for start in range(0, len(order), batch_size * POOL):
        pool = order[start : start + batch_size * POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]

    for i in rng.permutation(len(batches)):
        yield _padded(rows, batches[i])


def count(n_rows: int, batch_size: int) -> int:
    """How many batches one pass makes."""
    full, rest = divmod(n_rows, batch_size * POOL)
    return full * POOL + -(-rest // batch_size)


def _padded(rows: list[list[int]], chosen: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
    ids = np.full((len(chosen), max(len(rows[i]) for i in chosen)), PAD_ID, np.int64)
    for line, i in enumerate(chosen):
        ids[line, : len(rows[i])] = rows[i]
    return chosen, torch.from_numpy(ids)
