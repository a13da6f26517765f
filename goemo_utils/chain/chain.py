"""Runs the notebooks of a run one after another, resumes, and contains failures.

papermill's own metadata is no evidence of completion: it marks timeouts and dead kernels as
completed, and a notebook that calls ``sys.exit(0)`` looks finished. A step counts as done when its
record says so, and only then.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import errors
from goemo_utils.boundary.parts import clear_parts, scratch
from goemo_utils.boundary.remedies import of_error
from goemo_utils.boundary.signals import how_ended
from goemo_utils.chain import kernels
from goemo_utils.chain.ahead import Ahead
from goemo_utils.chain.early import Work
from goemo_utils.chain.notebook import CRASHED, Ended, execute
from goemo_utils.chain.plan import UNCHANGED, Planned, make_plan, why_run
from goemo_utils.environment import imported
from goemo_utils.forward import worker
from goemo_utils.forward.device import GENUINE
from goemo_utils.records import digests
from goemo_utils.records.manifest import locked, new_manifest, point_latest, write_manifest
from goemo_utils.records.record import StepRecord, now, read_json, read_record
from goemo_utils.records.step import inputs_of, leave, run_dir, unfinished

if TYPE_CHECKING:
    from goemo_utils.params import Params

# OpenMP threads of kernels sleep while they wait, as the workers' do: threads that spin take a busy
# machine's time from what they wait for. And a kernel says nothing of its debugger.
FOR_KERNELS = {"OMP_WAIT_POLICY": "PASSIVE", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

Tell = Callable[[str, dict[str, Any]], None]
"""Hears of each step as it begins and ends: an event (began, ended, note) and its facts."""


@dataclass
class Outcome:
    """How a run ended: its folder, one entry a step, the verdict and gates of its summary, the
    exit code, and whether the page there tells of this run.
    """

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    verdict: str = "incomplete"
    gates: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int = 0
    seconds: float = 0.0
    told: bool = False


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
        _clear(folder)
        manifest = new_manifest(params, params_file, command or [])
        point_latest(folder)
        outcome = Outcome(folder, manifest["steps"])

        runs = [planned.step for planned in plan if planned.runs]
        forced = bool(force or start or only)
        ahead = Ahead(params, folder / "logs", runs)
        early = Work(params, folder, runs, forced)
        running = _Running(params, folder, manifest, outcome, tell, ahead, early)
        with _fork_servers(bool(runs), params.opened_as), closing(ahead), closing(early):
            if runs:
                ahead.start_first()
            running.steps(plan, forced)

        outcome.told = running.report()
        if outcome.told:
            _conclude(outcome)
        outcome.seconds = time.monotonic() - began
    return outcome


def _clear(folder: Path) -> None:
    """Remove unfinished files that a killed run left in its folder; the caller holds its lock."""
    for place in (folder, *(one for one in folder.iterdir() if one.is_dir())):
        clear_parts(place)


def _conclude(outcome: Outcome) -> None:
    """Take the verdict and the gates from the summary, and the exit code from the verdict."""
    path = outcome.folder / "summary.json"
    if not path.is_file():
        return
    try:
        summary = read_json(path)
        outcome.verdict, outcome.gates = summary["verdict"], list(summary["gates"])
    except (errors.RecordError, KeyError, TypeError):
        outcome.exit_code = outcome.exit_code or CRASHED
        return
    if outcome.exit_code == 0 and outcome.verdict == "fail":
        outcome.exit_code = 1


@contextmanager
def _fork_servers(needed: bool, device: str) -> Iterator[None]:
    """A fork server for the kernels of this run, told to them by the environment, and a folder for
    whatever they leave among the temporary files: it goes when the run ends, however it ends. A
    rehearsal with the genuine torch_npu has a second server beside it.
    """
    if not needed:
        yield
        return

    with scratch() as folder, _temporary_files_in(folder), _settings_of_kernels():
        os.environ[imported.PLACE] = str(folder / "torch.json")
        os.environ[digests.PLACE] = str(folder / "digests")
        servers = [worker.Server(folder, beside=kernels.SERVE)]
        os.environ[worker.ADDRESS] = servers[0].address
        if device == GENUINE:
            beside = Path(worker.second_address(servers[0].address)).parent
            beside.mkdir()
            servers.append(worker.Server(beside, device))
        try:
            yield
        finally:
            for name in (worker.ADDRESS, imported.PLACE, digests.PLACE):
                os.environ.pop(name, None)
            for server in servers:
                server.close()


@contextmanager
def _settings_of_kernels() -> Iterator[None]:
    """Set, for kernels that are started, what the environment does not say already."""
    unsaid = [name for name in FOR_KERNELS if name not in os.environ]
    os.environ.update({name: FOR_KERNELS[name] for name in unsaid})
    try:
        yield
    finally:
        for name in unsaid:
            os.environ.pop(name, None)


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let this process and its children make their temporary files in ``folder``."""
    kept, chosen = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = chosen
        if kept is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = kept


