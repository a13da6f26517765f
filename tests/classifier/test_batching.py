"""Batches cover every text once, respect the budget, and come back in input order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.classifier import batching

LENGTHS = st.lists(st.integers(min_value=0, max_value=600), max_size=200)


@given(LENGTHS, st.integers(min_value=1, max_value=2048))
def test_every_text_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    batches = batching.token_budget_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, st.integers(min_value=1, max_value=2048))
def test_the_budget_is_exceeded_only_by_a_text_that_is_longer_than_it(
    lengths: list[int], budget: int
) -> None:
    for batch in batching.token_budget_batches(lengths, budget):
        tokens = len(batch) * max(lengths[i] for i in batch)
        assert tokens <= budget or len(batch) == 1


@given(
    st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=200),
    st.integers(min_value=60, max_value=600),
)
def test_a_batch_is_closed_only_when_one_more_text_would_not_fit(
    lengths: list[int], budget: int
) -> None:
    batches = batching.token_budget_batches(lengths, budget)
    short = [
        batch
        for batch in batches
        if (len(batch) + 1) * batching.width(max(lengths[i] for i in batch)) <= budget
    ]
    # Only what is left in the end may be smaller: one batch, or pieces of powers of two, each size
    # once.
    assert short == batches[len(batches) - len(short) :]
    assert len(short) <= 1 or len({len(batch) for batch in short}) == len(short)


def test_a_stream_of_every_length_meets_few_shapes() -> None:
    """Libraries keep memory for every shape: without a bound a stream would need more memory the
    longer it is.
    """
    rng = np.random.default_rng(0)
    shapes = set()
    for _ in range(60):
        lengths = np.minimum(512, rng.geometric(0.02, size=400) + 2).tolist()
        shapes |= {
            (len(batch), batching.width(max(lengths[i] for i in batch)))
            for batch in batching.token_budget_batches(lengths, 512)
        }
    assert len(shapes) < 120


@given(st.integers(min_value=1, max_value=100_000))
def test_a_width_holds_its_text_and_adds_an_eighth_at_most(length: int) -> None:
    assert length <= batching.width(length) <= max(32, length * 1.125)
    assert length > 32 or batching.width(length) == length


def test_there_are_eight_widths_an_octave() -> None:
    assert (
        len({batching.width(n) for n in range(65, 129)})
        == len({batching.width(n) for n in range(257, 513)})
        == 8
    )
    assert batching.width(512) == 512


def test_a_few_batches_keep_their_last_one_whole() -> None:
    assert [len(batch) for batch in batching.token_budget_batches([10] * 21, 70)] == [7, 7, 7]
    assert [len(batch) for batch in batching.token_budget_batches([10] * 20, 70)] == [7, 7, 6]
    assert [len(batch) for batch in batching.token_budget_batches([10] * 69, 70)][-3:] == [7, 4, 2]


def test_padding_share_of_known_batches() -> None:
    assert batching.padding_share([2, 4], [[0, 1]]) == pytest.approx(0.25)
    assert batching.padding_share([2, 4], [[0], [1]]) == 0.0
    assert batching.padding_share([2, 4], [[0], [1]], to=lambda longest: 4) == pytest.approx(0.25)
    assert batching.padding_share([], []) == 0.0


@given(st.data(), st.integers(min_value=1, max_value=32), st.integers(min_value=1, max_value=8))
def test_sorting_by_length_never_pads_more_than_input_order(
    data: st.DataObject, batch_size: int, batches: int
) -> None:
    # Full batches only: a short last one can cost a row of padding either way (lengths 1, 1, 2 in
    # batches of 2).
    count = batch_size * batches
    lengths = data.draw(
        st.lists(st.integers(min_value=1, max_value=60), min_size=count, max_size=count)
    )
    plain = batching.padding_share(lengths, batching.fixed_batches(len(lengths), batch_size))
    by_length = batching.padding_share(lengths, batching.sorted_batches(lengths, batch_size))
    assert by_length <= plain + 1e-12


@given(LENGTHS, st.integers(min_value=1, max_value=512))
def test_scatter_undoes_the_order_of_the_batches(lengths: list[int], budget: int) -> None:
    batches = batching.token_budget_batches(lengths, budget)
    rows = [np.array([[i, lengths[i]] for i in batch], dtype=np.float32) for batch in batches]
    out = batching.scatter(batches, rows, len(lengths), 2)
    assert out.tolist() == [[i, length] for i, length in enumerate(lengths)]


def test_a_text_that_no_batch_answered_stays_nan_and_not_zero() -> None:
    out = batching.scatter([[1]], [np.zeros((1, 2))], 2, 2)
    assert np.isnan(out[0]).all()


@given(st.lists(st.text(max_size=20), max_size=50), st.integers(1, 10), st.integers(1, 40))
def test_chunks_keep_the_order_and_the_limits(
    texts: list[str], max_texts: int, max_characters: int
) -> None:
    parts = list(batching.chunks(iter(texts), max_texts, max_characters))
    assert [text for part in parts for text in part] == texts
    for part in parts:
        assert 0 < len(part) <= max_texts
        assert sum(len(text) for text in part[:-1]) < max_characters


def test_chunks_read_no_further_than_they_must() -> None:
    read: list[int] = []

    def source():
        for i in range(100):
            read.append(i)
            yield "x"

    next(batching.chunks(source(), max_texts=4))
    assert len(read) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda: batching.token_budget_batches([1], 0),
        lambda: batching.end_to_end_batches([1], 0),
        lambda: batching.fixed_batches(1, 0),
    ],
)
def test_a_budget_or_batch_size_below_one_is_refused(call) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        call()


@given(LENGTHS, st.integers(min_value=1, max_value=2048), st.integers(min_value=1, max_value=8))
def test_end_to_end_batches_hold_every_text_once_within_the_budget_longest_first(
    lengths: list[int], budget: int, at_once: int
) -> None:
    batches = batching.end_to_end_batches(lengths, budget, at_once)
    order = [i for batch in batches for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    assert all(
        batch and (sum(lengths[i] for i in batch) <= budget or len(batch) == 1) for batch in batches
    )


def full_batches(lengths: list[int], budget: int) -> int:
    """How many batches there are when each takes all that fits, longest first."""
    held = [0]
    for length in sorted(lengths, reverse=True):
        held = [*held, length] if held[-1] + length > budget else [*held[:-1], held[-1] + length]
    return len(held)


def test_end_to_end_batches_are_as_few_as_full_ones_and_hold_about_as_many_tokens_each() -> None:
    assert batching.end_to_end_batches([4, 3, 2, 2, 1], 7) == [[0, 1], [2, 3, 4]]
    assert [len(batch) for batch in batching.end_to_end_batches([10] * 21, 100)] == [7, 7, 7]
    assert [len(batch) for batch in batching.end_to_end_batches([60] * 4, 100)] == [1, 1, 1, 1]
    assert [len(batch) for batch in batching.end_to_end_batches([0] * 5, 100)] == [5]
    lengths = np.minimum(60, np.random.default_rng(0).geometric(0.05, size=2048) + 2).tolist()
    batches = batching.end_to_end_batches(lengths, 1024)
    assert len(batches) == full_batches(lengths, 1024)
    assert np.ptp([sum(lengths[i] for i in batch) for batch in batches]) < 60


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
@pytest.mark.parametrize("n_texts", [40, 300, 2048])
def test_batches_that_run_side_by_side_come_out_even(at_once: int, n_texts: int) -> None:
    lengths = np.minimum(60, np.random.default_rng(0).geometric(0.05, size=n_texts) + 2).tolist()
    batches = batching.end_to_end_batches(lengths, 1024, at_once)
    assert len(batches) % at_once == 0
    assert 0 <= len(batches) - full_batches(lengths, 1024) < at_once
    assert sorted(i for batch in batches for i in batch) == list(range(n_texts))
    assert np.ptp([sum(lengths[i] for i in batch) for batch in batches]) < 60


def test_a_stream_of_short_texts_meets_few_numbers_of_rows_end_to_end() -> None:
    """oneDNN keeps kernels for every number of rows; with full batches and a rest this stream would
    meet over forty of them, the more the longer it is.
    """
    rng = np.random.default_rng(0)
    rows = set()
    for _ in range(60):
        lengths = np.minimum(60, rng.geometric(0.06, size=2048) + 2).tolist()
        rows |= {
            -(-sum(lengths[i] for i in batch) // 16)
            for batch in batching.end_to_end_batches(lengths, 1024)
        }
    assert len(rows) <= 8
