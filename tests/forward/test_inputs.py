"""Texts become a model's input in one way, however they are tokenised."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from goemo_utils.forward.inputs import Inputs, beneath_of
from goemo_utils.records.step import EMBEDDED
from goemo_utils.texts.builtin import BUILTIN, STRESS

LIMIT = 64


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(EMBEDDED)


def test_the_tokenizer_beneath_gives_the_ids_of_the_call(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    texts = [*BUILTIN, *STRESS[:20], "</s> <pad>"]
    called = tokenizer(texts, truncation=True, max_length=LIMIT)["input_ids"]
    assert beneath_of(tokenizer, LIMIT) is not None
    assert Inputs(tokenizer).encode(texts, LIMIT) == called


def test_the_first_call_and_one_with_another_limit_go_through_transformers(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert beneath_of(tokenizer, LIMIT) is None
    Inputs(tokenizer).encode(["a text"], LIMIT)
    assert beneath_of(tokenizer, LIMIT) is not None
    assert beneath_of(tokenizer, LIMIT - 1) is None
    assert beneath_of(tokenizer, None) is None


def test_padding_that_was_left_set_goes_through_transformers(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokenizer(["a text"], truncation=True, max_length=LIMIT, padding="max_length")
    assert beneath_of(tokenizer, LIMIT) is None
    assert len(Inputs(tokenizer).encode(["a text"], LIMIT)[0]) < LIMIT


def test_another_side_or_other_special_tokens_go_through_transformers(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    for name, value in (("truncation_side", "left"), ("split_special_tokens", True)):
        Inputs(tokenizer).encode(["a text"], LIMIT)
        setattr(tokenizer, name, value)
        assert beneath_of(tokenizer, LIMIT) is None
        called = tokenizer(["</s> good " * 50], truncation=True, max_length=LIMIT)["input_ids"]
        assert Inputs(tokenizer).encode(["</s> good " * 50], LIMIT) == called


def test_a_tokenizer_with_a_call_of_its_own_is_called(tokenizer: PreTrainedTokenizerFast) -> None:
    class Own(type(tokenizer)):
        def _encode_plus(self, *given, **settings):
            return super()._encode_plus(*given, **settings)

    Inputs(tokenizer).encode(["a text"], LIMIT)
    tokenizer.__class__ = Own
    assert beneath_of(tokenizer, LIMIT) is None
