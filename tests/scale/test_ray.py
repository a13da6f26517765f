"""``goemo predict --engine ray`` with a real Ray: the answers of one process, whatever is killed.

    pytest -m campaign tests/scale/test_ray.py -s

prints a line for docs/scale.md.
"""

import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from goemo_utils.scale.parts import read_answers
from tests.forward import tiny_model

ABSENT = importlib.util.find_spec("ray") is None
pytestmark = pytest.mark.skipif(ABSENT, reason="not installed: ray, the extra scale")
KILLS, SEED = 20, 23
WITHIN = 400.0
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def write_texts(file: Path, rows: int) -> None:
    file.write_text("".join(f"text number {i}\n" if i % 7 else "\n" for i in range(rows)))


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "goemo_utils.cli", "predict", "--output", str(out)]
    options = ["--batch_file", str(folder / "texts.txt"), "--model_path", str(folder / "model")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*command, *options, "--probabilities", *more], stderr=log, env=ENVIRONMENT
        )


def on_ray(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    return start(folder, folder / "out.parquet", "--engine", "ray", "--workers", "2", *more)


def log(folder: Path) -> str:
    return (folder / "log").read_text()


def committed(folder: Path) -> int:
    """Rows that count when everything is killed now."""
    begun = folder / ".out.parquet.begun"
    waiting = [path for path in begun.glob("attempt-*/ids/*") if ".pending." not in path.name]
    return sum(
        pq.read_metadata(path).num_rows for path in [*waiting, *begun.glob("kept/*.parquet")]
    )


def wait_for_rows(folder: Path, process: subprocess.Popen[bytes], rows: int) -> None:
    end = time.monotonic() + WITHIN
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            if committed(folder) >= rows:
                return
        time.sleep(0.05)


def check(folder: Path) -> None:
    """The rows are those of one process on one thread, every one once, to the last bit."""
    assert read_answers(folder / "out.parquet").equals(pq.read_table(folder / "local.parquet"))
    assert list(folder.glob(".*")) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model.save_roberta(tmp_path / "model")
    return tmp_path


def prepare(folder: Path, rows: int) -> None:
    write_texts(folder / "texts.txt", rows)
    pinned = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    command = [*pinned, sys.executable, "-m", "goemo_utils.cli", "predict", "--probabilities"]
    options = ["--batch_file", folder / "texts.txt", "--model_path", folder / "model"]
    done = subprocess.run(
        [*map(str, [*command, *options, "--output", folder / "local.parquet"])], env=ENVIRONMENT
    )
    assert done.returncode == 0


@contextmanager
def nodes(resources: list[str]) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A cluster on loopback, a node for each of ``resources``: its address and its nodes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1"]
    own = ["--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000"]
    head = ["--head", "--port", str(port), "--include-dashboard", "false"]
    joining = ["--address", f"127.0.0.1:{port}"]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for declared in resources:
            role = joining if running else head
            command = [*ray, *own, *role, "--resources", declared]
            node = subprocess.Popen(
                command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, start_new_session=True
            )
            running.append(node)
            wait_for_port(port)
        yield f"127.0.0.1:{port}", running
    finally:
        for node in running:
            end_node(node)


def wait_for_port(port: int) -> None:
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.2)


def end_node(node: subprocess.Popen[bytes]) -> None:
    """Kill a node with all of its processes, as a machine that loses its power."""
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


@pytest.mark.long
def test_after_a_kill_the_same_command_ends_with_the_answers_of_one_process(folder: Path) -> None:
    prepare(folder, 60_000)
    killed = on_ray(folder)
    wait_for_rows(folder, killed, 1)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, log(folder)
    assert 0 < committed(folder) < 60_000

    assert on_ray(folder).wait(WITHIN) == 0, log(folder)
    assert "Going on behind the" in log(folder)
    check(folder)


@pytest.mark.long
def test_a_node_that_dies_takes_no_row_with_it_and_a_card_that_is_nowhere_is_told(
    folder: Path,
) -> None:
    prepare(folder, 60_000)
    with nodes(['{"NPU": 0}', '{"side": 1}']) as (address, running):
        began = time.monotonic()
        refused = on_ray(folder, "--address", address, "--resources", "NPU=1")
        assert refused.wait(WITHIN) == 2, log(folder)
        assert "no room for 2 workers with CPU 1, NPU 1 each" in log(folder)
        print(f"\nrefused after {time.monotonic() - began:.0f} s")

        working = on_ray(folder, "--address", address)
        wait_for_rows(folder, working, 1)
        end_node(running[1])
        assert working.wait(WITHIN) == 0, log(folder)
    check(folder)


@pytest.mark.campaign
def test_whenever_it_is_killed_every_row_is_there_once(folder: Path) -> None:
    rows = 200_000
    prepare(folder, rows)
    began = time.monotonic()
    assert on_ray(folder).wait(900) == 0, log(folder)
    duration = time.monotonic() - began
    check(folder)

    moments = random.Random(SEED)
    kills = finished = 0
    while kills < KILLS:
        process = on_ray(folder)
        try:
            process.wait(timeout=moments.uniform(duration / 4, duration))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.wait() == 0:
            finished += 1
            check(folder)
    assert on_ray(folder).wait(900) == 0, log(folder)
    check(folder)
    goings_on = log(folder).count("Going on behind the")
    print(
        f"\n| Ray, .parquet in parts | {kills} | {goings_on} | {finished + 2} of {finished + 2}"
        f" equal | {duration:.0f} s undisturbed |"
    )
