"""Staged imports in child processes: torch without its backends, torch with them, torch_npu, then
one operator on the device.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goemo_utils.environment import imported
from goemo_utils.environment.machine import Machine, Output

CHILD = Path(__file__).with_name("child.py")
MARK = "goemo-probe "
TIMEOUT = (
    60.0  # a cold import of torch from a network disk; a driver that never answers is cut off here
)
AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"


def run_stages(
    machine: Machine, names: Sequence[str], autoload: bool, timeout: float = TIMEOUT
) -> dict[str, dict[str, Any]]:
    """Run the stages ``names`` in one child, in order, and return what each reported.

    Every stage has ``ok``; a failed one has ``error`` (verbatim). Stages after a failure are
    ``{"ok": None, "why": ...}``: not checked.
    """
    # Unbuffered-by-line output plus "-X faulthandler" leaves a stack on stderr when a library
    # crashes the child.
    argv = [machine.python, "-X", "faulthandler", "-c", CHILD.read_text(encoding="utf-8"), *names]
    output = machine.command(argv, timeout, {AUTOLOAD: "1" if autoload else "0"})
    return read_stages(output, names, timeout)


def of_the_run(machine: Machine, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The stages ``names`` as ``run_stages`` gives them; where torch alone is asked for, what the
    run's own process saw when it imported it.
    """
    seen = imported.told(machine.environ) if tuple(names) == ("torch",) else None
    return {"torch": seen} if seen else run_stages(machine, names, autoload=False)


def read_stages(output: Output, names: Sequence[str], timeout: float) -> dict[str, dict[str, Any]]:
    """Turn a child's output into one entry a stage; see run_stages."""
    stages: dict[str, dict[str, Any]] = {}
    for line in output.out.splitlines():
        if line.startswith(MARK):
            facts = json.loads(line[len(MARK) :])
            stages[facts.pop("stage")] = facts

    broken = next((name for name, facts in stages.items() if not facts["ok"]), None)
    for name in names:
        if name in stages:
            continue
        if broken is None:
            stages[name] = {"ok": False, "error": _how_it_ended(output, timeout)}
            broken = name
        else:
            stages[name] = {"ok": None, "why": f"the stage before it failed: {broken}"}

    for facts in stages.values():
        facts["stderr"] = output.err[-20_000:]

    return stages


def _how_it_ended(output: Output, timeout: float) -> str:
    tail = "\n".join(output.err.strip().splitlines()[-20:])
    if output.missing:
        return f"the interpreter could not be started: {output.err}"
    if output.timed_out:
        return f"no answer within {timeout:g} s\n{tail}".rstrip()
    if output.rc is not None and output.rc < 0:
        return f"the process was killed by signal {-output.rc}\n{tail}".rstrip()
    return tail or f"the process ended with exit code {output.rc} and said nothing"
