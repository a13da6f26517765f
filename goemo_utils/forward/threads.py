"""One thread for what is soon done: a second one takes longer to wake than the work takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Condition, local

import torch
from torch import nn

# Seconds that a thread waits at most, at its first text, for those of others.
PATIENCE = 0.1


class _Alone:
    """The threads that compute on one of torch's threads, and those that begin meanwhile."""

    def __init__(self) -> None:
        self.inside, self.beginning = 0, 0
        self.changed = Condition()
        self.known = local()

    def enter(self) -> bool:
        """Whether this thread may set its number: not while another takes its own."""
        self.begin()
        with self.changed:
            if self.beginning:
                return False
            self.inside += 1
            return True

    def leave(self) -> None:
        """The number is as it was."""
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def begin(self) -> None:
        """Let torch give this thread its number, if it has none, while nobody has another set."""
        if hasattr(self.known, "began"):
            return
        with self.changed:
            self.beginning += 1
            self.changed.wait_for(lambda: not self.inside, PATIENCE)
            torch.get_num_threads()
            self.beginning -= 1
        self.known.began = True


_alone = _Alone()


def begin() -> None:
    """Let torch give this thread its number, where it has none yet."""
    _alone.begin()


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Within this context this thread's operators do not share their work: for products that take
    less time than waking a second thread does, which on a busy machine is milliseconds.

    torch keeps a number for each thread, and gives the last one that was set anywhere to a thread
    that begins: so nobody sets one while a thread begins here.
    """
    if not _alone.enter():
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _alone.leave()


# Parameters of a model whose short texts are soon done.
SMALL = 20_000_000


def for_short_texts(model: nn.Module) -> AbstractContextManager[None]:
    """A context for a few short texts: on one thread where the model is small."""
    parameters = sum(weight.numel() for weight in model.parameters())
    return on_one_thread() if parameters < SMALL else nullcontext()
