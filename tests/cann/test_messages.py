"""What the genuine torch_npu said on the stand-ins is known to the doctor."""

import json
from pathlib import Path

import pytest

from goemo_utils import environment

MESSAGES = json.loads((Path(__file__).parent / "messages.json").read_text(encoding="utf-8"))


def test_there_are_twenty_genuine_messages() -> None:
    assert len(MESSAGES) >= 20


@pytest.mark.parametrize("title", sorted(MESSAGES))
def test_a_genuine_message_is_diagnosed(title: str) -> None:
    assert environment.diagnose(MESSAGES[title]["text"])


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("out of memory", "D1"),
        ("a device that is not there", "B3"),
        ("a cast to double", "C8"),
        ("a fallback to the CPU", "C4"),
        ("a fallback that is forbidden", "C17"),
        ("an AI core exception (507015)", "C9"),
        ("an interactive interpreter", "E1"),
    ],
)
def test_the_diagnosis_names_what_happened(title: str, known: str) -> None:
    assert environment.diagnose(MESSAGES[title]["text"])[0]["id"] == known
