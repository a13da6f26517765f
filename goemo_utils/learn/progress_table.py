"""The table of the course as a notebook shows it: each exercise with a link to the learner's own
copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from goemo_utils.learn.speech import say

HEAD = ("", "exercise", "what it teaches", "minutes", "tries", "hints")


@dataclass(frozen=True)
class Row:
    """An exercise and how far the learner has come with it; ``solved`` is when, or None."""

    exercise: str
    title: str
    teaches: str
    minutes: int
    tries: int
    hints: int
    solved: str | None

    @property
    def mark(self) -> str:
        """A tick where the exercise is solved."""
        return "✓" if self.solved else ""


@dataclass(frozen=True)
class Progress:
    """The rows of the course, and where the learner's copies lie, in the same order."""

    rows: Sequence[Row]
    notebooks: Sequence[Path]

    @property
    def headline(self) -> str:
        """How many are solved."""
        solved = sum(row.solved is not None for row in self.rows)
        return say(f"{solved} of {len(self.rows)} solved")

    def __repr__(self) -> str:
        lines = [f"{row.mark or ' '} {row.exercise}  {row.title}" for row in self.rows]
        return "\n".join([*lines, self.headline])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align: left">{say(name)}</th>' for name in HEAD)
        pairs = zip(self.rows, self.notebooks, strict=True)
        body = "".join(_html(row, path) for row, path in pairs)
        return f"<table><tr>{head}</tr>{body}</table><p>{self.headline}</p>"


def _html(row: Row, path: Path) -> str:
    # A kernel works in the folder of its notebook, and links are read from there.
    href = Path(os.path.relpath(path)).as_posix()
    link = f'<a href="{escape(href)}">{row.exercise} · {escape(say(row.title))}</a>'
    cells = (row.mark, link, escape(say(row.teaches)), row.minutes, row.tries, row.hints)
    return "<tr>" + "".join(f'<td style="text-align: left">{cell}</td>' for cell in cells) + "</tr>"
