"""What reaches a terminal is visible; a program that reads JSON gets the value as it was."""

import io
import json
import sys

import pytest

from goemo_utils.boundary.terminal import Shown, bare, json_text, only_visible, visible

HOSTILE = "a\x1b]0;title\x07b\x9bc\u202ed\u2066e\x7f\ud800"


def test_controls_and_marks_of_direction_are_shown_by_their_code_point() -> None:
    assert visible("red \x1b[31m") == "red ⟨U+001B⟩[31m"
    assert visible("\u202egnp.exe") == "⟨U+202E⟩gnp.exe"
    assert visible("tab\tand\nline") == "tab\tand\nline"


def test_everything_printed_inside_is_visible(capsys) -> None:
    with only_visible():
        print("label", HOSTILE)
        print(HOSTILE, file=sys.stderr)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not any(mark in text for mark in "\x1b\x07\x9b\u202e\u2066\x7f")
        assert "⟨U+001B⟩]0;title" in text


def test_a_message_that_returns_to_the_beginning_of_its_line_overwrites_nothing() -> None:
    stream = io.StringIO()
    Shown(stream).write("goemo: failed\rgoemo: PASSED")
    assert stream.getvalue() == "goemo: failed⟨U+000D⟩goemo: PASSED"


def test_a_progress_bar_may_redraw_its_line() -> None:
    stream = io.StringIO()
    Shown(stream).write("\r 50%|#####     |")
    assert stream.getvalue() == "\r 50%|#####     |"
    assert bare(Shown(stream)) is stream
    assert bare(stream) is stream


def test_a_locale_that_lacks_a_character_gets_its_escape() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    Shown(stream).write("表 ⟨")
    stream.flush()
    assert raw.getvalue() == b"\\u8868 \\u27e8"


@pytest.mark.parametrize("text", ["plain", "a\x1b[31m", "\u202e", "\x9b", "中文"])
def test_json_for_programs_keeps_its_value(text: str) -> None:
    told = json_text({"label": text})
    assert json.loads(told) == {"label": text}
    assert visible(told) == told


@pytest.mark.parametrize(
    "hidden", ["\u034f", "\u115f", "\u1160", "\u3164", "\uffa0", "\U000e0041", "\U000e0100"]
)
def test_fillers_tags_and_selectors_that_carry_a_hidden_text_are_shown(hidden: str) -> None:
    assert visible(f"a{hidden}b") == f"a⟨U+{ord(hidden):04X}⟩b"


@pytest.mark.parametrize("text", ["👩\u200d🔬", "❤\ufe0f", "क्\u200dष"])
def test_what_joins_emoji_and_letters_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("hidden", ["\x7f", "\u202e", "\U000e0041"])
def test_json_with_a_hidden_character_is_the_same_value(hidden: str) -> None:
    told = json_text({"a": hidden})
    assert json.loads(told) == {"a": hidden}
    assert hidden not in told
