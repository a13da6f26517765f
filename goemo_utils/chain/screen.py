"""What ``goemo run`` prints: a line a step, where the time went, the verdict and where the report
lies.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.terminal import bare
from goemo_utils.chain import words
from goemo_utils.chain.words import said
from goemo_utils.records.portable import shown

if TYPE_CHECKING:
    from goemo_utils.chain.chain import Outcome
    from goemo_utils.chain.plan import Planned
    from goemo_utils.params import Params

# What a verdict says; {gates} is filled with what became of the gates.
VERDICTS = {
    "pass": "PASSED: {gates}.",
    "pass-with-cause": (
        "PASSED WITH A CAUSE: the answers differ, and the difference is explained; {gates}."
    ),
    "fail": "FAILED: {gates}. This is not a port.",
    "incomplete": "INCOMPLETE: not every step has finished, so nothing is proven.",
}
REHEARSED = {
    "pass": "REHEARSAL COMPLETED, SIMULATED: the chain works; {gates}. Nothing was ported.",
    "pass-with-cause": (
        "REHEARSAL COMPLETED, SIMULATED: the imitated difference was found and explained; {gates}."
        " Nothing was ported."
    ),
    "fail": "REHEARSAL FAILED, SIMULATED: {gates}. Nothing was ported.",
    "incomplete": "REHEARSAL INCOMPLETE, SIMULATED: not every step has finished.",
}
JUDGED = ("pass", "explained", "fail")


class Screen:
    """Prints the progress of a run; the line of a running step is redrawn on a terminal and left
    out elsewhere. ``given`` are the keys and values that the command line gave by ``-p``.
    """

    def __init__(self, params: Params, file: Path, given: Sequence[Sequence[str]] = ()) -> None:
        self.params, self.file, self.given = params, file, given
        self.live = sys.stdout.isatty()

    def head(self) -> None:
        """Which run, with which parameters, on what."""
        params, language = self.params, self.params.language
        head = said(
            "goemo run {run_id}   model {model}, device {device}",
            language,
            run_id=params.run_id,
            model=params.model,
            device=params.device,
        )
        note = said("  SIMULATED: no Ascend device takes part", language)
        print(head + (note if params.simulated else ""), flush=True)

    def planned(self, planned: Planned) -> None:
        """A line of a dry run."""
        would = said("would run" if planned.runs else "would skip", self.params.language)
        print(f"  {planned.step:15s} {would:11s} {planned.reason}")

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Hear of a step and print its line."""
        if event == "note":
            print(f"  {facts['text']}")
        elif event == "ended":
            if self.live:
                bare(sys.stdout).write("\x1b[2K")
            print(_told(facts), flush=True)
        elif self.live:
            running = f"  {facts['step']:15s} running              {facts['reason']}"
            print(running, end="\r", flush=True)

    def tail(self, outcome: Outcome) -> None:
        """Where the time went, the verdict, the report, and how to go on after a failure."""
        language = self.params.language
        _times(outcome, language)

        own = words if language == "zh" else sys.modules[__name__]
        sentences = own.REHEARSED if self.params.simulated else own.VERDICTS
        sentence = sentences.get(outcome.verdict, sentences["incomplete"])
        print("\n" + sentence.format(gates=gates_in_words(outcome.gates, language)))
        if outcome.told and (outcome.folder / "report.html").is_file():
            path = shown(outcome.folder / "report.html")
            print(said("report: {path}", language, path=path))
        if outcome.exit_code >= 2:
            print(said("go on:  {command}", language, command=self.go_on()))

    def go_on(self) -> str:
        """The command that goes on with this run where it stands, as a shell reads it: the same
        file, every parameter of the command line, and the run's name.
        """
        words = ["goemo", "run", "-f", shown(self.file.resolve())]
        for key, value in self.given:
            if key != "run_id":
                words += ["-p", key, value]
        return shlex.join([*words, "-p", "run_id", str(self.params.run_id)])


def gates_in_words(gates: list[dict[str, Any]], language: str = "en") -> str:
    """What became of the gates: "every gate was met (9)" only if each of them was."""
    names: dict[str, list[str]] = {}
    for gate in gates:
        names.setdefault(str(gate.get("result")), []).append(str(gate.get("id")))
    met = len(names.get("pass", []))
    if not gates:
        return said("no gate was judged", language)
    if met == len(gates):
        return said("every gate was met ({n})", language, n=met)

    parts = [said("{met} of {n} gates were met", language, met=met, n=len(gates))]
    for result, line in (("fail", "not met"), ("explained", "explained")):
        if result in names:
            parts.append(f"{said(line, language)}: {', '.join(names[result])}")
    open_ones = [name for result, told in names.items() if result not in JUDGED for name in told]
    if open_ones:
        parts.append(f"{said('not judged', language)}: {', '.join(open_ones)}")
    return "; ".join(parts)


def _told(facts: dict[str, Any]) -> str:
    """The line of a step that ended, wrapped to the terminal."""
    took = f"{facts['seconds']:6.1f} s" if facts.get("seconds") is not None else " " * 8
    said = facts.get("verdict") if facts["status"] == "ok" else facts["reason"]
    return textwrap.fill(
        str(said or ""),
        width=max(shutil.get_terminal_size((120, 24)).columns, 80),
        initial_indent=f"  {facts['step']:15s} {facts['status']:8s} {took}  ",
        subsequent_indent=" " * 36,
    )


def _times(outcome: Outcome, language: str) -> None:
    """Print where the time went; nothing when no step ran."""
    timed = [step for step in outcome.steps if step.get("time")]
    if not timed:
        return

    heading = said("where the time went", language)
    print(f"\n  {heading:24s} {'total':>8s} {'kernel':>8s} {'cells':>8s}")
    for step in timed:
        total, kernel, cells = step["seconds"], step["time"]["kernel"], step["time"]["cells"]
        print(f"  {step['step']:24s} {total:6.1f} s {kernel:6.1f} s {cells:6.1f} s")

    between = max(outcome.seconds - sum(step["seconds"] for step in timed), 0)
    print(f"  {said('between the steps', language):24s} {between:6.1f} s")
    print(f"  {said('whole run', language):24s} {outcome.seconds:6.1f} s")
