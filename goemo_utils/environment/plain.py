"""A log as its program wrote it: without colours, without the escapes of what carried it, with
ASCII digits, and with a code beside the words that announce it.

People paste logs out of terminals, JSON lines, Python's repr and chat windows. Each of these leaves
marks that hide a code from a reader that looks at words.
"""

from __future__ import annotations

import re

# What terminals take away: CSI with its parameters, OSC up to its end, a choice of character set.
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-9;:?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)|\x1b[()*+][A-Z0-9]"
    "|\x1b[78=>cDEHM]"
)
# The same, written out: by `cat -v`, JSON, Python, bash, a browser, goemo itself, or with its first
# character lost on the way, as GitHub shows it.
_SPELLED = re.compile(
    r"(?:\^\[|\\x1[bB]|\\u001[bB]|\\033|\\e|␛|⟨U\+001B⟩|<ESC>|\bESC(?=\[))\[[0-9;?]*[A-Za-z]"
    r"|\[(?:\d{1,3}(?:;\d{1,3}){0,4})?m"
)
_SPELLED_SIGNS = (
    "[0",
    "[1",
    "[3",
    "[9",
    "[m",
    "^[[",
    "\\x1",
    "\\u001",
    "\\033",
    "\\e[",
    "␛",
    "ESC",
)
# A line's end inside a JSON string or a repr.
_LINE_END = re.compile(r"(?<!\\)\\n(?=[\W_]|[A-Z0-9]|$)")
_WIDE = str.maketrans({0xFF10 + digit: str(digit) for digit in range(10)} | {"：": ":", "＝": "="})
# A terminal that wraps, or a chat, parts a number from the words before it.
_PARTED = re.compile(
    r"(\b(?:error[ _]?code|errorCode|ret(?:Code)?|runtime result)[ \t]*(?:is|[:=])?)[ \t]*\n"
    r"[ \t|>]*(?=(?:(?:is|[:=])[ \t]*)?[1-5]\d{5}\b)"
)


def plain(text: str) -> str:
    """The text without what only carried or coloured it."""
    if "\x1b" in text or "\x9b" in text:
        text = _ESCAPES.sub("", text)
    if any(sign in text for sign in _SPELLED_SIGNS):
        text = _SPELLED.sub("", text)
    if "\\n" in text:
        text = _LINE_END.sub("\n", text)
    if not text.isascii():
        text = text.translate(_WIDE)
    return _PARTED.sub(r"\1 ", text)
