"""The side of a forward run's child processes: the fork server, and what it forks.

The server imports torch and transformers once and touches no device; each job runs in a fresh fork
of it. It takes jobs from processes of the same user alone, over a socket in a folder that nobody
else can enter, and does only what KINDS names.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from goemo_utils.boundary.remedies import KILLED, of_error
from goemo_utils.boundary.signals import die_with_parent
from goemo_utils.environment import imported, torch_npu
from goemo_utils.errors import GoemoError, first_line
from goemo_utils.forward import lean
from goemo_utils.forward.device import GENUINE, import_torch_npu
from goemo_utils.records.record import now, plain, write_json

KINDS = {
    "device": "goemo_utils.forward.device:run_job",
    "forward": "goemo_utils.forward.run:run",
    "throughput": "goemo_utils.throughput:run_job",
    "parity": "goemo_utils.parity:run_job",
    "smoke": "goemo_utils.classifier.smoke:run_job",
    "training": "goemo_utils.training.fit:run",
    "scratch": "goemo_utils.training.scratch.run:run_job",
    "optimise": "goemo_utils.optimise.study:run_job",
    "rung": "goemo_utils.optimise.measure:run_job",
    "training_parity": "goemo_utils.training.parity:run_job",
    "card": "goemo_utils.learn.card:run_job",
}
WAITING = ("parity", "throughput")
"""Kinds that begin at once, and wait to be asked for before they read or time what must come after
others.
"""

BESIDE = "GOEMO_BESIDE"
"""Names the server that begins as a fork of the first, once that has imported."""

PRELOAD = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.roberta.modeling_roberta",
    "transformers.models.electra.modeling_electra",
    "goemo_utils.forward.run",
    "safetensors.torch",
)
OF_JOBS = (
    "transformers.pipelines",
    "goemo_utils.parity.explain",
    "goemo_utils.throughput.measure",
    "goemo_utils.classifier.classifier",
)
"""What jobs use beside it, and a server beside this one does not wait for."""


def death(code: int) -> str:
    """How a child ended, by its exit code, in words that follow its name."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    likely = f", {KILLED}" if name == "SIGKILL" else ""
    return f"was killed by {name}{likely}"


def on_npu(job: dict[str, Any]) -> bool:
    """Whether a job, or one of its arms, runs on torch_npu."""
    return any(device.startswith(("npu", "rehearsal:")) for device in _devices(job))


def on_stand_ins(job: dict[str, Any]) -> bool:
    """Whether a job, and each of its arms that runs on torch_npu, does so on a SIMULATED CANN."""
    asked = {device for device in _devices(job) if device.startswith(("npu", "rehearsal:"))}
    return asked == {GENUINE}


def _devices(job: dict[str, Any]) -> list[str]:
    devices = [job.get("device"), *(arm.get("device") for arm in job.get("arms", []))]
    return [str(device) for device in devices]


