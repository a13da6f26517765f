"""Asks for a kernel that is a fork, and stands in its place: it ends when the kernel does, and the
kernel when it does. Run as a file, with nothing of the package, so that it begins at once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys


def main(address: str, arguments: list[str]) -> int:
    """Exit code 0 where the kernel ended by itself without an error, else 1."""
    asker = os.getppid()
    # Jupyter interrupts a kernel before it ends it; ending this process ends the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"\n"], [1, 2])
        connection.sendall(json.dumps(request).encode() + b"\n")

        code = 0
        while os.getppid() == asker:
            if select.select([connection], [], [], 0.5)[0]:
                if not connection.recv(4096):
                    return code
                code = 1  # it tells only of a death
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
