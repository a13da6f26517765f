"""A sealed arithmetic: the device computes as its words say, and no record says them."""

from __future__ import annotations

import pytest

from goemo_utils.errors import DeviceError
from goemo_utils.forward.remedy import remedied
from goemo_utils.params import Params
from goemo_utils.rehearsal import NUMERICS, parse_numerics
from goemo_utils.rehearsal.seal import seal, unseal

WORDS = "hf32+tanh_gelu+reorder+ulp"


@pytest.mark.parametrize("words", [*NUMERICS, WORDS])
def test_a_token_means_its_words_and_does_not_show_them(words: str) -> None:
    token = seal(words, 5)
    assert unseal(token) == words
    assert words not in token
    assert len(token) == len(seal("exact", 5))


def test_the_same_words_have_another_token_with_another_salt() -> None:
    assert seal(WORDS, 1)[20:] != seal(WORDS, 2)[20:]


def test_a_sealed_arithmetic_computes_as_its_words_and_is_named_by_its_token() -> None:
    token, plain = seal(WORDS, 3), parse_numerics(WORDS)
    sealed = parse_numerics(token)
    assert sealed.text == token
    assert (sealed.matmul, sealed.tanh_gelu, sealed.ulp) == (plain.matmul, True, plain.ulp)


def test_a_parameter_keeps_the_token() -> None:
    token = seal(WORDS, 3)
    asked = {"device": "rehearsal", "rehearsal_numerics": token}
    assert Params.load(None, asked).rehearsal_numerics == token


def test_a_remedy_leaves_a_token_of_what_is_left() -> None:
    token = seal(WORDS, 3)
    left = remedied(token, "erf_gelu")
    assert unseal(left) == "hf32+reorder+ulp"
    assert remedied(token, "none") == token


def test_two_tokens_do_not_tell_whether_a_remedy_removed_anything() -> None:
    token = seal("hf32+reorder+ulp", 3)
    idle = remedied(token, "erf_gelu")
    assert unseal(idle) == "hf32+reorder+ulp"
    assert idle[20:] != token[20:]


@pytest.mark.parametrize("token", ["sealed-", "sealed-zz", "sealed-00112233", seal(WORDS, 1)[:-1]])
def test_a_damaged_token_is_refused_in_a_sentence(token: str) -> None:
    with pytest.raises(DeviceError, match="cannot be read; expected a token"):
        parse_numerics(token)


def test_words_that_a_token_cannot_hold_are_refused() -> None:
    with pytest.raises(DeviceError, match="expected at most 40"):
        seal("x" * 41, 1)
