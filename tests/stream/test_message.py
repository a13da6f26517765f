"""A message as text, and an answer as a message."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.classifier.classifier import Prediction
from goemo_utils.stream.message import BadMessage, Message, answer, encoded, key_text, parse

MESSAGE = Message("comments", 2, 17, b"user-1", b"hello", 1_700_000_000_000)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        ("两".encode(), "两"),
        (b'{"text": "inside"}', "inside"),
        (b' {"text": "", "more": [1]}', ""),
        (b'"quoted"', '"quoted"'),
        (b"[1]", "[1]"),
    ],
)
def test_the_text_is_the_field_of_an_object_or_the_message_itself(value: bytes, text: str) -> None:
    assert parse(value) == text


def test_another_field_may_be_named() -> None:
    assert parse(b'{"body": "a", "text": "b"}', "body") == "a"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"\xff\xfe", "utf-8"),
        (b"{half", "json"),
        (b"{" * 100_000, "json"),
        (b'{"other": "a"}', "field"),
        (b'{"text": 3}', "field"),
        (b'{"text": null}', "field"),
    ],
)
def test_a_message_without_a_text_is_told_by_its_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(BadMessage) as told:
        parse(value)
    assert told.value.reason == reason


@given(st.binary())
def test_any_bytes_are_a_text_or_a_bad_message(value: bytes) -> None:
    try:
        assert isinstance(parse(value), str)
    except BadMessage as error:
        assert error.reason in ("utf-8", "json", "field")


def test_the_id_is_the_place_of_the_message() -> None:
    assert MESSAGE.id == "comments/2/17"


def test_an_answer_has_labels_key_and_what_is_said_of_the_model() -> None:
    row = np.array([0.9, 0.1], dtype=np.float32)
    prediction = Prediction(0, "half \ud83d", [("joy", 0.9)], row, False, False)
    made = json.loads(encoded(answer(MESSAGE, prediction, {"model": "abc"})))
    assert made == {
        "id": "comments/2/17",
        "key": "user-1",
        "text": "half ?",
        "labels": [{"label": "joy", "probability": 0.9}],
        "truncated": False,
        "empty": False,
        "model": "abc",
    }


@pytest.mark.parametrize(("key", "text"), [(None, ""), (b"a", "a"), (b"\xff\x00", "ff00")])
def test_a_key_is_shown_in_words(key: bytes | None, text: str) -> None:
    assert key_text(key) == text
