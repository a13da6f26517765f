"""goemo doctor: print the check-up, or explain a log. Runs as a plain script on a machine with
nothing installed but Python.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (
    None,
    "",
):  # run as a script: put the repository on the path, and not this folder
    here = Path(__file__).resolve()
    sys.path[:] = [
        str(here.parents[2]),
        *(path for path in sys.path if Path(path).resolve() != here.parent),
    ]

from goemo_utils.boundary.regular import read_regular
from goemo_utils.boundary.terminal import json_text
from goemo_utils.environment import check, explain
from goemo_utils.environment.checkup import has_card
from goemo_utils.environment.findings import PURPOSES

WIDTH = 110
EPILOG = """exit codes: 0 every asked purpose is possible (rehearsal and cpu, or npu and cpu where
an Ascend card is present, unless --for names one); 1 it is not, or the explained text holds a known
error; 2 bad arguments"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="goemo doctor",
        description="Say what is wrong with this machine, and what fixes it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--json", action="store_true", help="print facts, findings and verdicts as JSON"
    )
    top.add_argument(
        "--explain",
        metavar="FILE",
        help="explain a log instead of checking the machine; - reads standard input",
    )
    top.add_argument("--for", dest="purpose", choices=PURPOSES, help="check for one purpose only")
    top.add_argument(
        "--model",
        help="the model of the run: embedded, a hub id or a local folder (default: embedded)",
    )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, examine, print; returns the exit code. Bad arguments raise SystemExit(2), as argparse
    does.
    """
    if hasattr(
        sys.stdout, "reconfigure"
    ):  # evidence is verbatim; a terminal that cannot show a character must not end the report
        sys.stdout.reconfigure(errors="backslashreplace")
    top = parser()
    options = top.parse_args(argv)
    if options.explain is not None:
        if options.purpose or options.model:
            top.error("--explain reads a log, not this machine: leave out --for and --model")
        try:
            text = (
                sys.stdin.buffer.read() if options.explain == "-" else read_regular(options.explain)
            ).decode("utf-8", errors="replace")
        except OSError as error:
            top.error(
                f"cannot read {options.explain}: {error.strerror}; expected a text file, or - for"
                " standard input, such as a pipe"
            )
        found = explain(text)
        print(json_text(found, 2) if options.json else "\n\n".join(render(one) for one in found))
        return 1 if any(one["severity"] == "error" for one in found) else 0
    result = check(options.purpose, options.model)
    print(json_text(result, 2) if options.json else report(result))
    return (
        0 if all(result["verdicts"][name]["ok"] for name in asked(result, options.purpose)) else 1
    )


def asked(result: dict[str, Any], purpose: str | None) -> tuple[str, ...]:
    """The purposes that the exit code is about."""
    if purpose:
        return (purpose,)
    return ("npu", "cpu") if has_card(result["facts"]) else ("rehearsal", "cpu")


def report(result: dict[str, Any]) -> str:
    """The check-up as plain text: the machine in a few lines, the findings, a line a verdict."""
    parts = ["\n".join(_summary(result["facts"])), *(render(one) for one in result["findings"])]
    verdicts = [
        f"{name:<10} {'ready' if verdict['ok'] else 'not ready':<10} {verdict['why']}"
        for name, verdict in result["verdicts"].items()
    ]
    return "\n\n".join([*parts, "\n".join(verdicts)])


def render(one: dict[str, Any]) -> str:
    """One finding as plain text; the evidence and the remedy are not wrapped, so that they can be
    copied.
    """
    lines = [f"{one['severity'].upper()} [{one['id']}] {one['title']}"]
    if one["evidence"] and one["severity"] != "ok":
        lines += [
            f"    seen:   {line}" if not index else f"            {line}"
            for index, line in enumerate(_short(one["evidence"]))
        ]
    if one["cause"]:
        lines.append(
            textwrap.fill(
                one["cause"], WIDTH, initial_indent="    cause:  ", subsequent_indent="            "
            )
        )
    if one["remedy"]:
        lines += [
            f"    remedy: {line}" if not index else f"            {line}"
            for index, line in enumerate(one["remedy"].splitlines())
        ]
    if one["source"]:
        lines.append(f"    source: {one['source']}")
    return "\n".join(lines)


def _short(evidence: str, limit: int = 12) -> list[str]:
    """The last lines of a long evidence, which is where a traceback ends; --json has all of it."""
    lines = evidence.splitlines()
    return lines if len(lines) <= limit else ["...", *lines[-limit:]]


def _summary(facts: dict[str, Any]) -> list[str]:
    cpu, torch, npu, active = (
        facts["cpu"],
        facts["torch"],
        facts["torch_npu"],
        facts["cann"]["active"],
    )
    cards = facts["npu"]["devices"]
    names = ", ".join(sorted({card["name"] for card in cards}))
    seen = f"{names} ({len(cards)} chips)" if cards else "none seen"
    lines = [
        f"python     {facts['python']} at {facts['executable']}",
        f"platform   {facts['platform']}, {facts['machine']}",
        (
            f"processor  {cpu['model']}, {cpu['usable']} of {cpu['cores']} cores,"
            f" {cpu['capability'] or 'vector instructions unknown'}"
        ),
        (
            f"memory     {_gib(facts['memory']['available'])} GiB available of"
            f" {_gib(facts['memory']['total'])}, disk {_gib(facts['disk']['free'])} GiB free"
        ),
        f"torch      {torch['version'] or 'not installed'}"
        + (f" ({torch['build']} build)" if torch["version"] else ""),
        f"torch_npu  {npu['version'] or 'not installed'}",
        f"CANN       {active['toolkit'] + ' at ' + active['root'] if active else 'not found'}",
        f"cards      {seen}",
        f"hub        {facts['hub']['state']}",
    ]
    return lines


def _gib(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**30:.1f}"


if __name__ == "__main__":
    sys.exit(main())
