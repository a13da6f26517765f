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
from goemo_utils.environment import bundle, check, explain
from goemo_utils.environment.checkup import has_card
from goemo_utils.environment.findings import PURPOSES

WIDTH = 110
LATEST = Path("outputs/latest")
EPILOG = """exit codes: 0 every asked purpose is possible (rehearsal and cpu, or npu and cpu where
an Ascend card is present, unless --for names one) or the bundle is written; 1 it is not, or the
explained text holds a known error; 2 bad arguments"""


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
        help="explain a log, or a bundle, instead of checking the machine; - reads standard input",
    )
    top.add_argument(
        "--bundle",
        metavar="FILE.zip",
        help="write what a maintainer needs to know, without texts, weights and credentials",
    )
    top.add_argument(
        "--run", metavar="FOLDER", help=f"the run in the bundle (default: {LATEST}, where it is)"
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
        if options.purpose or options.model or options.bundle:
            top.error(
                "--explain reads a log, not this machine: leave out --for, --model and --bundle"
            )
        return _explained(top, options)
    if options.run is not None and options.bundle is None:
        top.error("--run names the run of a bundle: give --bundle FILE.zip too")

    result = check(options.purpose, options.model)
    if options.bundle is not None:
        return _bundled(top, options, result)
    print(json_text(result, 2) if options.json else report(result))
    return (
        0 if all(result["verdicts"][name]["ok"] for name in asked(result, options.purpose)) else 1
    )


def _explained(top: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Print what is known of the log, or of the bundle, that --explain names."""
    try:
        content = (
            sys.stdin.buffer.read() if options.explain == "-" else read_regular(options.explain)
        )
    except OSError as error:
        top.error(
            f"cannot read {options.explain}: {error.strerror}; expected a text file, a bundle, or -"
            " for standard input, such as a pipe"
        )
    if content.startswith(bundle.SIGNATURE):
        try:
            found = [one.as_dict() for one in bundle.explain(content)]
        except ValueError as error:
            top.error(f"cannot read {options.explain}: {error}")
    else:
        found = explain(content.decode("utf-8", errors="replace"))

    print(json_text(found, 2) if options.json else "\n\n".join(render(one) for one in found))
    return 1 if any(one["severity"] == "error" for one in found) else 0


def _bundled(
    top: argparse.ArgumentParser, options: argparse.Namespace, result: dict[str, Any]
) -> int:
    """List what goes into the bundle, then write it; never over a file that is there."""
    named = Path(options.run) if options.run else LATEST
    run = named if (named / "manifest.json").is_file() else None
    if options.run and run is None:
        top.error(f"--run {named}: no manifest.json there; expected the folder of a run")

    entries = bundle.pack(result, run)
    listed = [
        {"entry": name, "bytes": len(content), "holds": bundle.ENTRIES[name]}
        for name, content in entries.items()
    ]
    if not options.json:
        for one in listed:
            print(f"{one['entry']:<12} {one['bytes']:>8} bytes   {one['holds']}")
        print(
            "left out: texts, labels, weights, logs; masked: credentials, paths, this host's name"
        )
    try:
        bundle.write(Path(options.bundle), entries)
    except OSError as error:
        top.error(f"cannot write {options.bundle}: {error.strerror}; expected a new file's name")

    if options.json:
        print(json_text({"bundle": options.bundle, "run": str(run or ""), "entries": listed}, 2))
    else:
        packed = f", with the run {run}" if run else f", without a run: none at {LATEST}"
        print(f"written: {options.bundle}{packed}. Read it before you send it: unzip -p FILE.zip")
    return 0


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