@dataclass
class _Running:
    """A run in progress: what its steps need, and what they change."""

    params: Params
    folder: Path
    manifest: dict[str, Any]
    outcome: Outcome
    tell: Tell
    ahead: Ahead
    early: Work
    stopped: str | None = None

    def steps(self, plan: list[Planned], forced: bool) -> None:
        """Run what the plan says, or, unless ``forced``, what still has to run at its turn."""
        for planned, entry in zip(plan, self.manifest["steps"], strict=True):
            try:
                self._turn(planned, entry, forced)
            except KeyboardInterrupt:  # between two notebooks
                self._stop(planned.step, entry, Ended("died", how_ended(), CRASHED))
            self.tell("ended", entry)
        self._write(lambda: write_manifest(self.folder, self.manifest))

    def _turn(self, planned: Planned, entry: dict[str, Any], forced: bool) -> None:
        """Run a step, skip it, or say that it cannot run."""
        if self.stopped:
            entry.update(status="not-run", reason=self.stopped)
            record = unfinished(planned.step, "not-run", self.params, {}, self.stopped)
            self._write(lambda: leave(record, self.folder))
            return

        runs, reason = planned.runs, planned.reason
        if not forced:
            # Known only now: an earlier step may have left the same as last time.
            why = why_run(planned.step, self.params, self.folder)
            runs, reason = why is not None, why or UNCHANGED
        if runs:
            self._step(planned.step, entry, reason)
        else:
            entry.update(status="skipped", reason=reason)

    def _step(self, step: str, entry: dict[str, Any], reason: str) -> None:
        """Run one step and enter how it ended."""
        entry.update(status="running", reason=reason)
        self._write(lambda: write_manifest(self.folder, self.manifest))
        self.tell("began", entry)

        started, clock = now(), time.monotonic()
        path = self.folder / f"{step}.json"
        before, inputs = _identity(path), {}
        try:
            inputs = inputs_of(step, self.params, self.folder)
            self.early.beside(step)
            ended = execute(step, self.params, self.folder, self.ahead)
        except KeyboardInterrupt:
            ended = Ended("died", how_ended(), CRASHED)
        except errors.GoemoError as error:
            ended = Ended("failed", str(error), error.exit_code)
        except OSError as error:
            ended = Ended("failed", _could_not(error, self.folder), CRASHED)

        record = _finished(path, before) if ended.status == "ok" else None
        if record is None:
            self._stop(step, entry, _left_nothing(ended), inputs, started)
        else:
            entry.update(status=record.status, verdict=record.verdict)
        total, cells = time.monotonic() - clock, sum(ended.cells)
        entry["seconds"] = round(total, 3)
        entry["time"] = {"kernel": round(total - cells, 3), "cells": round(cells, 3)}
        self._write(lambda: write_manifest(self.folder, self.manifest))

    def _stop(
        self,
        step: str,
        entry: dict[str, Any],
        ended: Ended,
        inputs: dict[str, str] | None = None,
        started: str | None = None,
    ) -> None:
        """Enter and record that a step did not finish: those after it cannot run."""
        reason = ended.reason or "It was interrupted from the keyboard."
        record = unfinished(step, ended.status, self.params, inputs or {}, reason, started)
        entry.update(status=record.status, reason=reason, verdict=None)
        self.outcome.exit_code = ended.exit_code
        self.stopped = f"{step} did not finish ({record.status})"

        self._write(lambda: leave(record, self.folder))

    def report(self) -> bool:
        """Render the report unless its notebook has, or nothing ran; whether it now says how the
        run ended.
        """
        states = [step["status"] for step in self.manifest["steps"]]
        some_ran = any(status not in ("skipped", "not-run") for status in states)
        if states[-1] == "ok" or not some_ran:
            return True

        from goemo_utils.report import render

        try:
            render(self.folder, self.params.language)
        except errors.GoemoError as error:
            self.tell("note", {"text": f"The report was not rendered: {error}"})
        except OSError as error:
            said = _could_not(error, self.folder)
            self.tell("note", {"text": f"The report was not rendered: {said}"})
        except KeyboardInterrupt:
            self.tell("note", {"text": "The report was not rendered: it was interrupted."})
        else:
            return True
        self.outcome.exit_code = self.outcome.exit_code or CRASHED
        return False

    def _write(self, write: Callable[[], Any]) -> None:
        """Write something of the run; a disk that is full must not hide how the run ended."""
        try:
            write()
        except OSError as error:
            name = Path(str(error.filename or self.folder)).name
            said = _could_not(error, self.folder)
            self.tell("note", {"text": f"{name} was not written: {said}"})
            self.outcome.exit_code = self.outcome.exit_code or CRASHED


def _could_not(error: OSError, folder: Path) -> str:
    return (
        of_error(error, str(folder)) or f"{error.strerror or error} ({error.filename or folder})."
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it, whatever the clock says meanwhile."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _finished(path: Path, before: tuple[int, int] | None) -> StepRecord | None:
    """The record that the notebook left, if it left one now and it says that it finished."""
    if _identity(path) in (None, before):
        return None
    try:
        record = read_record(path)
    except errors.RecordError:
        return None
    return record if record.status == "ok" else None


def _left_nothing(ended: Ended) -> Ended:
    """The end of a notebook without a record: as it was told, or that its last cell never ran."""
    if ended.status != "ok":
        return ended
    reason = (
        "The notebook ended early and left no record, as after sys.exit() in a cell. Let its last"
        " cell run."
    )
    return Ended("failed", reason, CRASHED, ended.cells)
