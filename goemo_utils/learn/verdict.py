"""What a check says: a line for each question, green or not, in a notebook and as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from goemo_utils.learn.exercise import Exercise, Point
from goemo_utils.learn.speech import say

GREEN, AMBER = "#1a7f37", "#9a6700"
MARKS = {True: "✓", False: "✗"}


@dataclass(frozen=True)
class Verdict:
    """What became of a check. ``solved`` is True where every question was answered rightly."""

    exercise: Exercise
    points: tuple[Point, ...]
    note: str = ""

    @property
    def solved(self) -> bool:
        """Whether every question has the right answer; nothing asked is nothing solved."""
        return bool(self.points) and all(point.right for point in self.points)

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        right = sum(point.right for point in self.points)
        if self.solved:
            return say(f"Solved: {self.exercise.number} · {self.exercise.title}")
        return say(f"Not yet: {right} of {len(self.points)} right")

    def __repr__(self) -> str:
        lines = [f"{MARKS[one.right]} {one.asked}: {say(one.says)}" for one in self.points]
        return "\n".join([self.headline, *lines, *filter(None, [say(self.note)])])

    def _repr_html_(self) -> str:
        colour = GREEN if self.solved else AMBER
        rows = "".join(_row(point) for point in self.points)
        note = f"<p>{escape(say(self.note))}</p>" if self.note else ""
        return (
            f'<div style="border-left: 4px solid {colour}; padding-left: 1em">'
            f'<p style="color: {colour}"><strong>{escape(self.headline)}</strong></p>'
            f"<ul>{rows}</ul>{note}</div>"
        )


def _row(point: Point) -> str:
    colour = GREEN if point.right else AMBER
    mark = f'<span style="color: {colour}">{MARKS[point.right]}</span>'
    return (
        f'<li style="list-style: none">{mark} <code>{escape(point.asked)}</code>:'
        f" {escape(say(point.says))}</li>"
    )
