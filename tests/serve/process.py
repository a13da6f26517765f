"""A server in a process of its own, as a user starts it."""

import http.client
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BEGINS = 240  # seconds; on a busy machine loading alone takes a while


@dataclass
class Server:
    """A running server: its process and its address."""

    process: subprocess.Popen[str]
    url: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def client(self) -> http.client.HTTPConnection:
        """A connection that stays open between requests."""
        return http.client.HTTPConnection(*self.address, timeout=60)


def post(client: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any, Any]:
    """(status, answer, headers) of one request."""
    client.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = client.getresponse()
    return response.status, json.loads(response.read()), response.headers


@contextmanager
def serving(*options: str | Path) -> Iterator[Server]:
    """``goemo serve`` on a free port; killed at the end, if it still runs."""
    command = [sys.executable, "-m", "goemo_utils.cli", "serve", "--port", "0", *map(str, options)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    reading = threading.Thread(target=lambda: [lines.put(line) for line in process.stdout or ()])
    reading.start()
    try:
        line = lines.get(timeout=BEGINS)
        assert line.startswith("goemo serve: http://"), line
        yield Server(process, line.split()[-1])
    finally:
        process.kill()
        process.wait()
        reading.join()
