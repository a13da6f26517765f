"""Runs the notebooks of a run one after another, resumes, and contains failures.

papermill's own metadata is no evidence of completion: it marks timeouts and dead kernels as
completed, and a notebook that calls ``sys.exit(0)`` looks finished. A step counts as done when its
record says so, and only then.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import errors
from goemo_utils.chain.plan import Planned, make_plan, why_run
from goemo_utils.forward import worker
from goemo_utils.params import papermill_parameters
from goemo_utils.records.manifest import locked, new_manifest, point_latest, write_manifest
from goemo_utils.records.portable import places, portable
from goemo_utils.records.record import (
    StepRecord,
    notebooks,
    now,
    read_json,
    read_record,
    write_text,
)
from goemo_utils.records.step import inputs_of, run_dir, unfinished

if TYPE_CHECKING:
    from goemo_utils.params import Params

CRASHED = 3


@dataclass
class Outcome:
    """How a run ended: its folder, one entry a step, the verdict of its summary, and the exit code."""

    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    verdict: str = "incomplete"
    exit_code: int = 0
    seconds: float = 0.0


@dataclass
class Ended:
    """How one notebook ended: status, reason and exit code, and where its time went (seconds)."""

    status: str
    reason: str | None
    exit_code: int
    cells: list[float] = field(default_factory=list)


def run(
    params: Params,
    params_file: Path | None = None,
    start: str | None = None,
    only: str | None = None,
    force: bool = False,
    command: list[str] | None = None,
    tell: Callable[[str, dict[str, Any]], None] = lambda event, facts: None,
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
        server = worker.Server() if any(p.runs for p in plan) else None
        if server:
            os.environ[worker.ADDRESS] = server.address
        try:
            _run_steps(params, plan, folder, manifest, outcome, tell, bool(force or start or only))
        finally:
            os.environ.pop(worker.ADDRESS, None)
            if server:
                server.close()
        if manifest["steps"][-1]["status"] != "ok" and any(
            s["status"] not in ("skipped", "not-run") for s in manifest["steps"]
        ):
            _render(folder, params.language, tell)
        if (folder / "summary.json").is_file():
            outcome.verdict = read_json(folder / "summary.json")["verdict"]
        if outcome.exit_code == 0 and outcome.verdict == "fail":
            outcome.exit_code = 1
        outcome.seconds = time.monotonic() - began
    return outcome


def _run_steps(
    params: Params,
    plan: list[Planned],
    folder: Path,
    manifest: dict[str, Any],
    outcome: Outcome,
    tell: Callable[[str, dict[str, Any]], None],
    forced: bool,
) -> None:
    stopped: str | None = None
    for planned, entry in zip(plan, manifest["steps"], strict=True):
        step = planned.step
        reason = planned.reason
        if stopped:
            entry.update(status="not-run", reason=stopped)
            unfinished(step, "not-run", params, folder, {}, stopped)
            tell("ended", entry)
            continue
        # What an earlier step left is known only now: it may have left the same as last time.
        again = (
            planned.runs
            if forced
            else (reason := why_run(step, params, folder) or "nothing it depends on changed")
            != "nothing it depends on changed"
        )
        if not again:
            entry.update(status="skipped", reason=reason)
            tell("ended", entry)
            continue
        entry.update(status="running", reason=reason)
        write_manifest(folder, manifest)
        tell("began", entry)
        started, clock = now(), time.monotonic()
        inputs = inputs_of(step, params, folder)
        try:
            ended = execute(step, params, folder)
        except KeyboardInterrupt:
            ended = Ended("died", "It was interrupted from the keyboard.", CRASHED)
        record = _record(step, ended, params, folder, started, inputs)
        total = round(time.monotonic() - clock, 3)
        entry.update(
            status=record.status,
            reason=record.reason or reason,
            seconds=total,
            verdict=record.verdict,
            time={
                "kernel": round(total - sum(ended.cells), 3),
                "cells": round(sum(ended.cells), 3),
            },
        )
        if record.status != "ok":
            outcome.exit_code = ended.exit_code
            stopped = f"{step} did not finish ({record.status})"
        write_manifest(folder, manifest)
        tell("ended", entry)
    write_manifest(folder, manifest)


def _record(
    step: str, ended: Ended, params: Params, folder: Path, started: str, inputs: dict[str, str]
) -> StepRecord:
    """The record the notebook left, if it finished; otherwise one that says how it ended."""
    path = folder / f"{step}.json"
    if ended.status == "ok":
        record = read_record(path) if path.is_file() else None
        if record and record.status == "ok" and record.started >= started:
            return record
        ended.status, ended.exit_code = "failed", CRASHED
        ended.reason = (
            "The notebook ended early and left no record, as after sys.exit() in a cell. Let its"
            " last cell run."
        )
    return unfinished(step, ended.status, params, folder, inputs, ended.reason or "", started)


def execute(step: str, params: Params, folder: Path) -> Ended:
    """Run one notebook in a kernel of its own; its streams go to ``logs/<step>.log``."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    import logging

    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    output, log = folder / f"{step}.ipynb", folder / "logs" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    ended = Ended("ok", None, 0)
    log.unlink(missing_ok=True)
    with open(log, "a", encoding="utf-8") as stream, _standard_error(stream.fileno()):
        stream.write(f"{step} began {now()}\n")
        stream.flush()
        try:
            papermill.execute_notebook(
                str(notebooks() / f"{step}.ipynb"),
                str(output),
                parameters=papermill_parameters(params),
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=params.step_timeout,
                start_timeout=max(60, params.step_timeout),
                stdout_file=stream,
                stderr_file=stream,
                coalesce_streams=True,
                shutdown_kernel="immediate",
            )
        except PapermillExecutionError as error:
            kind = getattr(errors, error.ename, None)
            known = isinstance(kind, type) and issubclass(kind, errors.GoemoError)
            raised = (
                _plain(error.evalue or error.ename)
                if known
                else f"{error.ename}: {_plain(error.evalue)}"
            )
            if (
                error.ename == "CellExecutionError"
            ):  # a magic that failed: IPython printed why and raised nothing
                stream.flush()
                printed = [
                    line
                    for line in _plain(log.read_text(encoding="utf-8")).splitlines()
                    if re.match(r"\w*Error: ", line)
                ]
                raised = printed[-1] if printed else raised
            where = (
                ""
                if known
                else f"Cell {error.exec_count or error.cell_index} of the notebook raised "
            )
            ended = Ended("failed", where + raised, kind.exit_code if known else CRASHED)
            stream.write(_plain("\n".join(error.traceback or [])) + "\n")
        except CellTimeoutError:
            ended = Ended(
                "timeout",
                f"A cell ran longer than step_timeout, {params.step_timeout} s. Raise it with -p"
                f" step_timeout SECONDS, or look at logs/{step}.log.",
                CRASHED,
            )
        except DeadKernelError:
            ended = Ended(
                "died",
                "The notebook's kernel died. Usual causes: out of memory, or a crash in a driver"
                f" or extension; see logs/{step}.log.",
                CRASHED,
            )
        except (
            OSError,
            ValueError,
            RuntimeError,
        ) as error:  # no kernel, unreadable notebook, disk full
            ended = Ended(
                "failed",
                f"The notebook could not be run ({type(error).__name__}: {error}).",
                CRASHED,
            )
        stream.write(
            f"{step} ended {now()}: {ended.status}{' - ' + ended.reason if ended.reason else ''}\n"
        )
    ended.cells = _tidy(output, params, folder)
    _diagnose(ended, log)
    return ended


