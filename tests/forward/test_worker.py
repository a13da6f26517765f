"""Child processes: answers, sentences, deaths and lost askers, all told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goemo_utils.errors import DeviceError, TextsError, WorkerError
from goemo_utils.forward import worker
from goemo_utils.forward.pack import read_pack
from tests.forward.tiny_model import save_roberta

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    return {
        "kind": "forward",
        "role": "reference",
        "model": str(save_roberta(folder / "model")),
        "revision": None,
        "task": "auto",
        "device": "cpu",
        "dtype": "float32",
        "weights_dtype": "float32",
        "attn_implementation": "eager",
        "texts": ["I am so happy today!", "no", ""],
        "max_length": 512,
        "batch_size": 2,
        "hidden": "all",
        "seed": 0,
        "threads": 1,
        "out": str(folder / "reference"),
    }


def test_a_job_runs_in_a_fresh_process_and_leaves_a_pack(job, tmp_path) -> None:
    seen: list[str] = []
    manifest = worker.run(job, tmp_path / "log", seen.append)
    pack = read_pack(job["out"])
    assert pack.manifest == manifest | {
        "schema": "goemo.pack/1",
        "tensors": pack.manifest["tensors"],
        "sha256": pack.manifest["sha256"],
    }
    assert pack.tensors["logits"].shape == (3, 3)
    assert seen[-1] == "reference: 3 of 3 texts"
    assert pack.tensors["hidden.2"].shape == (int(pack.tensors["tokens"].sum()), 32)
    assert manifest["repeat_equal"]
    assert manifest["placement"]["on_device"]
    assert manifest["threads"] == 1
    assert manifest["fallbacks"] == []


def test_the_same_job_twice_gives_the_same_bits(job, tmp_path) -> None:
    one = worker.run({**job, "out": str(tmp_path / "one")}, tmp_path / "log")
    two = worker.run({**job, "out": str(tmp_path / "two")}, tmp_path / "log")
    assert (
        read_pack(tmp_path / "one").manifest["sha256"]
        == read_pack(tmp_path / "two").manifest["sha256"]
    )
    assert one["input_ids_digest"] == two["input_ids_digest"]


def test_the_cpu_reference_never_sees_torch_npu(job, tmp_path, monkeypatch) -> None:
    # A stand-in for an installed torch_npu: transformers would import it and change every attention
    # mask.
    (tmp_path / "site" / "torch_npu").mkdir(parents=True)
    (tmp_path / "site" / "torch_npu" / "__init__.py").write_text(
        "raise SystemExit('torch_npu was imported for a CPU reference')"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert worker.run({**job, "out": str(tmp_path / "p")}, tmp_path / "log")["n_texts"] == 3


def test_a_refusal_in_the_child_is_the_same_refusal_here(job, tmp_path) -> None:
    with pytest.raises(TextsError, match="no texts"):
        worker.run({**job, "texts": []}, tmp_path / "log")
    with pytest.raises(DeviceError, match="npu:0"):
        worker.run({**job, "device": "npu:0"}, tmp_path / "log")


def test_a_job_in_an_interpreter_of_its_own_tells_how_far_it_is_and_answers(job, tmp_path) -> None:
    seen: list[str] = []
    request = {
        "job": {**job, "out": str(tmp_path / "pack")},
        "log": str(tmp_path / "log"),
        "path": [p for p in sys.path if p],
    }
    answer = worker._own_interpreter(request, seen.append)
    assert answer["result"]["n_texts"] == 3
    assert seen == [
        "reference: 2 of 3 texts",
        "reference: 3 of 3 texts",
    ]


def test_an_exception_is_named_with_the_end_of_the_log(job, tmp_path) -> None:
    with pytest.raises(WorkerError, match=r"(?s)raised KeyError.*Traceback"):
        worker.run({k: v for k, v in job.items() if k != "seed"}, tmp_path / "log")
    with pytest.raises(WorkerError, match="Unknown kind of job 'dance'"):
        worker.run({**job, "kind": "dance"}, tmp_path / "log")


def test_a_killed_child_is_told_by_its_signal(job, tmp_path) -> None:
    # A text long enough to be in the middle of: the child is found by its log, which only it holds
    # open.
    texts = ["many words " * 30] * 4000
    log = tmp_path / "log"
    (tmp_path / "job.json").write_text(
        json.dumps({**job, "texts": texts, "out": str(tmp_path / "p")})
    )
    asker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sys, json; from pathlib import Path; from goemo_utils.forward import"
                " worker\ntry: worker.run(json.loads(Path(sys.argv[1]).read_text()),"
                " Path(sys.argv[2]))\nexcept Exception as e: print(type(e).__name__, e)"
            ),
            str(tmp_path / "job.json"),
            str(log),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    os.kill(_holder(log), 9)
    assert asker.communicate(timeout=60)[0].startswith(
        "WorkerError The forward job was killed by SIGKILL"
    )


def test_a_child_ends_when_its_asker_is_gone(job, tmp_path) -> None:
    log = tmp_path / "log"
    (tmp_path / "job.json").write_text(
        json.dumps({**job, "texts": ["many words " * 30] * 4000, "out": str(tmp_path / "p")})
    )
    asker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sys, json; from pathlib import Path; from goemo_utils.forward import"
                " worker\nworker.run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))"
            ),
            str(tmp_path / "job.json"),
            str(log),
        ],
        cwd=ROOT,
    )
    child = _holder(log)
    asker.kill()
    asker.wait()
    for _ in range(200):
        if (
            not os.path.exists(f"/proc/{child}")
            or "Z" in Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1][:3]
        ):
            return
        time.sleep(0.05)
    raise AssertionError("the child outlived the process that asked for it")


def _holder(log: Path) -> int:
    """The process whose standard output is ``log``."""
    for _ in range(1200):
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.path.realpath(entry / "fd" / "1") == str(log):
                    return int(entry.name)
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"no process writes to {log}")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Where a job went: the address of a server, or "its own interpreter"."""
    monkeypatch.setenv(worker.ADDRESS, str(tmp_path / "worker"))
    monkeypatch.setattr(worker, "_ask", lambda server, *rest: {"result": server})
    alone = {"result": "its own interpreter"}
    monkeypatch.setattr(worker, "_own_interpreter", lambda *rest: alone)
    (tmp_path / "worker").touch()

    def to(*devices: str) -> str:
        arms = [{"device": device} for device in devices[1:]]
        job = {"kind": "parity", "device": devices[0], "arms": arms}
        answer = worker.run(job, tmp_path / "log")
        return os.path.relpath(answer, tmp_path) if os.path.isabs(answer) else answer

    return to


def test_a_job_on_the_stand_ins_goes_to_the_chains_second_server(asked, tmp_path) -> None:
    (tmp_path / "torch_npu").mkdir()
    (tmp_path / "torch_npu" / "worker").touch()
    assert asked("rehearsal:torch_npu", "cpu") == "torch_npu/worker"
    assert asked("cpu") == "worker"
    assert asked("rehearsal") == "worker"


def test_without_a_second_server_and_on_a_real_npu_a_job_has_its_own_interpreter(
    asked, tmp_path
) -> None:
    assert asked("rehearsal:torch_npu") == "its own interpreter"
    (tmp_path / "torch_npu").mkdir()
    (tmp_path / "torch_npu" / "worker").touch()
    assert asked("npu:0") == "its own interpreter"
    assert asked("rehearsal:torch_npu", "npu:1") == "its own interpreter"
