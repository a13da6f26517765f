"""Child processes for forward runs: measurement never happens in a notebook's kernel.

A fork server imports torch and transformers once and touches no device; each job runs in a fresh
fork of it, within a tenth of a second. torch_npu is hidden in the server, because transformers
changes the attention mask of every device when it sees one, and the CPU reference must not notice.
A job on a real NPU therefore gets an interpreter of its own instead.

The conversation is one JSON object a line over a Unix socket: a request, then progress lines, then
one answer.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from goemo_utils import errors
from goemo_utils.environment import torch_npu
from goemo_utils.errors import GoemoError, WorkerError, first_line
from goemo_utils.forward.device import import_torch_npu
from goemo_utils.records.record import plain, write_json

KINDS = {
    "device": "goemo_utils.forward.device:run_job",
    "forward": "goemo_utils.forward.run:run",
    "throughput": "goemo_utils.throughput:run_job",
    "parity": "goemo_utils.parity:run_job",
    "smoke": "goemo_utils.classifier.smoke:run_job",
    "training": "goemo_utils.training.fit:run",
    "scratch": "goemo_utils.training.scratch.run:run_job",
    "training_parity": "goemo_utils.training.parity:run_job",
}
ADDRESS = "GOEMO_WORKER"
PRELOAD = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.roberta.modeling_roberta",
    "transformers.models.electra.modeling_electra",
    "transformers.pipelines",
    "goemo_utils.forward.run",
    "goemo_utils.parity.explain",
    "goemo_utils.throughput.measure",
    "goemo_utils.classifier.classifier",
    "safetensors.torch",
)
# oneDNN computes float32 products in bfloat16 where its own variable says so, whatever torch is
# told.
STRICT = {"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT", "DNNL_DEFAULT_FPMATH_MODE": "STRICT"}
TAIL = 15
START_SECONDS = 120


class Server:
    """A running fork server, owned by this process; it ends when this process does, however that
    comes about.
    """

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="goemo-")
        self.address = os.path.join(self.folder.name, "worker")
        environment = {**os.environ, torch_npu.AUTOLOAD: "0", "PYTHONUNBUFFERED": "1", **STRICT}
        # Idle OpenMP threads that spin turn a busy neighbour into a threefold loss of speed.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "goemo_utils.forward.worker", "serve", self.address],
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
        self.folder.cleanup()


_own: list[Server] = []


def address() -> str:
    """Where to send jobs: the chain's server when this process was started by it, else one of our
    own, started on first use.

    The chain does not wait for its server before it starts the first notebooks, so it may still be
    importing. Should it never listen, a server of our own says why.
    """
    inherited = os.environ.get(ADDRESS)
    end = time.monotonic() + START_SECONDS
    while inherited and os.path.isdir(os.path.dirname(inherited)) and time.monotonic() < end:
        if os.path.exists(inherited):
            return inherited
        time.sleep(0.02)
    if not _own or _own[0].process.poll() is not None:
        _own[:] = [Server()]
        atexit.register(_own[0].close)
    return _own[0].wait()


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
    log.parent.mkdir(parents=True, exist_ok=True)
    request = {
        "job": plain({**job, "log": str(log)}),
        "log": str(log),
        "path": [p for p in sys.path if p],
    }
    answer = (_own_interpreter if _on_npu(job) else _ask)(request, progress)

    if "result" in answer:
        result: dict[str, Any] = answer["result"]
        return result
    if "error" in answer:
        raise getattr(errors, answer["error"], GoemoError)(answer["message"])
    end = _tail(log.read_text(errors="replace") if log.exists() else "")
    raise WorkerError(
        f"The {job['kind']} job {answer.get('died', 'ended without an answer')}. The end of"
        f" {log}:\n{end}"
    )


def _on_npu(job: dict[str, Any]) -> bool:
    """Whether a job, or one of its arms, runs on a real NPU."""
    devices = [job.get("device"), *(arm.get("device") for arm in job.get("arms", []))]
    return any(str(device).startswith(("npu", "rehearsal:")) for device in devices)


def _ask(request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address())
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if "progress" not in answer:
                    return answer
                progress(answer["progress"])
    return {}


def _own_interpreter(request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="goemo-") as folder:
        request_file, answer_file = Path(folder) / "request.json", Path(folder) / "answer.json"
        write_json(request_file, request)
        reader, writer = os.pipe()
        files = [str(request_file), str(answer_file), str(writer)]
        command = [sys.executable, "-m", "goemo_utils.forward.worker", "once", *files]

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
        return {"died": _death(child.returncode)}


def _death(code: int) -> str:
    return (
        f"was killed by {signal.Signals(-code).name}"
        if code < 0
        else f"ended with exit code {code}"
    )


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-TAIL:]) or "(it is empty)"


def _perform(request: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the job here, in the child, and turn its end into an answer."""
    job = request["job"]
    sys.path[:] = [*request["path"], *(p for p in sys.path if p not in request["path"])]
    module, _, name = KINDS[job["kind"]].partition(":")
    try:
        if _on_npu(job):
            import_torch_npu(str(job.get("device")))
        return {"result": plain(getattr(import_module(module), name)(job, progress))}
    except GoemoError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # the log keeps the traceback; the answer names it
        import traceback

        traceback.print_exc()
        return {"died": f"raised {type(error).__name__}: {first_line(error)}"}


def serve(path: str) -> None:
    """Import what models need, then fork a child a job until standard input closes."""
    torch_npu.keep_out()  # transformers takes its plain path
    for name in PRELOAD:
        import_module(name)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path + ".new")
        listener.listen(8)
        os.rename(path + ".new", path)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [], 1.0)
            while _reap():
                pass
            if sys.stdin in ready:
                return

            if listener in ready:
                connection, _ = listener.accept()
                if os.fork() == 0:
                    listener.close()
                    _supervise(connection)
                connection.close()


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _supervise(connection: socket.socket) -> None:
    """In a child of the server: run the job in a grandchild, so that its death can be told, and end
    it when the asker goes away.
    """
    with connection.makefile("r", encoding="utf-8") as lines:
        request = json.loads(lines.readline() or "null")
    if request is None:
        os._exit(0)

    worker = os.fork()
    if worker == 0:
        _work(request, connection)

    server = os.getppid()
    while True:
        done, status = os.waitpid(worker, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code != 0:
                _send(connection, {"died": _death(code)})
            os._exit(0)

        gone = select.select([connection], [], [], 0.02)[0] and not connection.recv(1)
        if gone or os.getppid() != server:
            os.killpg(worker, signal.SIGKILL)
            os._exit(0)


def _work(request: dict[str, Any], connection: socket.socket) -> NoReturn:
    """In the grandchild: do the job with its output in the log, answer, and end."""
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)

    answer = _perform(request, lambda line: _send(connection, {"progress": line}))
    _send(connection, answer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def main() -> int:
    """Entry of the child processes; not for people."""
    mode, *rest = sys.argv[1:]
    if mode == "serve":
        serve(*rest)
    else:
        request = json.loads(Path(rest[0]).read_text(encoding="utf-8"))
        with os.fdopen(int(rest[2]), "w", encoding="utf-8") as asker:
            write_json(
                Path(rest[1]),
                _perform(request, lambda line: print(json.dumps(line), file=asker, flush=True)),
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
