"""Ending on request: SIGTERM and SIGHUP are Ctrl-C, early ones end at once and cleanly."""

import os
import signal
import subprocess
import sys

import pytest

from goemo_utils.boundary import signals

WAITS = """
import signal, sys, time
from goemo_utils.boundary import signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind a shell
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with signals.{how}():
    try:
        print("ready", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        print(signals.how_ended(), flush=True)
        sys.exit(3)
"""


def _sent(how: str, number: int) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS.format(how=how)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, "It was interrupted from the keyboard."),
        (signal.SIGTERM, "It was ended by SIGTERM."),
        (signal.SIGHUP, "It was ended by SIGHUP."),
    ],
)
def test_a_signal_ends_like_ctrl_c_and_is_told_by_its_name(number: int, words: str) -> None:
    code, out, err = _sent("as_interrupt", number)
    assert (code, out.strip(), err) == (3, words, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_anything_began_a_signal_is_one_line_and_exit_3(number: int) -> None:
    assert _sent("at_once", number) == (3, "", "goemo: interrupted.\n")


def test_what_was_handled_before_is_handled_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.as_interrupt():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_sigterm_does_not_disturb_the_tidying_and_a_second_ctrl_c_does(
    request: pytest.FixtureRequest,
) -> None:
    # A shell starts what runs in its background with Ctrl-C ignored, and goemo leaves that so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    with signals.as_interrupt():
        with pytest.raises(signals.Ended):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(signals.Ended):
            os.kill(os.getpid(), signal.SIGINT)


EARLY = """
import os, signal, sys
sys.argv = [{name!r}]
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind a shell
import goemo_utils
os.kill(os.getpid(), signal.SIGINT)
"""


def test_the_command_ends_cleanly_from_its_first_import_on() -> None:
    code = EARLY.format(name="/somewhere/bin/goemo")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (3, "goemo: interrupted.\n")


def test_another_program_that_imports_the_package_keeps_its_own_ctrl_c() -> None:
    code = EARLY.format(name="/somewhere/app.py")
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "KeyboardInterrupt" in ran.stderr
    assert "goemo: interrupted" not in ran.stderr
