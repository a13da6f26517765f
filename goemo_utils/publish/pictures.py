"""Pictures for the card, drawn from the records: the verdict with its gates, and the run as the
terminal showed it. SVG, so that they are text, and every number in them can be looked up.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from goemo_utils.records.record import write_text
from goemo_utils.report.page import visible

LINE, WIDTH, MARGIN = 22, 900, 24
LONGEST = 100  # characters of a line
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SANS = "'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"


def write(folder: Path, summary: dict[str, Any], mark: str | None) -> None:
    """Write ``assets/report.svg`` and ``assets/terminal.svg``."""
    head = [mark] if mark else []
    report = _picture(head + _report(summary), SANS, "#ffffff", "#15191f", "The verdict")
    terminal = _picture(head + _terminal(summary), MONO, "#12161c", "#e9edf2", "The run's steps")
    write_text(folder / "assets" / "report.svg", report)
    write_text(folder / "assets" / "terminal.svg", terminal)


def _report(summary: dict[str, Any]) -> list[str]:
    model, device = summary["model"] or {}, summary["device"] or {}
    lines = [
        f"{_simulated(summary)}Verdict: {summary['verdict']}",
        f"Model: {model.get('id')}, {model.get('architecture')}",
        f"Device: {device.get('name')}",
        "",
    ]
    for gate in summary["gates"]:
        value = "" if gate["value"] is None else f": {_number(gate['value'])}"
        limit = "" if gate["limit"] is None else f" (limit {_number(gate['limit'])})"
        lines.append(f"{gate['result']:12s} {gate['id']}{value}{limit}")
    return lines


def _terminal(summary: dict[str, Any]) -> list[str]:
    command = (summary["provenance"] or {}).get("command") or ["goemo", "run"]
    lines = [f"$ {' '.join(map(str, command))}", ""]
    for step in summary["steps"]:
        seconds = step.get("seconds")
        took = "" if seconds is None else f"{seconds:8.1f} s"
        lines.append(f"{step['step']:16s} {step['status']:10s} {took}")
    return [*lines, "", f"{_simulated(summary)}{summary['verdict']}"]


def _simulated(summary: dict[str, Any]) -> str:
    return "SIMULATED: " if summary["simulated"] else ""


def _number(value: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:.4g}" if is_number else str(value)


def _picture(lines: Sequence[str], font: str, paper: str, ink: str, title: str) -> str:
    height = 2 * MARGIN + LINE * len(lines)
    rows = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE * (n + 1) - 6}" xml:space="preserve">'
        f"{escape(visible(line)[:LONGEST])}</text>"
        for n, line in enumerate(lines)
    ]

    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            f'<rect width="100%" height="100%" fill="{paper}"/>',
            f'<g fill="{ink}" font-family="{escape(font)}" font-size="15">',
            *rows,
            "</g>",
            "</svg>",
            "",
        ]
    )
