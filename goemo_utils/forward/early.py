"""Jobs that are begun before whoever wants their answers asks for them.

A job is a function of its request, so a run may begin one while an earlier step is at work. The
process that began it need not be the one that asks: ``goemo_utils.forward.worker.run`` finds a job
that was begun early by its request, and takes its answer. A job that times something prepares, and
times nothing before it is asked for. One that nobody asks for ends with ``Early``.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from goemo_utils.forward.guard import ADDRESS
from goemo_utils.forward.worker import early_place, request_of

PATIENCE = 5.0
"""Seconds that a server which is busy is waited for."""


class Early:
    """The jobs that this process began early."""

    def __init__(self) -> None:
        self._connections: list[socket.socket] = []

    def begin(self, job: dict[str, Any], log: Path) -> None:
        """Begin a job of the run's own fork server, its output in ``log``. Where there is none, or
        it cannot take the job, nothing happens: the job begins when it is asked for.
        """
        server = os.environ.get(ADDRESS, "")
        if not os.path.exists(server):
            return
        request = request_of(job, log)
        request["early"] = early_place(server, request)

        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        self._connections.append(connection)
        with suppress(OSError):
            connection.connect(server)
            connection.sendall(json.dumps(request).encode() + b"\n")

    def close(self) -> None:
        """End what nobody has asked for."""
        while self._connections:
            self._connections.pop().close()
