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
    """What became of a check. ``solved`` is True where every question was answered rightly, and no
    further draw is ``due``; ``notes`` are sentences about what comes next.
    """

    exercise: Exercise
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()
    due: int = 0

    @property
    def solved(self) -> bool:
        """Whether every question has the right answer; nothing asked is nothing solved."""
        return self.right and self.due == 0

    @property
    def right(self) -> bool:
        """Whether every question of this draw has the right answer."""
        return bool(self.points) and all(point.right for point in self.points)

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        right = sum(point.right for point in self.points)
        if self.solved:
            return say(f"Solved: {self.exercise.number} · {self.exercise.title}")
        if not self.points:
            return say("Not judged yet")
        if self.right:
            return say("All right, on this draw")
        return say(f"Not yet: {right} of {len(self.points)} right")

    def __repr__(self) -> str:
        lines = [f"{MARKS[one.right]} {one.asked}: {say(one.says)}" for one in self.points]
        return "\n".join([self.headline, *lines, *map(say, self.notes)])

    def _repr_html_(self) -> str:
        colour = GREEN if self.solved else AMBER
        rows = "".join(_row(point) for point in self.points)
        notes = "".join(f"<p>{escape(say(note))}</p>" for note in self.notes)
        return (
            f'<div style="border-left: 4px solid {colour}; padding-left: 1em">'
            f'<p style="color: {colour}"><strong>{escape(self.headline)}</strong></p>'
            f"<ul>{rows}</ul>{notes}</div>"
        )


def _row(point: Point) -> str:
    colour = GREEN if point.right else AMBER
    mark = f'<span style="color: {colour}">{MARKS[point.right]}</span>'
    return (
        f'<li style="list-style: none">{mark} <code>{escape(point.asked)}</code>:'
        f" {escape(say(point.says))}</li>"
    )
