"""The cache gives back what was put in, of this text and this model, and stays small."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.serve.cache import Answer, Cache


def answer(value: float) -> Answer:
    return Answer(np.array([value], np.float32), 1, False)


def test_a_text_is_answered_again_and_counted() -> None:
    cache = Cache(10)
    assert cache.get(b"m", "a") is None
    cache.put(b"m", "a", answer(0.5))
    found = cache.get(b"m", "a")
    assert found is not None
    assert found.probabilities[0] == 0.5
    assert (cache.hits, cache.misses) == (1, 1)


def test_two_models_never_share_an_answer() -> None:
    cache = Cache(10)
    cache.put(b"one", "a", answer(0.5))
    assert cache.get(b"two", "a") is None


def test_the_answer_asked_for_least_recently_goes_first() -> None:
    cache = Cache(2)
    cache.put(b"m", "a", answer(1))
    cache.put(b"m", "b", answer(2))
    cache.get(b"m", "a")
    cache.put(b"m", "c", answer(3))
    assert cache.get(b"m", "b") is None
    assert cache.get(b"m", "a") is not None
    assert cache.evictions == 1
    assert len(cache) == 2


def test_a_cache_of_none_keeps_nothing_and_counts_nothing() -> None:
    cache = Cache(0)
    cache.put(b"m", "a", answer(1))
    assert cache.get(b"m", "a") is None
    assert (len(cache), cache.hits, cache.misses) == (0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from([b"m", b"n"]), st.sampled_from("abcdef")), max_size=60))
def test_what_it_gives_is_always_what_that_model_said_of_that_text(asked: list) -> None:
    cache = Cache(3)
    for model, text in asked:
        value = float(ord(text) + 100 * (model == b"n"))
        found = cache.get(model, text)
        assert found is None or found.probabilities[0] == value
        cache.put(model, text, answer(value))
        assert len(cache) <= 3
