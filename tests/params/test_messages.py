"""Refusals name the key that was meant and never show what looks like a secret."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goemo_utils.params.messages import looks_secret
from tests.params.values import in_tmp, refusal, write


@in_tmp
@given(
    word=st.sampled_from(
        [
            "token",
            "hf_token",
            "HF_TOKEN",
            "api_key",
            "apiKey",
            "API-KEY",
            "password",
            "client_secret",
            "aws_access_key",
            "credentials",
        ]
    ),
    value=st.text("abcdefghijklmnop0123456789", min_size=12, max_size=40),
)
def test_a_key_that_looks_like_a_secret_is_refused_without_its_value(
    tmp_path: Path, word: str, value: str
) -> None:
    for message in (
        refusal(write(tmp_path, {word: value})),
        refusal(write(tmp_path, {word: {"value": value}})),
        refusal(None, {word: value}),
    ):
        assert word in message
        assert "environment variable" in message
        assert value not in message


@pytest.mark.parametrize(
    "value", ["hf_" + "a1" * 12, "https://me:pa55word@example.org/model", "sk-" + "b2" * 12]
)
@pytest.mark.parametrize("key", ["model", "revision", "texts", "modle", "batch_size"])
def test_a_value_that_looks_like_a_credential_is_never_shown(key: str, value: str) -> None:
    message = refusal(None, {key: value, "seed": -1})
    assert value not in message
    assert value[-10:] not in message


def test_words_about_tokenizers_are_no_secrets() -> None:
    assert not looks_secret("tokenizer")
    assert not looks_secret("tokenise")


def test_a_near_miss_names_the_key_that_was_meant(tmp_path: Path) -> None:
    assert "Did you mean batch_size?" in refusal(write(tmp_path, {"batchsize": 4}))
    assert "Did you mean multi_label?" in refusal(write(tmp_path, {"task": "multi-label"}))
    assert "Did you mean embedded?" in refusal(None, {"model": "embeded"})
    assert "looked in the working directory. Did you mean builtin?" in refusal(
        None, {"texts": "built-in"}
    )


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, {"modle": "x", "seed": "1", "device": "tpu", "threshold": 2}))
    assert [line.split(": ", 1)[1].split(" ")[0] for line in message.splitlines()] == [
        "unknown",
        "device",
        "threshold",
        "seed",
    ]
