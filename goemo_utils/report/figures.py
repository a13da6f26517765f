"""Draw charts as inline SVG: colours only by class, so that both schemes and print work; text never
below 12 px.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

from goemo_utils.report import numbers as n
from goemo_utils.report.charts import Bars, Growth, Heat, Ladder, Margins, Tail

WIDTH = 900
HEAT_STEPS = (1.5, 3, 10, 100, 1000)
HEAT_KEY = ("≤ 1.5", "≤ 3", "≤ 10", "≤ 100", "≤ 1k", "> 1k")


def draw(chart: Bars | Ladder | Heat | Growth | Tail | Margins, uid: str) -> Markup:
    """Return a chart as an SVG element whose title and description carry the identifier ``uid``."""
    drawing: Any = {
        "bars": _bars,
        "ladder": _ladder,
        "heat": _heat,
        "growth": _growth,
        "tail": _tail,
        "margins": _margins,
    }[chart.kind]
    body, width, height = drawing(chart)

    # one of the usual width may shrink a little beside the contents; a wider one scrolls instead
    classes = "fig whole" if width > WIDTH else "fig"
    return Markup(
        f'<svg class="{classes}" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}"'
        f' role="img" aria-labelledby="{uid}-t {uid}-d"><title'
        f' id="{uid}-t">{escape(chart.title)}</title><desc'
        f' id="{uid}-d">{escape(chart.description)}</desc>{"".join(body)}</svg>'
    )


def _text(x: float, y: float, words: str, classes: str = "", anchor: str = "start") -> str:
    end = f' text-anchor="{anchor}"' if anchor != "start" else ""
    names = f' class="{classes}"' if classes else ""
    return f'<text x="{x:g}" y="{y:g}"{names}{end}>{escape(_clip(words))}</text>'


def _clip(words: str, longest: int = 120) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _line(path: str, classes: str, width: float | None = None) -> str:
    return (
        f'<path d="{path}" class="{classes}"'
        + (f' stroke-width="{width:g}"' if width else "")
        + "/>"
    )


def _rect(
    x: float, y: float, width: float, height: float, classes: str, stroke: float | None = None
) -> str:
    edge = f' stroke-width="{stroke:g}"' if stroke else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:g}"'
        f' class="{classes}"{edge}/>'
    )


def _diamond(x: float, y: float, classes: str, size: float = 8) -> str:
    return (
        f'<path d="M{x:.1f} {y - size:.1f}l{size:g} {size:g}-{size:g} {size:g}-{size:g}-{size:g}z"'
        f' class="{classes}"/>'
    )


def _decades(values: Iterable[float], floor: int = -30, least: int = 2) -> tuple[int, int]:
    """Whole powers of ten that enclose all positive values; zero falls on the lowest."""
    positive = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    low = max(floor, math.floor(math.log10(min(positive))))
    high = max(low + least, math.ceil(math.log10(max(positive))))
    return low, high


class _Log:
    """A logarithmic axis from pixel ``a`` (10^low) to pixel ``b`` (10^high)."""

    def __init__(self, a: float, b: float, low: int, high: int) -> None:
        self.a, self.b, self.low, self.high = a, b, low, high

    def __call__(self, value: float) -> float:
        log = math.log10(value) if value > 0 else self.low
        log = min(max(log, self.low), self.high)
        return self.a + (self.b - self.a) * (log - self.low) / (self.high - self.low)

    def ticks(self) -> list[int]:
        step = max(1, math.ceil((self.high - self.low) / 8))
        return list(range(self.low, self.high + 1, step))


def _bars(chart: Bars) -> tuple[list[str], float, float]:
    left, row, top = 300, 42, 24
    height = top + row * len(chart.bars)
    largest = max(bar.high for bar in chart.bars) or 1.0
    step = next(
        s for s in (m * 10.0**e for e in range(-3, 9) for m in (1, 2, 5)) if largest / s <= 6
    )
    end = math.ceil(largest / step) * step

    def x(value: float) -> float:
        return left + (WIDTH - left - 200) * value / end

    body = [_text(0, 15, chart.heading, "mu")]
    for i in range(round(end / step) + 1):
        body += [
            _line(f"M{x(i * step):.1f} 22V{height}", "ax"),
            _text(x(i * step), 15, n.number(i * step), "mu", "middle"),
        ]
    for i, bar in enumerate(chart.bars):
        y, strong = top + i * row, "b" if bar.ours else ""
        body += [_text(0, y + 17, bar.name, strong), _text(0, y + 33, bar.detail, "mu")]
        body.append(_rect(left, y + 8, x(bar.value) - left, 16, "bar-a" if bar.ours else "bar"))
        body.append(
            _line(
                f"M{x(bar.low):.1f} {y + 16}H{x(bar.high):.1f}M{x(bar.low):.1f}"
                f" {y + 10}v12M{x(bar.high):.1f} {y + 10}v12",
                "ink",
                1.5,
            )
        )
        body.append(
            _text(
                x(bar.high) + 8,
                y + 21,
                f"{n.number(bar.value)} {n.interval(bar.low, bar.high)}",
                strong,
            )
        )
    return body, WIDTH, height + 4


def _grid(axis: _Log, top: int, height: int) -> list[str]:
    """A line down from ``top`` for each decade, with its power of ten above."""
    lines = []
    for decade in axis.ticks():
        x = axis(10.0**decade)
        lines += [
            _line(f"M{x:.1f} {top}V{height}", "ax"),
            _text(x, 16, n.power(decade), "mu", "middle"),
        ]
    return lines


def _ladder(chart: Ladder) -> tuple[list[str], float, float]:
    left, row, top = 250, 34, 30
    height = top + row * len(chart.rungs)
    axis = _Log(left, WIDTH - 280, *_decades(r.rmse for r in chart.rungs))
    body = [_text(0, 16, chart.heading, "mu"), _text(WIDTH, 16, chart.share_heading, "mu", "end")]

    body += _grid(axis, 24, height)

    for i, rung in enumerate(chart.rungs):
        y, x, strong = top + i * row, axis(rung.rmse), "b" if rung.nearest else ""
        body += [_text(0, y + 20, rung.name, strong), _line(f"M{left} {y + 15}H{x:.1f}", "ed", 1.5)]
        body.append(
            _diamond(x, y + 15, "bar-c")
            if rung.nearest
            else f'<circle cx="{x:.1f}" cy="{y + 15}" r="5.5" class="bar"/>'
        )
        body.append(_text(x + 12, y + 20, n.number(rung.rmse), strong))
        share = min(max(rung.share or 0.0, 0.0), 1.0)
        body.append(_rect(WIDTH - 190, y + 9, 110, 12, "ed"))
        if share > 0:
            body.append(
                _rect(WIDTH - 190, y + 9, 110 * share, 12, "bar-c" if rung.nearest else "bar")
            )
        body.append(
            _text(
                WIDTH,
                y + 20,
                (
                    n.percent(share, chart.language)
                    if rung.share is not None and rung.share > 0
                    else chart.none
                ),
                strong,
                "end",
            )
        )

    return body, WIDTH, height + 6


def heat_step(ratio: float) -> int:
    """Step of the heat scale; NaN stands in the top one."""
    return next((i for i, limit in enumerate(HEAT_STEPS) if ratio <= limit), len(HEAT_STEPS))


def heat_value(ratio: float) -> str:
    """Text of a heat cell, at most four characters wide."""
    if math.isnan(ratio):
        return "NaN"
    if math.isinf(ratio):
        return "Inf"
    if ratio < 1e3:
        return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"

    for suffix, unit in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        if ratio < 1000 * unit:
            return (
                f"{ratio / unit:.1f}{suffix}"
                if ratio < 10 * unit
                else f"{ratio / unit:.0f}{suffix}"
            )

    return n.power(math.floor(math.log10(ratio)))


def _heat(chart: Heat) -> tuple[list[str], float, float]:
    longest = max((len(name) for name, _ in chart.rows), default=0)
    left, tall = min(300, max(214, 7.3 * longest + 8)), 27
    wide = min(56.0, max(44.0, 680 / max(len(chart.columns), 1)))
    width = max(left + wide * len(chart.columns) + 4, WIDTH - 10)
    body = [_text(0, 15, chart.heading, "mu")]
    body += [
        _text(left + wide * (i + 0.5), 15, name, "mu", "middle")
        for i, name in enumerate(chart.columns)
    ]
    y = 24.0

    for name, values in chart.rows:
        body.append(_text(0, y + 18, name if len(name) <= 40 else "…" + name[-39:], "mo"))
        for i, value in enumerate(values):
            if value is None or isinstance(value, str):
                body.append(
                    _text(
                        left + wide * (i + 0.5),
                        y + 18,
                        "–" if value is None else chart.uncovered,
                        "mu",
                        "middle",
                    )
                )
                continue
            step = heat_step(value)
            body.append(_rect(left + wide * i + 1, y + 1, wide - 2, tall - 2, f"c{step}"))
            body.append(
                _text(
                    left + wide * (i + 0.5),
                    y + 18,
                    heat_value(value),
                    f"k{step}" + (" b" if step > 1 else ""),
                    "middle",
                )
            )
        y += tall

    body += [
        _rect(left + wide * column, 24 + tall * row, wide, tall, "ink", 2.5)
        for row, column in chart.marked
    ]
    y += 14
    body.append(_text(0, y + 14, chart.key, "mu"))

    for i, words in enumerate(HEAT_KEY):
        body += [
            _rect(left + 76 * i, y, 72, 20, f"c{i}"),
            _text(left + 76 * i + 36, y + 15, words, f"k{i}", "middle"),
        ]

    x = left + 76 * len(HEAT_KEY)
    body += [_rect(x + 8, y + 1, 26, 18, "ink", 2.5), _text(x + 40, y + 15, chart.mark, "mu")]

    return body, width, y + 26


def _growth(chart: Growth) -> tuple[list[str], float, float]:
    left, row, top = 120, 24, 26
    height = top + row * len(chart.states)
    axis = _Log(
        left,
        WIDTH - 120,
        *_decades(itertools.chain((r for _, r in chart.states), (chart.limit,)), least=1),
    )
    body = [_text(0, 16, chart.heading, "mu")]

    body += _grid(axis, 22, height)

    for i, (name, ratio) in enumerate(chart.states):
        y, x, over = (
            top + i * row,
            axis(ratio if math.isfinite(ratio) else math.inf),
            not ratio <= chart.limit,
        )
        body += [_text(0, y + 16, name), _line(f"M{left} {y + 12}H{x:.1f}", "ed", 1.5)]
        body.append(
            _diamond(x, y + 12, "bar-c", 7)
            if over
            else f'<circle cx="{x:.1f}" cy="{y + 12}" r="5" class="bar"/>'
        )
        body.append(
            _text(
                x + 12,
                y + 16,
                n.ratio(ratio) if math.isfinite(ratio) else chart.not_finite,
                "b" if over else "",
            )
        )

    body.append(_line(f"M{axis(chart.limit):.1f} 22V{height}", "lim"))

    return body, WIDTH, height + 6


def _tail(chart: Tail) -> tuple[list[str], float, float]:
    left, row, top = 130, 30, 28
    height = top + row * len(chart.rows)
    errors = [error for r in chart.rows for error in (r.candidate, r.reference)]
    axis = _Log(left, WIDTH - 170, *_decades(errors))
    body = [_text(0, 16, chart.heading, "mu"), _text(WIDTH, 16, chart.ratio_heading, "mu", "end")]

    body += _grid(axis, 22, height)

    for i, quantile in enumerate(chart.rows):
        y = top + i * row + 13
        strong = "b" if chart.strong and i == len(chart.rows) - 1 else ""
        here, there = axis(quantile.candidate), axis(quantile.reference)
        body += [
            _text(0, y + 5, quantile.name, strong),
            _line(f"M{there:.1f} {y}H{here:.1f}", "ed", 1.5),
            f'<circle cx="{there:.1f}" cy="{y}" r="6" class="ink" stroke-width="1.8"/>',
            _diamond(here, y, "bar-c" if strong else "bar", 5),
            _text(WIDTH, y + 5, quantile.ratio, strong, "end"),
        ]

    return body, WIDTH, height + 6


def _margins(chart: Margins) -> tuple[list[str], float, float]:
    height, x0, x1, y0, y1 = 330, 90, 880, 20, 270
    everything = [*chart.points, *chart.explained, *chart.unexplained]
    low, high = _decades((m for m, _ in everything), floor=-12)
    below, above = _decades((e for _, e in everything), floor=-12)
    # One decade of room below keeps the dots off the words in the corner.
    across, up = _Log(x0, x1, low, high), _Log(y1, y0, below - 1, above)
    body = []
    if chart.bound and math.isfinite(chart.bound) and chart.bound > 10.0**low:
        body.append(_rect(x0, y0, across(chart.bound) - x0, y1 - y0, "danger"))

    for decade in across.ticks():
        body += [
            _line(f"M{across(10.0**decade):.1f} {y0}V{y1}", "ax"),
            _text(across(10.0**decade), y1 + 18, n.power(decade), "mu", "middle"),
        ]

    for decade in up.ticks():
        body += [
            _line(f"M{x0} {up(10.0**decade):.1f}H{x1}", "ax"),
            _text(x0 - 8, up(10.0**decade) + 4, n.power(decade), "mu", "end"),
        ]

    start, stop = max(low, below - 1), min(high, above)
    if start < stop:
        body.append(
            _line(
                f"M{across(10.0**start):.1f} {up(10.0**start):.1f}L{across(10.0**stop):.1f}"
                f" {up(10.0**stop):.1f}",
                "ed",
                1.5,
            )
        )

    body += [
        _text(x0 + 10, y0 + 18, chart.possible, "b"),
        _text(x1 - 8, y1 - 12, chart.impossible, "b", "end"),
    ]
    body.append(_text((x0 + x1) / 2, height - 14, chart.x, "mu", "middle"))
    middle = (y0 + y1) / 2
    body.append(
        f'<text x="14" y="{middle:g}" class="mu" text-anchor="middle" transform="rotate(-90 14'
        f' {middle:g})">{escape(chart.y)}</text>'
    )
    body.append(
        '<g class="pt">'
        + "".join(
            f'<circle cx="{across(m):.0f}" cy="{up(e):.0f}" r="2.6"/>'
            for m, e in chart.points
            if e < m
        )
        + "</g>"
    )
    body += [
        f'<circle cx="{across(m):.0f}" cy="{up(e):.0f}" r="5" class="ink" stroke-width="1.8"/>'
        for m, e in chart.points
        if e >= m
    ]
    body += [_diamond(across(m), up(e), "flip") for m, e in chart.explained]
    body += [
        _line(f"M{across(m) - 4:.0f} {up(e) - 4:.0f}l8 8m0-8l-8 8", "flipx")
        for m, e in chart.unexplained
    ]

    return body, WIDTH, height