def _perform(
    request: dict[str, Any],
    progress: Callable[[str], None],
    asked: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run the job here, in the child, and turn its end into an answer. A job of a kind that waits
    calls ``asked`` where it must.
    """
    job = request["job"]
    sys.path[:] = [*request["path"], *(p for p in sys.path if p not in request["path"])]
    module, _, name = KINDS[job["kind"]].partition(":")
    hears = (progress, asked) if job["kind"] in WAITING else (progress,)
    try:
        if on_npu(job):
            import_torch_npu(str(job.get("device")))
        return {"result": plain(getattr(import_module(module), name)(job, *hears))}
    except GoemoError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # the log keeps the traceback; the answer names it
        import traceback

        with suppress(OSError):  # the log's disk may be the full one
            traceback.print_exc()
            sys.stderr.flush()
        folder = str(Path(str(request["log"])).parent)
        if ran_out := of_error(error, folder):
            return {"shortage": ran_out}
        return {"died": f"raised {type(error).__name__}: {first_line(error)}"}


def serve(path: str, device: str | None = None) -> None:
    """Import what models need, then fork a child a job until the guard ends this process.

    Every job is for ``device``, where one is named: the genuine torch_npu on a SIMULATED CANN.
    """
    if device:
        import_torch_npu(device)  # before transformers, as in an interpreter of the job's own
    else:
        torch_npu.keep_out()  # transformers takes its plain path
        imported.tell()
    lean.import_transformers()
    for name in PRELOAD:
        import_module(name)

    if beside := os.environ.pop(BESIDE, None):
        _fork_beside(beside, path)
    for name in OF_JOBS:
        import_module(name)
    listen(path, _supervise)


def _fork_beside(name: str, path: str) -> None:
    """Let another server, ``module:function``, begin with what is imported here."""
    server = os.getpid()
    if os.fork() == 0:
        die_with_parent(server)
        module, _, function = name.partition(":")
        try:
            getattr(import_module(module), function)(path)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(1)


def listen(
    path: str,
    supervise: Callable[[socket.socket], None],
    then: Callable[[], None] = lambda: None,
) -> None:
    """Fork a child an asker, which does ``supervise``, until this process's parent ends; and do
    ``then`` once, between the first and the second.
    """
    gc.freeze()  # what is imported is never collected, so a fork copies no page of it for that
    first = True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path + ".new")
        listener.listen(8)
        os.rename(path + ".new", path)
        guard = os.getppid()
        while os.getppid() == guard:
            ready, _, _ = select.select([listener], [], [], 1.0)
            while _reap():
                pass
            if ready:
                connection, _ = listener.accept()
                if _asker(connection) == os.getuid() and os.fork() == 0:
                    listener.close()
                    _in_child(connection, supervise)
                connection.close()
                if first:
                    then()
                    first = False


def _asker(connection: socket.socket) -> int:
    """The user that a connection comes from; our own where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", told)
    return int(user)


def _in_child(connection: socket.socket, supervise: Callable[[socket.socket], None]) -> NoReturn:
    """In a child of the server: whatever happens, never go on as a second server."""
    try:
        supervise(connection)
    finally:
        os._exit(1)


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _supervise(connection: socket.socket) -> None:
    """In a child of the server: take the asker's job, and run it."""
    with connection.makefile("r", encoding="utf-8") as lines:
        request = json.loads(lines.readline() or "null")
    if request is None:
        os._exit(0)
    attend(connection, lambda supervisor: _work(supervisor, request, connection))


def attend(connection: socket.socket, work: Callable[[int], NoReturn]) -> NoReturn:
    """In a child of a server: do ``work`` in a grandchild, so that its death can be told, and end
    it when the asker goes away.
    """
    supervisor = os.getpid()
    worker = os.fork()
    if worker == 0:
        work(supervisor)

    server = os.getppid()
    while True:
        done, status = os.waitpid(worker, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code != 0:
                _send(connection, {"died": death(code)})
            os._exit(0)

        gone = select.select([connection], [], [], 0.02)[0] and not connection.recv(1)
        if gone or os.getppid() != server:
            _end(worker)


def _end(worker: int) -> NoReturn:
    """Kill a worker and what it started, and end. It is waited for, as one that has answered and is
    about to end by itself: so its processor time counts as the server's.
    """
    try:
        os.killpg(worker, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    os._exit(0)


def _work(supervisor: int, request: dict[str, Any], connection: socket.socket) -> NoReturn:
    """In the grandchild: do the job with its output in the log, answer, and end."""
    os.setsid()
    die_with_parent(supervisor)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)

    place = request.get("early")
    asker = _Later(place) if place else _Asker(connection)
    answer = _perform(request, asker.progress, asker.wait)
    asker.answer(answer)
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


class _Asker:
    """Whoever asked for a job, and hears of it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection: socket.socket | None = connection

    def wait(self) -> None:
        """Return once somebody hears."""

    def progress(self, line: str) -> None:
        """Tell how far the job is."""
        if self.connection is not None:
            _send(self.connection, {"progress": line})

    def answer(self, answer: dict[str, Any]) -> None:
        """Tell how the job ended."""
        self.wait()
        if self.connection is not None:
            _send(self.connection, answer)


class _Later(_Asker):
    """Whoever will ask, at ``place``, for a job that was begun early; nobody hears until then."""

    def __init__(self, place: str) -> None:
        self.connection = None
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(f"{place}.new")
        self.listener.listen(1)
        os.rename(f"{place}.new", place)

    def wait(self) -> None:
        """Return once a process of this user has asked."""
        while self.connection is None:
            connection, _ = self.listener.accept()
            if _asker(connection) == os.getuid():
                self.connection = connection
                print(f"begun early, asked for at {now()}", flush=True)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def main() -> int:
    """Entry of a job in an interpreter of its own; not for people."""
    asker, request_file, answer_file, progress = sys.argv[1:]
    die_with_parent(int(asker))
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))

    with os.fdopen(int(progress), "w", encoding="utf-8") as heard:
        answer = _perform(request, lambda line: print(json.dumps(line), file=heard, flush=True))
        write_json(Path(answer_file), answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