@contextmanager
def _standard_error(target: int) -> Iterator[None]:
    """Send the standard error of this process and of the kernels it starts to a file descriptor:
    drivers write there, past Python and past Jupyter.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(target, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _diagnose(ended: Ended, log: Path) -> None:
    """Match a failure's log against the known messages of torch_npu and CANN, and add the cause and
    remedy to the reason.
    """
    if ended.status == "ok":
        return
    from goemo_utils.environment import diagnose

    texts = [
        p.read_text(encoding="utf-8", errors="replace")
        for p in (log, *sorted(log.parent.glob("*worker*.log")))
        if p.is_file()
    ]
    found = diagnose("\n".join([ended.reason or "", *texts]))
    for finding in [f for f in found if f["severity"] == "error"][:2]:
        ended.reason = f"{ended.reason} [{finding['id']}] {finding['cause']} {finding['remedy']}"


def _tidy(output: Path, params: Params, folder: Path) -> list[float]:
    """Take this machine's paths out of an executed notebook, and return the seconds of each cell;
    nothing where it cannot be read.
    """
    try:
        notebook = json.loads(output.read_text(encoding="utf-8"))
        seconds = [
            c["metadata"].get("papermill", {}).get("duration") or 0.0 for c in notebook["cells"]
        ]
        for key in (
            "input_path",
            "output_path",
            "parameters",
            "environment_variables",
        ):  # papermill's; the parameters stand in their cell too
            notebook["metadata"].get("papermill", {}).pop(key, None)
        write_text(
            output,
            json.dumps(
                portable(notebook, places(params.resolved(), folder)), ensure_ascii=False, indent=1
            )
            + "\n",
        )
    except (OSError, ValueError, KeyError):
        return []
    return seconds


def _plain(text: str) -> str:
    """Text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _render(folder: Path, language: str, tell: Callable[[str, dict[str, Any]], None]) -> None:
    """Render the report from what there is; a report that cannot be rendered must not hide how the
    run ended.
    """
    from goemo_utils.report import render

    try:
        render(folder, language)
    except errors.GoemoError as error:
        tell("note", {"text": f"The report was not rendered: {error}"})
