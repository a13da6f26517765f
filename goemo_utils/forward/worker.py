"""Child processes for forward runs: measurement never happens in a notebook's kernel.

A fork server imports torch and transformers once and touches no device; each job runs in a fresh
fork of it, within a tenth of a second. torch_npu is hidden in the server, because transformers
changes the attention mask of every device when it sees one, and the CPU reference must not notice.
A job on a real NPU therefore gets an interpreter of its own instead. For the genuine torch_npu on a
SIMULATED CANN a chain has a second server, which imports it before transformers; it too touches no
device.

The server runs in guard.py's and server.py's processes; this module is what asks. The conversation
is one JSON object a line over a Unix socket: a request, then progress lines, then one answer.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goemo_utils import errors
from goemo_utils.boundary.parts import Scratch, scratch
from goemo_utils.environment import torch_npu
from goemo_utils.errors import GoemoError, WorkerError
from goemo_utils.forward.guard import ADDRESS as ADDRESS
from goemo_utils.forward.guard import SEEN
from goemo_utils.forward.server import BESIDE, KINDS, death, on_npu, on_stand_ins
from goemo_utils.records.record import plain, sha256_json

# oneDNN computes float32 products in bfloat16 where its own variable says so, whatever torch is
# told.
STRICT = {"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT", "DNNL_DEFAULT_FPMATH_MODE": "STRICT"}
TAIL = 15
START_SECONDS = 120


class Server:
    """A running fork server, owned by this process; it ends when this process does, however that
    comes about, and its folder, one of its own or one that is given, goes with it. It has the
    torch_npu of ``device``, where one is named, and ``beside`` it, a function as
    ``module:function``, another server begins as its fork.
    """

    def __init__(
        self, folder: Path | None = None, device: str | None = None, beside: str | None = None
    ) -> None:
        self._own_folder: Scratch | None = None
        if folder is None:
            self._own_folder = Scratch()
            folder = self._own_folder.path

        self.folder = folder
        self.address = str(self.folder / "worker")
        environment = {**os.environ, torch_npu.AUTOLOAD: "0", "PYTHONUNBUFFERED": "1", **STRICT}
        environment[SEEN] = str(self.folder / "seen.json")
        # Idle OpenMP threads that spin turn a busy neighbour into a threefold loss of speed.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if beside:
            environment[BESIDE] = beside
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "goemo_utils.forward.guard", str(self.folder)),
                *([device] if device else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def wait(self, timeout: float = START_SECONDS) -> str:
        """The address, once the server listens. Raises WorkerError when it dies first."""
        end = time.monotonic() + timeout
        while not os.path.exists(self.address):
            if self.process.poll() is not None:
                said = self.process.stderr.read() if self.process.stderr else b""
                raise WorkerError(
                    f"The worker process could not start: {_tail(said.decode(errors='replace'))}"
                )
            if time.monotonic() > end:
                raise WorkerError(
                    f"The worker process did not start within {timeout:.0f} s: importing torch may"
                    " be stuck. Try `python -c 'import torch'`."
                )
            time.sleep(0.02)

        return self.address

    def close(self) -> None:
        """End the server and what it still runs."""
        if self.process.poll() is None:
            if self.process.stdin:
                self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._own_folder:
            self._own_folder.close()


_own: list[Server] = []


def address() -> str:
    """Where to send jobs: the chain's server when this process was started by it, else one of our
    own, started on first use.

    The chain does not wait for its server before it starts the first notebooks, so it may still be
    importing. Should it never listen, a server of our own says why.
    """
    inherited = _listening(os.environ.get(ADDRESS))
    if inherited:
        return inherited

    if not _own or _own[0].process.poll() is not None:
        _own[:] = [Server()]
        atexit.register(_own[0].close)

    return _own[0].wait()


def second_address(chains: str) -> str:
    """Where the chain's second server is, by the address of its first."""
    return os.path.join(os.path.dirname(chains), "torch_npu", "worker")


