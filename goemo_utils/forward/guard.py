"""The guard of the fork server: it stands between the server and the process that asked for one.

The server imports torch for seconds, and while an extension is loading no thread of it runs; the
guard imports next to nothing, waits for the asker's end of a pipe to close, however that process
ends, and then ends the server at once and removes their folder.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from typing import NoReturn

from goemo_utils.boundary.signals import adopt_orphans, die_with_parent

ADDRESS = "GOEMO_WORKER"
SEEN = "GOEMO_SEEN"
"""Names the file in which a server's jobs tell each other what their model does."""


def guarded(folder: str, device: str | None = None) -> int:
    """Serve in a child until standard input closes, then end the child and remove ``folder``.

    Returns the child's exit code when it ends by itself first. A server of jobs on ``device`` then
    leaves no folder either, so that nobody waits for it.
    """
    guard, asker = os.getpid(), os.getppid()
    adopt_orphans()
    server = os.fork()
    if server == 0:
        _serve(guard, os.path.join(folder, "worker"), device)

    ended, status = 0, 0
    while not ended:
        ready, _, _ = select.select([0], [], [], 0.2)
        # Nobody writes to this pipe: it is readable when it is closed.
        if ready:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
            alone = os.getppid() != asker
            if not alone:
                _wait_for_orphans()
            _end_all(folder, alone)
            return 0
        ended, status = os.waitpid(server, os.WNOHANG)
    if device:
        shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status)


def _wait_for_orphans() -> None:
    """Wait a second at most for what the server had forked and what ends with it, so that its
    processor time counts as the server's.
    """
    for _ in range(50):
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not ended:
            time.sleep(0.02)


def _end_all(folder: str, alone: bool) -> None:
    """Remove the folder, again while processes that are ending still write there.

    ``alone``: whoever asked was killed, and could end nothing. Then the kernels that it started are
    ended first, by the address that they inherited: one that is still starting looks for no parent
    yet, and makes the folder again.
    """
    for turn in range(40):
        left = _kill(folder) if alone else 0
        shutil.rmtree(folder, ignore_errors=True)
        if not left and not os.path.exists(folder) and (turn >= 5 or not alone):
            return
        time.sleep(0.05)


def _kill(folder: str) -> int:
    """Kill the processes that were told to send their jobs here; how many there were."""
    wanted = f"{ADDRESS}={os.path.join(folder, 'worker')}".encode()
    found = 0
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                told = wanted in file.read().split(b"\0")
            if told and int(name) != os.getpid():
                os.kill(int(name), signal.SIGKILL)
                found += 1
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _serve(guard: int, address: str, device: str | None) -> NoReturn:
    """In the child: import what models need, and serve."""
    die_with_parent(guard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from goemo_utils.forward.server import serve

    try:
        serve(address, device)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(guarded(*sys.argv[1:]))
