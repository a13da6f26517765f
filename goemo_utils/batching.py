"""Batches of texts: sorted by length within a chunk, limited by a budget of tokens, and put back in input order.

Pure functions on lengths and arrays; nothing here knows a tokenizer, a model or a device.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts of similar length so that rows × longest row of a batch stays within ``budget`` tokens.

    ``lengths`` are tokens per text. Returns lists of positions into ``lengths``: every position once, longest texts first,
    so that the largest batch comes first and a lack of memory shows at once. A text longer than the budget gets a batch
    of its own.
    """
    if budget < 1:
        raise ValueError(f"The token budget is {budget}; it must be at least 1.")
    batches: list[list[int]] = []
    rows = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or len(batches[-1]) >= rows:
            batches.append([])
            # The first text of a batch is its longest, so it alone decides how many rows fit.
            rows = max(1, budget // max(1, lengths[position]))
        batches[-1].append(position)
    return batches


def fixed_batches(n_texts: int, batch_size: int) -> list[list[int]]:
    """Cut ``n_texts`` positions into runs of ``batch_size`` in input order: what most published ports do."""
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}; it must be at least 1.")
    return [list(range(start, min(start + batch_size, n_texts))) for start in range(0, n_texts, batch_size)]


def sorted_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut the texts, longest first, into runs of ``batch_size``: a fixed batch size with little padding."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [[order[i] for i in run] for run in fixed_batches(len(order), batch_size)]


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the tokens computed that are padding: 1 - real tokens / (rows × longest row, summed over batches)."""
    computed = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    if computed == 0:
        return 0.0
    return 1.0 - sum(lengths[i] for batch in batches for i in batch) / computed


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids on the right to the longest of them: ``(input_ids, attention_mask)``, int64 ``[rows, longest]``.

    Padding here instead of in the tokenizer leaves the tokenizer's shared padding state alone.
    """
    width = max(len(sequence) for sequence in sequences)
    ids = np.full((len(sequences), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(sequences), width), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


def scatter(batches: Sequence[Sequence[int]], rows: Sequence[np.ndarray], n_texts: int, width: int) -> np.ndarray:
    """Put the rows of every batch back at their input positions: float32 ``[n_texts, width]``."""
    out = np.full((n_texts, width), np.nan, dtype=np.float32)
    for batch, values in zip(batches, rows, strict=True):
        out[np.asarray(batch, dtype=np.intp)] = values
    return out


def chunks(texts: Iterable[str], max_texts: int = 2048, max_characters: int = 4_000_000) -> Iterator[list[str]]:
    """Cut a stream of texts into lists of at most ``max_texts``, sooner where the texts are long.

    Lengths are sorted within a chunk, so larger chunks waste less padding; the limit on characters keeps memory bounded
    when single texts are huge.
    """
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) >= max_texts or characters >= max_characters:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