def _listening(inherited: str | None) -> str | None:
    """``inherited`` once somebody listens there; None when nobody will."""
    end = time.monotonic() + START_SECONDS
    while inherited and os.path.isdir(os.path.dirname(inherited)) and time.monotonic() < end:
        if os.path.exists(inherited):
            return inherited
        time.sleep(0.02)
    return None


def run(
    job: dict[str, Any], log: Path, progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Run a job in a child process; its standard output and error go to ``log``.

    A GoemoError of the job is raised again here. Any other end (exception, signal, lost connection)
    is a WorkerError with the end of the log.
    """
    if job["kind"] not in KINDS:
        raise WorkerError(
            f"Unknown kind of job '{job['kind']}': expected one of {', '.join(KINDS)}."
        )

    log = Path(log).resolve()
    request = request_of(job, log)
    answer = _answer(job, request, progress)

    if "result" in answer:
        result: dict[str, Any] = answer["result"]
        return result
    if "error" in answer:
        raise getattr(errors, answer["error"], GoemoError)(answer["message"])
    if "shortage" in answer:
        raise WorkerError(f"The {job['kind']} job stopped. {answer['shortage']} Its log: {log}")
    end = _tail(log.read_text(errors="replace") if log.is_file() else "")
    raise WorkerError(
        f"The {job['kind']} job {answer.get('died', 'ended without an answer')}. The end of"
        f" {log}:\n{end}"
    )


def request_of(job: dict[str, Any], log: Path) -> dict[str, Any]:
    """What a server is asked for a job; the folder of its log is made."""
    log = log.resolve()
    log.parent.mkdir(parents=True, exist_ok=True)
    return {
        "job": plain({**job, "log": str(log)}),
        "log": str(log),
        "path": [p for p in sys.path if p],
    }


def early_place(server: str, request: dict[str, Any]) -> str:
    """Where a job that was begun early (``goemo_utils.forward.early``) is asked for: another job
    has another place.
    """
    return f"{server}-{sha256_json(request['job'])[-16:]}"


def _answer(
    job: dict[str, Any], request: dict[str, Any], progress: Callable[[str], None]
) -> dict[str, Any]:
    if not on_npu(job):
        return _of_early(request, progress) or _ask(address(), request, progress)

    chains = os.environ.get(ADDRESS)
    served = _listening(second_address(chains)) if chains and on_stand_ins(job) else None
    return _ask(served, request, progress) if served else _own_interpreter(request, progress)


def _ask(server: str, request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(server)
        connection.sendall(json.dumps(request).encode() + b"\n")
        return _heard(connection, progress)


def _of_early(request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """The answer of this very job where it was begun early; nothing where it was not, or has died:
    then it is asked for as ever. One asker alone can have it.
    """
    place = early_place(os.environ.get(ADDRESS, ""), request)
    try:
        os.rename(place, f"{place}.asked")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(f"{place}.asked")
            return _heard(connection, progress)
    except OSError:
        return {}


def _heard(connection: socket.socket, progress: Callable[[str], None]) -> dict[str, Any]:
    """The answer that comes over a connection; nothing where it ends before."""
    with connection.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            answer: dict[str, Any] = json.loads(line)
            if "progress" not in answer:
                return answer
            progress(answer["progress"])
    return {}


def _own_interpreter(request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    with scratch() as folder:
        request_file, answer_file = folder / "request.json", folder / "answer.json"
        request_file.write_text(json.dumps(request), encoding="utf-8")
        reader, writer = os.pipe()
        told = [str(os.getpid()), str(request_file), str(answer_file), str(writer)]
        command = [sys.executable, "-m", "goemo_utils.forward.server", *told]

        with open(request["log"], "ab") as log, os.fdopen(reader, encoding="utf-8") as lines:
            child = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                pass_fds=[writer],
                env=torch_npu.for_an_npu(os.environ),
            )
            os.close(writer)
            try:
                for line in lines:
                    progress(json.loads(line))
            except BaseException:  # whoever listens has gone
                child.kill()
                raise
            finally:
                child.wait()

        if answer_file.exists():
            answer: dict[str, Any] = json.loads(answer_file.read_text(encoding="utf-8"))
            return answer
        return {"died": death(child.returncode)}


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-TAIL:]) or "(it is empty)"
