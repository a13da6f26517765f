"""What ``goemo run`` prints: a line a step, where the time went, the verdict and where the report
lies.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.records.portable import shown

if TYPE_CHECKING:
    from goemo_utils.chain.chain import Outcome
    from goemo_utils.chain.plan import Planned
    from goemo_utils.params import Params

VERDICTS = {
    "pass": "PASSED: every gate was met.",
    "pass-with-cause": "PASSED WITH A CAUSE: the answers differ, and the difference is explained.",
    "fail": "FAILED: a gate was not met. This is not a port.",
    "incomplete": "INCOMPLETE: not every step has run, so nothing is proven.",
}
REHEARSED = {
    "pass": (
        "REHEARSAL COMPLETED, SIMULATED: the chain works and every gate would be met. Nothing was"
        " ported."
    ),
    "pass-with-cause": (
        "REHEARSAL COMPLETED, SIMULATED: the imitated difference was found and explained. Nothing"
        " was ported."
    ),
    "fail": "REHEARSAL FAILED, SIMULATED: a gate would not be met. Nothing was ported.",
    "incomplete": "REHEARSAL INCOMPLETE, SIMULATED: not every step has run.",
}


class Screen:
    """Prints the progress of a run; the line of a running step is redrawn on a terminal and left
    out elsewhere.
    """

    def __init__(self, params: Params, file: Path) -> None:
        self.params, self.file, self.live = params, file, sys.stdout.isatty()

    def head(self) -> None:
        """Which run, with which parameters, on what."""
        simulated = "  SIMULATED: no Ascend device takes part" if self.params.simulated else ""
        print(
            f"goemo run {self.params.run_id}   model {self.params.model}, device"
            f" {self.params.device}{simulated}",
            flush=True,
        )

    def planned(self, planned: Planned) -> None:
        """A line of a dry run."""
        print(
            f"  {planned.step:15s} {'would run' if planned.runs else 'would skip':11s}"
            f" {planned.reason}"
        )

    def tell(self, event: str, facts: dict[str, Any]) -> None:
        """Hear of a step and print its line."""
        if event == "note":
            print(f"  {facts['text']}")
        elif event == "ended":
            print(("\x1b[2K" if self.live else "") + _told(facts), flush=True)
        elif self.live:
            running = f"  {facts['step']:15s} running              {facts['reason']}"
            print(running, end="\r", flush=True)

    def tail(self, outcome: Outcome) -> None:
        """Where the time went, the verdict, the report, and how to go on after a failure."""
        _times(outcome)

        sentences = REHEARSED if self.params.simulated else VERDICTS
        print(f"\n{sentences[outcome.verdict]}")
        if (outcome.folder / "report.html").is_file():
            print(f"report: {shown(outcome.folder / 'report.html')}")
        if outcome.exit_code >= 2:
            print(
                f"go on:  goemo run -f {shown(self.file.resolve())} -p run_id {self.params.run_id}"
            )


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


def _times(outcome: Outcome) -> None:
    """Print where the time went; nothing when no step ran."""
    timed = [step for step in outcome.steps if step.get("time")]
    if not timed:
        return

    print(f"\n  {'where the time went':24s} {'total':>8s} {'kernel':>8s} {'cells':>8s}")
    for step in timed:
        total, kernel, cells = step["seconds"], step["time"]["kernel"], step["time"]["cells"]
        print(f"  {step['step']:24s} {total:6.1f} s {kernel:6.1f} s {cells:6.1f} s")

    between = max(outcome.seconds - sum(step["seconds"] for step in timed), 0)
    print(f"  {'between the steps':24s} {between:6.1f} s")
    print(f"  {'whole run':24s} {outcome.seconds:6.1f} s")
