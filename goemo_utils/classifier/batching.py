"""Batches of texts: sorted by length within a chunk, limited by a budget of tokens, and put back in
input order.

Pure functions on lengths and arrays; nothing here knows a tokenizer, a model or a device.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from goemo_utils.records.pairs import PAIR

# Streams of more batches than this split their last one: see token_budget_batches.
MANY = 8


def width(length: int) -> int:
    """The width to which a batch with a longest row of ``length`` is padded: 32 at most exactly,
    then eight widths an octave.

    Libraries keep kernels and buffers for every shape that they meet, about 2 MB each for a small
    model; so few widths keep memory bounded on streams of every length, for at most an eighth of
    padding on the longest row.
    """
    if length <= 32:
        return length
    step = 1 << ((length - 1).bit_length() - 4)
    return -(-length // step) * step


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts of similar length so that rows × width of the longest row of a batch stays within
    ``budget`` tokens.

    ``lengths`` are tokens per text. Returns lists of positions into ``lengths``: every position
    once, longest texts first, so that the largest batch comes first and a lack of memory shows at
    once. A text longer than the budget gets a batch of its own. The number of rows follows from the
    width, but for what is left in the end; on a long stream that rest would have another shape in
    every chunk, so it is split into powers of two.
    """
    if budget < 1:
        raise ValueError(f"The token budget is {budget}; it must be at least 1.")

    batches: list[list[int]] = []
    rows = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or len(batches[-1]) >= rows:
            batches.append([])
            # The first text of a batch is its longest, so it alone decides how many rows fit.
            rows = max(1, budget // max(1, width(lengths[position])))
        batches[-1].append(position)

    if len(batches) > MANY and len(batches[-1]) < rows:
        batches[-1:] = _powers_of_two(batches[-1])

    return batches


def end_to_end_batches(lengths: Sequence[int], budget: int, at_once: int = 1) -> list[list[int]]:
    """Group texts, longest first, so that the tokens of a batch stay within ``budget`` without
    padding; a longer text gets a batch of its own.

    The batches are as few as the budget allows (rarely one more), rounded up to a multiple of
    ``at_once``, the number that run side by side, and hold about as many tokens each. Full batches
    and a rest would cost as much, but the rest would have another number of tokens in every chunk
    of a stream, and oneDNN keeps half a megabyte for every product and number of rows it met.
    """
    if budget < 1:
        raise ValueError(f"The token budget is {budget}; it must be at least 1.")

    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    sizes = [lengths[i] for i in order]
    fewest = held = 0

    for size in sizes:
        held += size
        if not fewest or held > budget:
            fewest, held = fewest + 1, size

    fewest = -(-fewest // at_once) * at_once
    batches: list[list[int]] = []
    left, held, share = sum(sizes), 0, 0.0

    for position, size in zip(order, sizes, strict=True):
        if not batches or held + size / 2 > share or held + size > budget:
            left -= held
            share = left / (fewest - len(batches)) if len(batches) + 1 < fewest else budget
            batches.append([])
            held = 0
        batches[-1].append(position)
        held += size

    return batches


def _powers_of_two(batch: list[int]) -> list[list[int]]:
    """The batch cut into pieces of the powers of two in its own size, largest first."""
    pieces = []
    while batch:
        size = 1 << (len(batch).bit_length() - 1)
        pieces.append(batch[:size])
        batch = batch[size:]
    return pieces


def fixed_batches(n_texts: int, batch_size: int) -> list[list[int]]:
    """Cut ``n_texts`` positions into runs of ``batch_size`` in input order: what most published
    ports do.
    """
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}; it must be at least 1.")
    return [
        list(range(start, min(start + batch_size, n_texts)))
        for start in range(0, n_texts, batch_size)
    ]


def sorted_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut the texts, longest first, into runs of ``batch_size``: a fixed batch size with little
    padding.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    return [[order[i] for i in run] for run in fixed_batches(len(order), batch_size)]


def padding_share(
    lengths: Sequence[int],
    batches: Sequence[Sequence[int]],
    to: Callable[[int], int] = lambda longest: longest,
) -> float:
    """Share of the tokens computed that are padding: 1 - real tokens / (rows × width, summed over
    batches); ``to`` gives the width of a longest row.
    """
    computed = sum(len(batch) * to(max(lengths[i] for i in batch)) for batch in batches)
    if computed == 0:
        return 0.0
    return 1.0 - sum(lengths[i] for batch in batches for i in batch) / computed


def scatter(
    batches: Sequence[Sequence[int]], rows: Sequence[np.ndarray], n_texts: int, n_labels: int
) -> np.ndarray:
    """The rows of every batch at their input positions: float32 ``[n_texts, n_labels]``."""
    out = np.full((n_texts, n_labels), np.nan, dtype=np.float32)
    for batch, values in zip(batches, rows, strict=True):
        out[np.asarray(batch, dtype=np.intp)] = values
    return out


def chunks(
    texts: Iterable[str], max_texts: int = 2048, max_characters: int = 4_000_000
) -> Iterator[list[str]]:
    """Cut a stream of texts into lists of at most ``max_texts``, sooner where the texts are long.

    Lengths are sorted within a chunk, so larger chunks waste less padding; the limit on characters
    keeps memory bounded when single texts are huge.
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


def numbered(chunks: Iterable[list[str]], first: int) -> Iterator[tuple[int, list[str]]]:
    """Lists of texts, each with the place of its first text."""
    for chunk in chunks:
        yield first, chunk
        first += len(chunk)


def by_length(ids: Sequence[Sequence[int]]) -> list[int]:
    """The positions, shortest first."""
    return sorted(range(len(ids)), key=lambda i: len(ids[i]))


def pairs_apart(texts: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """The positions of single texts and of pairs, where there are both: BART and T5 take only texts
    of as many ends in one batch.
    """
    pairs = [i for i, text in enumerate(texts) if PAIR in text]
    if len(pairs) in (0, len(texts)):
        return None
    return [i for i, text in enumerate(texts) if PAIR not in text], pairs
