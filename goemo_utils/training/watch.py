"""Watching a training: a progress bar, and in a notebook a loss curve that grows.

A worker tells its progress in lines of JSON (``fit.run`` says which keys); both watchers take these
lines, so the training never waits for anybody who looks.
"""

from __future__ import annotations

import html
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

# Redrawing takes the notebook's process a few tenths of a second; the training in the worker does
# not wait for it.
REDRAW_SECONDS, TELL_SECONDS = 3.0, 0.5
# Where standard error is a file, as under nohup or in a CI job, a bar cannot move: a line now and
# then says how far the work is.
LINE_SECONDS = 30.0


class Bar:
    """A progress bar on standard error, with the last loss and the best held-out F1 beside it;
    plain lines where there are no steps.

    Where standard error is no terminal, at most a line every LINE_SECONDS says the same. ``quiet``:
    nothing at all.
    """

    def __init__(self, title: str, quiet: bool = False) -> None:
        self.title, self.quiet = title, quiet
        self.points: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._moving, self._said, self._text = sys.stderr.isatty(), time.monotonic(), ""
        self._bar: tqdm | None = None

    def __call__(self, line: str) -> None:
        """Hear one progress line."""
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            told = {"text": line}

        if "step" not in told or "steps" not in told:
            if "run" in told or "trial" in told:
                self._begin_again()
            self._say(str(told.get("text", line)))
            return

        (self.evaluations if told.get("held_loss") is not None else self.points).append(told)
        if self._bar is None:
            self._bar = tqdm(
                total=told["steps"],
                desc=self.title,
                unit="step",
                disable=self.quiet or not self._moving,
                leave=False,
                file=sys.stderr,
            )

        self._bar.update(told["step"] - self._bar.n)
        self._bar.set_postfix_str(self._words())
        self._print(f"step {told['step']:,} of {told['steps']:,}, {self._words()}")

    def _begin_again(self) -> None:
        """Another training of a study: its steps, loss and F1 are its own."""
        Bar.close(self)
        self._bar, self.points, self.evaluations = None, [], []

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _say(self, text: str) -> None:
        if not self.quiet and self._moving:
            tqdm.write(f"  {text}", file=sys.stderr)
        self._text = text
        self._print("")

    def _print(self, words: str) -> None:
        """In place of a bar: what the work said last and how far it is, when the last line is old
        enough.
        """
        if not self.quiet and not self._moving and time.monotonic() - self._said >= LINE_SECONDS:
            print(
                f"  {self.title:12s} {': '.join(part for part in (self._text, words) if part)}",
                file=sys.stderr,
                flush=True,
            )
            self._said = time.monotonic()

    def _words(self) -> str:
        words = (
            f"loss {self.points[-1]['loss']:.4f}"
            if self.points and self.points[-1].get("loss") is not None
            else ""
        )
        if self.evaluations:
            words += f", held-out macro F1 {max(e['held_macro_f1'] for e in self.evaluations):.3f}"
        return words


class Line(Bar):
    """The same in a notebook: a line that changes in place while the work goes on, and is gone at
    its end.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title, quiet=True)
        from IPython.display import HTML, display

        self._html: Callable[[str], Any] = HTML
        self._display: Callable[..., Any] = display
        self._shown: Any = None
        self._told = 0.0

    def __call__(self, line: str) -> None:
        """Hear one progress line, and tell it when the last telling is old enough."""
        super().__call__(line)
        if time.monotonic() - self._told > TELL_SECONDS:
            self._tell()

    def close(self) -> None:
        """Take the line away."""
        super().close()
        if self._shown is not None:
            self._shown.update(self._html(""))

    def _tell(self) -> None:
        self._told = time.monotonic()
        last = max([*self.points, *self.evaluations], key=lambda told: told["step"], default=None)
        words = [html.escape(self._text or self.title)] if self._text or last is None else []

        if last is not None:
            words += [
                f'<progress max="{last["steps"]}" value="{last["step"]}"'
                f' aria-label="{self.title}"></progress> '
                f"step {last['step']:,} of {last['steps']:,}, {html.escape(self._words())}"
            ]

        told = self._html(" ".join(words))
        if self._shown is None:
            self._shown = self._display(told, display_id=True)
        else:
            self._shown.update(told)


class Curve(Line):
    """A line and the loss curve, redrawn in place while the training runs, and left as they were at
    its end.
    """

    def __init__(self, title: str, simulated: bool) -> None:
        super().__init__(title)
        self.simulated, self._drawn = simulated, time.monotonic()
        self._tell()
        self._figure = self._display(self._html(""), display_id=True)

    def __call__(self, line: str) -> None:
        """Hear one progress line, and redraw when the last drawing is old enough."""
        super().__call__(line)
        if self.points and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._draw()

    def close(self) -> None:
        """Draw the whole curve a last time."""
        Bar.close(self)
        self._tell()
        if self.points:
            self._draw()

    def _draw(self) -> None:
        import matplotlib.pyplot as plt

        from goemo_utils.training.figures import curves

        figure = curves(self.points, self.evaluations, self.simulated)
        self._figure.update(figure)
        plt.close(figure)
        self._drawn = time.monotonic()
