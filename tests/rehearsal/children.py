"""Run a test in a forked child with the rehearsal device on, because a process can switch it on
only once.
"""

import functools
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from goemo_utils import rehearsal


def simulated(**settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test so that its body runs with ``rehearsal.enable(**settings)`` in a process of
    its own.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            def body() -> None:
                rehearsal.enable(**settings)
                test(*args, **kwargs)

            in_child(body)

        return run

    return decorate


def in_child(body: Callable[[], Any]) -> tuple[Any, str]:
    """What ``body`` returned and what its process wrote to file descriptor 2; its exception fails
    the calling test.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryFile() as stderr:
        process = context.Process(target=_child, args=(body, sender, stderr.fileno()))
        process.start()
        sender.close()
        try:
            failure, result = receiver.recv()
        except EOFError:
            failure, result = "the process died", None
        process.join()
        stderr.seek(0)
        written = stderr.read().decode()
    if failure:
        raise AssertionError(
            f"in the child process (exit code {process.exitcode}):\n{failure}\n{written}"
        )
    assert process.exitcode == 0, f"the child ended with exit code {process.exitcode}: {written}"
    return result, written


def _child(body: Callable[[], Any], sender: Connection, stderr: int) -> None:
    os.dup2(stderr, 2)
    # OpenMP's threads do not survive a fork; one thread needs none.
    torch.set_num_threads(1)
    try:
        answer = (None, body())
    except BaseException:
        answer = (traceback.format_exc(), None)
    sender.send(answer)
