"""Runs the notebooks of a run one after another, resumes, and contains failures.

papermill's own metadata is no evidence of completion: it marks timeouts and dead kernels as
completed, and a notebook that calls ``sys.exit(0)`` looks finished. A step counts as done when its
record says so, and only then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import errors
from goemo_utils.chain.notebook import CRASHED, Ended, execute
from goemo_utils.chain.plan import UNCHANGED, Planned, make_plan, why_run
from goemo_utils.forward import worker
from goemo_utils.records.manifest import locked, new_manifest, point_latest, write_manifest
from goemo_utils.records.record import (
    StepRecord,
    now,
    read_json,
    read_record,
)
from goemo_utils.records.step import inputs_of, run_dir, unfinished

if TYPE_CHECKING:
    from goemo_utils.params import Params

Tell = Callable[[str, dict[str, Any]], None]
"""Hears of each step as it begins and ends: an event (began, ended, note) and its facts."""


@dataclass
class Outcome:
    """How a run ended: its folder, one entry a step, its verdict, and the exit code."""

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    verdict: str = "incomplete"
    exit_code: int = 0
    seconds: float = 0.0


def run(
    params: Params,
    params_file: Path | None = None,
    start: str | None = None,
    only: str | None = None,
    force: bool = False,
    command: list[str] | None = None,
    tell: Tell = lambda event, facts: None,
) -> Outcome:
    """Run the chain in ``params``' run folder. ``tell(event, facts)`` hears of each step as it
    begins and ends.

    Raises GoemoError before anything is written when the run cannot begin; a failure inside a step
    is recorded instead.
    """
    folder, began = run_dir(params), time.monotonic()
    plan = make_plan(params, folder, start, only, force)
    with locked(folder):
        manifest = new_manifest(params, params_file, command or [])
        point_latest(folder)
        outcome = Outcome(folder, manifest["steps"])

        running = _Running(params, folder, manifest, outcome, tell)
        with _fork_server(any(planned.runs for planned in plan)):
            running.steps(plan, forced=bool(force or start or only))

        last = manifest["steps"][-1]["status"]
        some_ran = any(step["status"] not in ("skipped", "not-run") for step in manifest["steps"])
        if last != "ok" and some_ran:
            _render(folder, params.language, tell)

        if (folder / "summary.json").is_file():
            outcome.verdict = read_json(folder / "summary.json")["verdict"]
        if outcome.exit_code == 0 and outcome.verdict == "fail":
            outcome.exit_code = 1
        outcome.seconds = time.monotonic() - began
    return outcome


@contextmanager
def _fork_server(needed: bool) -> Iterator[None]:
    """A fork server for the kernels of this run, told to them by the environment."""
    if not needed:
        yield
        return
    server = worker.Server()
    os.environ[worker.ADDRESS] = server.address
    try:
        yield
    finally:
        os.environ.pop(worker.ADDRESS, None)
        server.close()


@dataclass
class _Running:
    """A run in progress: what its steps need, and what they change."""

    params: Params
    folder: Path
    manifest: dict[str, Any]
    outcome: Outcome
    tell: Tell

    def steps(self, plan: list[Planned], forced: bool) -> None:
        """Run what the plan says, or, unless ``forced``, what still has to run at its turn."""
        stopped: str | None = None
        for planned, entry in zip(plan, self.manifest["steps"], strict=True):
            if stopped:
                entry.update(status="not-run", reason=stopped)
                unfinished(planned.step, "not-run", self.params, self.folder, {}, stopped)
            else:
                runs, reason = planned.runs, planned.reason
                if not forced:
                    # Known only now: an earlier step may have left the same as last time.
                    why = why_run(planned.step, self.params, self.folder)
                    runs, reason = why is not None, why or UNCHANGED

                if runs:
                    stopped = self._step(planned.step, entry, reason)
                else:
                    entry.update(status="skipped", reason=reason)
            self.tell("ended", entry)
        write_manifest(self.folder, self.manifest)

    def _step(self, step: str, entry: dict[str, Any], reason: str) -> str | None:
        """Run one step and enter how it ended; why the rest cannot run, or None."""
        entry.update(status="running", reason=reason)
        write_manifest(self.folder, self.manifest)
        self.tell("began", entry)

        started, clock = now(), time.monotonic()
        inputs = inputs_of(step, self.params, self.folder)
        try:
            ended = execute(step, self.params, self.folder)
        except KeyboardInterrupt:
            ended = Ended("died", "It was interrupted from the keyboard.", CRASHED)
        record = _record(step, ended, self.params, self.folder, started, inputs)

        total, cells = time.monotonic() - clock, sum(ended.cells)
        entry.update(
            status=record.status,
            reason=record.reason or reason,
            seconds=round(total, 3),
            verdict=record.verdict,
            time={"kernel": round(total - cells, 3), "cells": round(cells, 3)},
        )
        write_manifest(self.folder, self.manifest)
        if record.status == "ok":
            return None
        self.outcome.exit_code = ended.exit_code
        return f"{step} did not finish ({record.status})"


def _record(
    step: str, ended: Ended, params: Params, folder: Path, started: str, inputs: dict[str, str]
) -> StepRecord:
    """The record the notebook left, if it finished; otherwise one that says how it ended."""
    path = folder / f"{step}.json"
    if ended.status == "ok":
        record = read_record(path) if path.is_file() else None
        if record and record.status == "ok" and (record.started or "") >= started:
            return record
        ended.status, ended.exit_code = "failed", CRASHED
        ended.reason = (
            "The notebook ended early and left no record, as after sys.exit() in a cell. Let its"
            " last cell run."
        )
    return unfinished(step, ended.status, params, folder, inputs, ended.reason or "", started)


def _render(folder: Path, language: str, tell: Tell) -> None:
    """Render the report from what there is; a report that cannot be rendered must not hide how the
    run ended.
    """
    from goemo_utils.report import render

    try:
        render(folder, language)
    except errors.GoemoError as error:
        tell("note", {"text": f"The report was not rendered: {error}"})
