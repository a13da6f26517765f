"""What the course says, in the language of the notebook that asks.

The table beside this module holds an English line and the Chinese one below it; ``{}`` in the
English stands for anything, which is said in Chinese in its turn where the table has it. A line
that the table lacks stays English.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from goemo_utils.learn import notebooks

TABLE = Path(__file__).with_name("chinese.txt")
HOLE = "{}"


@dataclass(frozen=True)
class Table:
    """The lines without holes by their English, and those with holes, the longest first."""

    plain: dict[str, str]
    holed: list[tuple[re.Pattern[str], str]]


def say(text: str) -> str:
    """A text in the language of this kernel's notebook."""
    return chinese(text) if notebooks.speaks_chinese() else text


def chinese(text: str) -> str:
    """A text in Chinese, or as it is where the table has no line for it."""
    table = _table()
    if text in table.plain:
        return table.plain[text]

    for pattern, line in table.holed:
        if match := pattern.fullmatch(text):
            return line.format(*(chinese(part) for part in match.groups()))
    return text


def pairs() -> list[tuple[str, str]]:
    """The lines of the table: English, and Chinese."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line]
    told = [line for line in lines if not line.startswith("# ")]
    return list(zip(told[0::2], told[1::2], strict=True))


@cache
def _table() -> Table:
    known = pairs()
    holed = sorted((pair for pair in known if HOLE in pair[0]), key=lambda pair: -len(pair[0]))
    return Table(
        {english: line for english, line in known if HOLE not in english},
        [(_pattern(english), line) for english, line in holed],
    )


def _pattern(english: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in english.split(HOLE))
    return re.compile("(.+?)".join(parts), re.DOTALL)
