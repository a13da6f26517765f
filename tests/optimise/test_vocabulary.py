from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.vocabulary import smaller
from goemo_utils.params.home import PACKAGE

TEXT = (PACKAGE / "embedded" / "tokenizer.json").read_text(encoding="utf-8")
SAID = ["Thank you so much, my friend!", "naïve 日本語 \t x"]


@pytest.fixture(scope="module")
def cut() -> tuple[Tokenizer, Tokenizer, list[int]]:
    whole = Tokenizer.from_str(TEXT)
    wanted = {number for text in SAID for number in whole.encode(text).ids}
    told, old = smaller(json.loads(TEXT), wanted)
    return whole, Tokenizer.from_str(json.dumps(told)), old


def test_texts_of_kept_pieces_are_cut_as_before(cut) -> None:
    whole, less, old = cut
    for text in SAID:
        assert [old[number] for number in less.encode(text).ids] == whole.encode(text).ids
    assert less.get_vocab_size() == len(old) < 1000


def test_a_word_that_lost_its_piece_falls_into_smaller_ones(cut) -> None:
    whole, less, _ = cut
    text = "disappointment, unfortunately"
    assert len(less.encode(text).ids) > len(whole.encode(text).ids)
    assert less.decode(less.encode(text).ids).strip() == text


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(ParamsError, match="expected a BPE tokenizer, and this one is Unigram"):
        smaller({"model": {"type": "Unigram"}}, set())
