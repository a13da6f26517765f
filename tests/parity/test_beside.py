"""The CPU's share in a process beside the device's: the same answers, and every end of it said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from goemo_utils.errors import TextsError, WorkerError
from goemo_utils.parity import beside

ROOT = Path(__file__).parents[2]


class Pieces:
    """Stands for a share, with pieces that end in every way."""

    class twins:
        @staticmethod
        def weights():
            return []

    def __init__(self, progress) -> None:
        self.progress = progress

    def doubled(self, states):
        self.progress("doubling")
        return {name: state * 2 for name, state in states.items()}

    def refused(self):
        raise TextsError("No texts.")

    def odd(self):
        class Odd(Exception):
            pass

        raise Odd("not to be sent")

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def slept(self):
        time.sleep(600)


@pytest.fixture
def child(monkeypatch):
    """A child of this process, whatever threads it has: its pieces use one."""
    monkeypatch.setattr(beside, "_single", lambda: True)
    lines: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with beside.begun(True, Pieces, lines.append) as begun:
        begun.lines = lines
        yield begun
    torch.set_num_threads(threads)


def test_states_go_and_come_bit_by_bit_in_every_dtype(child) -> None:
    states = {str(t): torch.randn(3, 2).to(t) for t in (torch.float64, torch.bfloat16)}
    states["none"] = torch.empty(0, 4)
    answer = child.ask("doubled", states)()
    assert list(answer) == list(states)
    assert all(torch.equal(answer[name], state * 2) for name, state in states.items())
    assert all(answer[name].dtype == state.dtype for name, state in states.items())
    assert child.lines == ["doubling"]


def test_pieces_are_done_in_their_order_and_may_be_taken_in_another(child) -> None:
    first, second = (child.ask("doubled", {"a": torch.tensor(n)}) for n in (1, 2))
    assert second() == {"a": torch.tensor(4)}
    assert first() == {"a": torch.tensor(2)}


def test_what_a_piece_raises_is_raised_where_it_is_taken_and_the_next_is_done(child) -> None:
    refused, odd = child.ask("refused"), child.ask("odd")
    after = child.ask("doubled", {})
    assert after() == {}
    with pytest.raises(TextsError, match="No texts"):
        refused()
    with pytest.raises(RuntimeError, match="Odd: not to be sent"):
        odd()


def test_the_death_of_the_child_is_said(child) -> None:
    killed, after = child.ask("killed"), child.ask("doubled", {})
    with pytest.raises(WorkerError, match="gold and the reference was killed by SIGKILL"):
        killed()
    assert child.pid == 0
    with pytest.raises(WorkerError):
        after()


def test_a_child_that_is_at_work_ends_with_the_analysis(monkeypatch) -> None:
    monkeypatch.setattr(beside, "_single", lambda: True)
    with beside.begun(True, Pieces, print) as child:
        child.ask("slept")
        pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


KILLED = """
import os, sys
from goemo_utils.parity import beside
from tests.parity.test_beside import Pieces
beside._single = lambda: True
with beside.begun(True, Pieces, print) as child:
    child.ask("slept")
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.long
def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    told = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True)
    pid, end = int(told.stdout), time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_nothing_is_forked_where_other_threads_are_or_nobody_wants_it(monkeypatch) -> None:
    monkeypatch.setattr(beside, "_single", lambda: False)
    with beside.begun(True, Pieces, print) as child:
        assert child is None
    monkeypatch.setattr(beside, "_single", lambda: True)
    with beside.begun(False, Pieces, print) as child:
        assert child is None
