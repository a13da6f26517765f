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

from goemo_utils.scale.cluster import SETTINGS
from goemo_utils.scale.parts import read_answers
from tests.forward import tiny_model

ABSENT = importlib.util.find_spec("ray") is None
pytestmark = pytest.mark.skipif(ABSENT, reason="not installed: ray, the extra scale")
KILLS = int(os.environ.get("GOEMO_KILLS", "20"))
SEED, STARTS = 23, 3
WITHIN = 400.0
# With a token of this user's a cluster would ask each node for it.
OWN = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
ENVIRONMENT = {**os.environ, **SETTINGS, **OWN}


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
def nodes(resources: list[str]) -> Iterator[tuple[str, list[int]]]:
    """A cluster on this machine, a node for each of ``resources``: its address, and the process of
    each node that ends the others with it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = daemons()
    raylets: list[int] = []
    head = ["--head", "--port", str(port), "--include-dashboard", "false"]
    try:
        for declared in resources:
            role = ["--address", f"127.0.0.1:{port}"] if raylets else head
            known = daemons()
            start_node([*role, "--resources", declared])
            raylets += [pid for pid in daemons() - known if words_of(pid)[0].endswith("/raylet")]
        yield f"127.0.0.1:{port}", raylets
    finally:
        for pid in daemons() - before:
            end(pid)


def start_node(options: list[str]) -> None:
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1"]
    own = ["--object-store-memory", "100000000", "--disable-usage-stats"]
    # A node waits fixed times for its own processes: no more of them than are needed.
    own += ["--no-monitor", "--include-log-monitor", "false"]
    command = [*ray, *own, *options]
    for _ in range(STARTS):
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode == 0:
            return
    pytest.skip(f"Ray does not start on this machine: {done.stderr[-300:]}")


def daemons() -> set[int]:
    """The processes of Ray's own programs."""
    pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return {pid for pid in pids if any("/site-packages/ray/" in word for word in words_of(pid))}


def words_of(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:4]
    return [""]


def end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


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
    with nodes(['{"NPU": 0}', '{"side": 1}']) as (address, raylets):
        began = time.monotonic()
        refused = on_ray(folder, "--address", address, "--resources", "NPU=1")
        assert refused.wait(WITHIN) == 2, log(folder)
        assert "no room for 2 workers with CPU 1, NPU 1 each" in log(folder)
        print(f"\nrefused after {time.monotonic() - began:.0f} s")

        working = on_ray(folder, "--address", address)
        wait_for_rows(folder, working, 1)
        end(raylets[1])
        assert working.wait(WITHIN) == 0, log(folder)
    check(folder)


@pytest.mark.campaign
def test_whenever_it_is_killed_every_row_is_there_once(folder: Path) -> None:
    rows = 40_000
    prepare(folder, rows)
    began = time.monotonic()
    assert on_ray(folder).wait(900) == 0, log(folder)
    duration = time.monotonic() - began
    check(folder)

    moments = random.Random(SEED)
    kills = finished = 0
    while kills < KILLS:
        process, before = on_ray(folder), committed(folder)
        # Most of a run's seconds are Ray's own start: what counts is a kill among the rows.
        wait_for_rows(folder, process, before + moments.randint(1, max(1, (rows - before) // 2)))
        time.sleep(moments.uniform(0.0, 0.5))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
            print(f"\nkill {kills} of {KILLS}: {committed(folder):,} rows committed", flush=True)
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
