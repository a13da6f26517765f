"""Start a published folder as a hub does, ask it, and stop it: ``goemo publish --start DIR``.

It runs what is in the folder, so it is for folders that one trusts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.errors import GoemoError, ParamsError

TEXT = "I am so happy today!"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HF_HOME", "HF_HUB_OFFLINE")
# What the driver and CANN set for a device, by the beginning of the names.
OF_DEVICES = ("ASCEND", "NPU", "HCCL", "CUDA", "TBE", "TOOLCHAIN")
ADDRESSES = ("/predict", "/embed")


class StartError(GoemoError):
    """A published folder did not start, did not answer, or did not stop."""


@dataclass(frozen=True)
class Started:
    """What a folder answered: the address, its answer, seconds to the first one, and exit code."""

    address: str
    answer: Any
    seconds: float
    exit_code: int


def start(
    folder: Path, device: str = "cpu", model_path: str | None = None, seconds: float = 300.0
) -> Started:
    """Start ``deploy.sh`` of a copy of ``folder`` with nothing of this environment but what a
    device needs, ask it once, and stop it.

    Raises ParamsError where there is no deploy.sh, StartError with the end of its output when it
    does not answer within ``seconds``, or answers with something else than labels and scores.
    """
    folder = Path(folder)
    if not (folder / "deploy.sh").is_file():
        raise ParamsError(
            f"There is no deploy.sh in {str(folder)!r}; expected a folder that goemo published."
            " Publish the run again."
        )

    with tempfile.TemporaryDirectory(prefix="goemo-start-") as scratch:
        clean = Path(scratch) / "model"
        shutil.copytree(folder, clean)
        log = Path(scratch) / "log"
        port = _free_port()
        environment = _environment(device, port, model_path, Path(scratch))
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", str(clean / "deploy.sh")],
                cwd=scratch,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return _asked(process, port, log, seconds)
        finally:
            _end(process)


def _asked(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> Started:
    began = time.monotonic()
    base = f"http://127.0.0.1:{port}"
    while _status(f"{base}/ready") != 200:
        if process.poll() is not None:
            raise StartError(
                f"deploy.sh ended with code {process.returncode} before it answered. Its last"
                f" words: {_tail(log)}"
            )
        if time.monotonic() - began > seconds:
            raise StartError(f"deploy.sh did not answer in {seconds:g} s; it said: {_tail(log)}")
        time.sleep(0.2)

    for address in ADDRESSES:
        status, answer = _post(base + address, {"inputs": [TEXT]})
        if status != 404:
            break
    took = time.monotonic() - began
    if status != 200 or not _is_answer(answer):
        raise StartError(
            f"POST {address} gave {status} and {str(answer)[:200]}; expected a list of labels with"
            " scores."
        )
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
        raise StartError(f"deploy.sh ended with code {code} when it was stopped: {_tail(log)}")
    return Started(address, answer, took, code)


def _environment(device: str, port: int, model_path: str | None, scratch: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(OF_DEVICES)
    }
    kept |= {"DEVICE": device, "HOST": "127.0.0.1", "PORT": str(port), "PYTHON": sys.executable}
    kept |= {"TMPDIR": str(scratch)}
    if model_path:
        local = Path(model_path)
        kept["MODEL_PATH"] = str(local.resolve()) if local.exists() else model_path
    return kept


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def _is_answer(answer: Any) -> bool:
    """Of one text: labels with scores, or numbers."""
    if not (isinstance(answer, list) and len(answer) == 1 and answer[0]):
        return False
    return all(
        isinstance(one, (int, float)) or (isinstance(one, dict) and {"label", "score"} <= set(one))
        for one in answer[0]
    )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(lines[-5:]) or "nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started, whatever happened."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
