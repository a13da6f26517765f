"""Runs one notebook in a kernel of its own, and says how it ended.

papermill's own metadata is no evidence: it marks timeouts and dead kernels as completed. What a
notebook raised, the end of its kernel, a full disk and a signal are each told in a sentence.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import errors
from goemo_utils.boundary.credentials import recordable, without_credentials
from goemo_utils.boundary.regular import read_regular
from goemo_utils.boundary.remedies import of_error, shortage
from goemo_utils.boundary.signals import how_ended
from goemo_utils.chain import kernels
from goemo_utils.forward import lean
from goemo_utils.params import papermill_parameters
from goemo_utils.records.portable import places, portable
from goemo_utils.records.record import Status, notebooks, now, write_text

if TYPE_CHECKING:
    from goemo_utils.chain.ahead import Ahead
    from goemo_utils.params import Params

CRASHED = 3
# Packages by which papermill reaches notebooks in other places than this disk.
STORES = ("pyarrow", "boto3", "botocore", "azure", "gcsfs")


@dataclass
class Ended:
    """How one notebook ended: status, reason and exit code, and where its time went (seconds)."""

    status: Status
    reason: str | None
    exit_code: int
    cells: list[float] = field(default_factory=list)


def execute(step: str, params: Params, folder: Path, ahead: Ahead | None = None) -> Ended:
    """Run one notebook in a kernel of its own, ``ahead``'s where it has one; its streams go to
    ``logs/<step>.log``.
    """
    import logging

    logging.getLogger("papermill").setLevel(logging.ERROR)
    log = folder / "logs" / f"{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)

    # papermill does not write a notebook in one move.
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / f"{step}.ipynb"
        ended = _run(step, params, output, log, ahead)
        ended.cells = _tidy(output, params, folder)
    _diagnose(ended, log)
    _clean(log.parent)
    return ended


def _run(step: str, params: Params, output: Path, log: Path, ahead: Ahead | None) -> Ended:
    """Let papermill run the notebook of a step, and tell how it ended."""
    with lean.hidden(*lean.FORMATS, *STORES):
        import papermill

        from goemo_utils.chain import engine

    ended = Ended("ok", None, 0)
    kernel = nullcontext() if ahead is None else ahead.kernel(step)
    with kernel as ready, _log(log) as stream, _standard_error(stream.fileno()):
        _say(stream, f"{step} began {now()}")
        try:
            papermill.execute_notebook(
                str(notebooks() / f"{step}.ipynb"),
                str(output),
                engine_name=engine.NAME,
                parameters=papermill_parameters(params),
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=params.step_timeout,
                start_timeout=max(60, params.step_timeout),
                stdout_file=stream,
                stderr_file=stream,
                coalesce_streams=True,
                shutdown_kernel="immediate",
                ready=ready,
                **kernels.manager(params),
            )
        except KeyboardInterrupt:
            ended = Ended("died", how_ended() or "It was interrupted from the keyboard.", CRASHED)
        except Exception as error:
            _say(stream, _plain("\n".join(getattr(error, "traceback", None) or [])))
            ended = _how_it_ended(error, step, log, params.step_timeout)
        because = f" - {ended.reason}" if ended.reason else ""
        _say(stream, f"{step} ended {now()}: {ended.status}{because}")
    return ended


@contextmanager
def _log(path: Path) -> Iterator[Any]:
    """A step's log, open for appending; closing it never fails, as on a full disk."""
    stream = open(path, "a", encoding="utf-8")  # noqa: SIM115  # closed below, in its own way
    try:
        yield stream
    finally:
        with suppress(OSError):
            stream.close()


def _say(stream: Any, line: str) -> None:
    """Add a line to a log; a disk that is full is told in the record and on the screen."""
    with suppress(OSError):
        stream.write(line + "\n")
        stream.flush()


def _clean(logs: Path) -> None:
    """Take credentials out of the logs, which kernels, workers and drivers have written."""
    for log in logs.glob("*.log"):
        with suppress(OSError):
            text = read_regular(log).decode("utf-8", errors="surrogateescape")
            kept = without_credentials(text)
            if kept != text:
                log.write_bytes(kept.encode("utf-8", errors="surrogateescape"))


def _how_it_ended(error: Exception, step: str, log: Path, timeout: int) -> Ended:
    """The end that an exception of papermill tells of."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return _raised(error, log)
    if isinstance(error, CellTimeoutError):
        reason = (
            f"A cell ran longer than step_timeout, {timeout} s. Raise it with -p step_timeout"
            f" SECONDS, or look at logs/{step}.log."
        )
        return Ended("timeout", reason, CRASHED)
    if isinstance(error, DeadKernelError):
        reason = (
            "The notebook's kernel died. Usual causes: out of memory (lower batch_size, or end"
            f" other programs), or a crash in a driver or extension; see logs/{step}.log."
        )
        return Ended("died", reason, CRASHED)

    if ran_out := of_error(error, str(log.parents[1])):
        return Ended("failed", f"The notebook could not go on. {ran_out}", CRASHED)

    # no kernel, an unreadable notebook
    reason = f"The notebook could not be run ({type(error).__name__}: {errors.first_line(error)})."
    return Ended("failed", reason, CRASHED)


def _raised(error: Any, log: Path) -> Ended:
    """The end of a notebook in which a cell raised: papermill's PapermillExecutionError."""
    kind = getattr(errors, error.ename, None)
    if isinstance(kind, type) and issubclass(kind, errors.GoemoError):
        return Ended("failed", _plain(error.evalue or error.ename), kind.exit_code)

    said = f"{error.ename}: {_plain(error.evalue)}"
    if ran_out := shortage(said, str(log.parents[1])):
        return Ended("failed", f"The notebook could not go on. {ran_out}", CRASHED)
    if error.ename == "CellExecutionError":
        # a magic that failed: IPython printed why and raised nothing
        printed = _plain(log.read_text(encoding="utf-8")).splitlines()
        said = next((line for line in printed[::-1] if re.match(r"\w*Error: ", line)), said)
    where = f"Cell {error.exec_count or error.cell_index} of the notebook raised "
    return Ended("failed", where + said, CRASHED)


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

    logs = [one for one in (log, *sorted(log.parent.glob("*worker*.log"))) if one.is_file()]
    texts = [read_regular(one).decode("utf-8", errors="replace") for one in logs]
    found = diagnose("\n".join([ended.reason or "", *texts]))
    for finding in [f for f in found if f["severity"] == "error"][:2]:
        ended.reason = f"{ended.reason} [{finding['id']}] {finding['cause']} {finding['remedy']}"


def _tidy(output: Path, params: Params, folder: Path) -> list[float]:
    """Write an executed notebook into the run's folder, without this machine's paths, and return
    the seconds of each cell; nothing where it cannot be read or written.
    """
    try:
        notebook = json.loads(output.read_text(encoding="utf-8"))
        cells = [cell["metadata"].get("papermill", {}) for cell in notebook["cells"]]
        seconds = [cell.get("duration") or 0.0 for cell in cells]

        # papermill's; the parameters stand in their cell too
        for key in ("input_path", "output_path", "parameters", "environment_variables"):
            notebook["metadata"].get("papermill", {}).pop(key, None)

        told = recordable(portable(notebook, places(params.resolved(), folder)))
        write_text(folder / output.name, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    except (OSError, ValueError, KeyError):
        return []
    return seconds


def _plain(text: str) -> str:
    """Text without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
