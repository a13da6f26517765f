"""``goemo stream`` on a real broker: nothing lost, nothing counted twice, whenever it is killed.

    pytest -m campaign tests/stream/test_stream.py -s

prints a line for docs/scale.md.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forward import tiny_model
from tests.stream import broker

pytestmark = broker.needed()
KILLS = int(os.environ.get("GOEMO_KILLS", "20"))
SEED, PARTITIONS = 23, 2
BEGIN = 1_700_000_000_000
SPAN = 5000  # milliseconds of a window


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("stream") / "model")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with broker.running(tmp_path / "broker.log") as running:
        broker.make_topic(running, "comments", PARTITIONS)
        yield running


def start(address: str, model: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "goemo_utils.cli", "stream", "--brokers", address]
    topics = ["--input", "comments", "--output", "emotions", "--window", "5s"]
    options = ["--model_path", str(model), "--state", str(folder / "state"), "--batch", "200"]
    # This broker's high watermark counts the first message of the last batch and no other, so that
    # the state of windows would seem to be ahead of it: ../../findings/tansu-high-watermark.sh
    options += ["--kafka", "batch.num.messages=1"]
    with (folder / "stream.log").open("ab") as log:
        return subprocess.Popen([*command, *topics, *options, *more], stderr=log)


def texts(count: int) -> list[tuple[str, bytes, int]]:
    """Messages of five users, one every 20 ms, and what closes the last windows of each."""
    rows = [(f"user-{i % 5}", f"text number {i}".encode(), BEGIN + 20 * i) for i in range(count)]
    end = BEGIN + 20 * count + 60_000
    return rows + [(f"user-{i}", b"the last", end) for i in range(5)]


def expected_windows(sent: list[tuple[str, bytes, int]]) -> Counter[tuple[str, int]]:
    """How many texts each user's windows have, but for those that are still open."""
    last = max(time for _, _, time in sent)
    return Counter((key, t // SPAN * SPAN) for key, _, t in sent if t < last)


def finish(address: str, model: Path, folder: Path) -> None:
    process = start(address, model, folder, "--idle", "20s")
    assert process.wait(timeout=400) == 0, (folder / "stream.log").read_text()


def check(address: str, sent: list[tuple[str, bytes, int]]) -> dict[str, Any]:
    """Every message has its answer, and every window its count; returns the answers."""
    answers = broker.by_key(broker.read(address, "emotions", PARTITIONS))
    assert Counter(one["text"] for one in answers.values()) == Counter(
        value.decode() for _, value, _ in sent
    )
    windows = broker.by_key(broker.read(address, "emotions-windows", PARTITIONS))
    counts = Counter({(one["key"], one["start"]): one["texts"] for one in windows.values()})
    assert counts == expected_windows(sent)
    return answers


def killed(address: str, model: Path, folder: Path, kills: int) -> int:
    """Start, and kill at a random moment, so many times: one in four while it starts, the others
    while it answers. Returns how many were killed while they answered.
    """
    moments = random.Random(SEED)
    working = 0
    for number in range(kills):
        before = produced(address)
        process = start(address, model, folder)
        if number % 4 != 3:
            working += wait_for_answers(address, process, before)
            time.sleep(moments.uniform(0, 1))
        else:
            time.sleep(moments.uniform(0, 10))
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"\nkill {number + 1} of {kills}: {produced(address):,} answers", flush=True)
    return working


def wait_for_answers(address: str, process: subprocess.Popen[bytes], before: int) -> bool:
    """Whether answers came before two minutes were over."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        if produced(address) > before:
            return True
        time.sleep(0.1)
    return False


def produced(address: str) -> int:
    """Answers in the topic so far, those that came again too."""
    return broker.held(address, "emotions", PARTITIONS)


@pytest.mark.long
def test_answers_windows_and_dead_letters_over_two_kills(
    address: str, model: Path, tmp_path: Path
) -> None:
    sent = texts(3000)
    broker.send(address, "comments", sent, PARTITIONS)
    broker.send(address, "comments", [("user-0", b"\xff", BEGIN)], PARTITIONS)
    assert killed(address, model, tmp_path, kills=2) > 0
    finish(address, model, tmp_path)
    check(address, sent)
    dead = broker.read(address, "emotions-dead", PARTITIONS)
    assert {one.value() for one in dead} == {b"\xff"}
    assert dict(dead[0].headers())["reason"] == b"utf-8"


@pytest.mark.campaign
def test_whenever_it_is_killed_nothing_is_lost_and_nothing_is_counted_twice(
    address: str, model: Path, tmp_path: Path
) -> None:
    sent = texts(20_000)
    broker.send(address, "comments", sent, PARTITIONS)
    working = killed(address, model, tmp_path, kills=KILLS)
    began = time.monotonic()
    finish(address, model, tmp_path)
    answers = check(address, sent)
    again = produced(address) - len(answers)
    print(
        f"\n| stream | {KILLS}, {working} of them while answering | {len(sent):,} |"
        f" {len(answers):,} | {again:,} |"
        f" {time.monotonic() - began:.0f} s |"
    )
