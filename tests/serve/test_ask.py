"""What a request may say, and how it is refused when it says something else."""

import json

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.serve.ask import Ask, Refused, read
from goemo_utils.serve.limits import Limits

NAMES = ("inputs", "truncate", "threshold", "top_k", "model", "key")
LIMITS = Limits(texts=3)


def asked(body: object, media: str = "application/json") -> Ask:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(data, media, NAMES, LIMITS)


def test_a_text_and_a_list_of_texts_are_taken_and_told_apart() -> None:
    assert asked({"inputs": "a"}) == Ask(["a"], single=True)
    assert asked({"inputs": ["a"]}) == Ask(["a"], single=False)


def test_a_batch_may_be_written_as_text_embeddings_inference_writes_it() -> None:
    assert asked({"inputs": [["a"], ["b"]]}).texts == ["a", "b"]


def test_what_is_left_out_or_null_is_the_models_own() -> None:
    names = dict.fromkeys(NAMES[1:])
    assert asked({"inputs": "a", **names}) == Ask(["a"], single=True)


@pytest.mark.parametrize("media", ["", "application/json; charset=utf-8", "application/x+json"])
def test_json_is_known_by_its_media_types(media: str) -> None:
    assert asked({"inputs": "a"}, media).texts == ["a"]


def test_half_a_surrogate_pair_is_repaired_as_goemo_predict_repairs_it() -> None:
    assert asked(b'{"inputs": "a\\ud800b"}').texts == ["a\ufffdb"]


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"{", b"", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        asked(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the body is a list; expected an object"),
        ({}, "names no 'inputs'"),
        ({"inputs": []}, "empty list"),
        ({"inputs": None}, "'inputs' is null"),
        ({"inputs": {"a": 1}}, "'inputs' is an object"),
        ({"inputs": ["a", 3]}, "'inputs'[1] is a number"),
        ({"inputs": [["a", "b"]]}, "'inputs'[0] is a list"),
        ({"inputs": "a", "topk": 1}, "names 'topk', which is not known"),
        ({"inputs": "a", "top_k": 0}, "'top_k' is 0"),
        ({"inputs": "a", "top_k": True}, "'top_k' is true"),
        ({"inputs": "a", "top_k": 1.5}, "'top_k' is 1.5"),
        ({"inputs": "a", "top_k": float("inf")}, "'top_k' is inf"),
        ({"inputs": "a", "threshold": 0}, "'threshold' is 0"),
        ({"inputs": "a", "threshold": 1}, "'threshold' is 1"),
        ({"inputs": "a", "threshold": float("nan")}, "'threshold' is nan"),
        ({"inputs": "a", "threshold": "0.3"}, "'threshold' is '0.3'"),
        ({"inputs": "a", "truncate": 1}, "'truncate' is a number"),
        ({"inputs": "a", "key": ""}, "'key' is ''"),
        ({"inputs": "a", "key": "k" * 257}, "'key' is 'kkk"),
    ],
)
def test_what_is_wrong_is_refused_with_422_and_named(body: object, words: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(body)
    assert refused.value.status == 422
    assert words.lower() in str(refused.value).lower()
    assert "expected" in str(refused.value)


def test_a_refusal_is_ascii_and_short_whatever_was_sent() -> None:
    with pytest.raises(Refused) as refused:
        asked({"inputs": "a", "\ud800" + "名" * 10_000: 1})
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 300


def test_too_many_texts_are_refused_as_the_description_says() -> None:
    with pytest.raises(Refused) as refused:
        asked({"inputs": ["a"] * 4})
    assert refused.value.status == 422
    assert "at most 3" in str(refused.value)


def test_another_media_type_is_refused_with_415() -> None:
    with pytest.raises(Refused) as refused:
        asked({"inputs": "a"}, "text/plain")
    assert refused.value.status == 415


@pytest.mark.parametrize("name", ["body", "texts", "tokens", "queue", "seconds", "read_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_is_a_number_above_zero(name: str, value: float) -> None:
    with pytest.raises(ParamsError, match=f"The limit {name} is"):
        Limits(**{name: value})
