"""What reaches a terminal: a stranger's label, log or file name may hold codes that colour, clear
or reorder the screen, and is shown with them spelled out.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# C0 and C1 controls, marks that change the direction of text, invisible characters (fillers of
# Hangul and Khmer, tags and selectors that can carry a hidden text), and halves of surrogate pairs.
# What joins emoji and Indic letters stays.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u2069\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What progress bars write by themselves: back to the beginning of the line, and lines up.
_MOVES = re.compile(r"\r?(?:\x1b\[A)*")


def visible(text: str) -> str:
    """Show characters that would hide or reorder text by their code point, as ⟨U+202E⟩."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def json_text(value: Any, indent: int | None = 1) -> str:
    """``value`` as JSON for a screen or a program: what ``visible`` shows is escaped instead, so
    that the value stays the same.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _HIDDEN.sub(lambda found: _escaped(found[0]), text)


def _escaped(character: str) -> str:
    """A character as JSON escapes it: beyond U+FFFF as two halves."""
    if ord(character) > 0xFFFF:
        return json.dumps(character)[1:-1]
    return f"\\u{ord(character):04x}"


class Shown:
    """A text stream in front of another, through which only visible characters pass.

    A carriage return that begins what is written passes too: progress bars redraw their line so,
    and at the beginning of a line it hides nothing.
    """

    def __init__(self, stream: TextIO) -> None:
        self.bare = stream

    def write(self, text: str) -> int:
        """Write ``text`` as ``visible`` shows it; its own length is returned, as streams do."""
        moves = _MOVES.match(text)
        free = moves.end() if moves else 0
        self.bare.write(self._writable(text[:free] + visible(text[free:])))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def _writable(self, text: str) -> str:
        """What the stream's encoding lacks, such as Chinese in an ASCII locale, as escapes."""
        encoding = self.bare.encoding or "utf-8"
        try:
            text.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return text.encode("ascii", "backslashreplace").decode("ascii")
        return text

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


def bare(stream: Any) -> Any:
    """The stream behind ``Shown``, for codes of our own; any other stream as it is."""
    return stream.bare if isinstance(stream, Shown) else stream


@contextmanager
def only_visible() -> Iterator[None]:
    """Let standard output and error pass visible characters alone, until the block ends."""
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _shown(sys.stdout), _shown(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


def _shown(stream: Any) -> Any:
    # None where a program has no terminal at all, as under pythonw
    return stream if stream is None or isinstance(stream, Shown) else Shown(stream)
