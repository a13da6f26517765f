"""Jobs begun early: who asks for the very same has their answer, and nobody else."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goemo_utils.errors import GoemoError, ModelError
from goemo_utils.forward import worker
from goemo_utils.forward.early import Early
from tests.forward.tiny_model import save_roberta


@pytest.fixture(scope="module")
def server() -> Iterator[worker.Server]:
    begun = worker.Server()
    begun.wait()
    yield begun
    begun.close()


@pytest.fixture
def early(server: worker.Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Early]:
    monkeypatch.setenv(worker.ADDRESS, server.address)
    jobs = Early()
    yield jobs
    jobs.close()


@pytest.fixture
def job(tmp_path: Path) -> dict:
    return {
        "kind": "forward",
        "role": "reference",
        "model": str(save_roberta(tmp_path / "model")),
        "task": "auto",
        "device": "cpu",
        "dtype": "float32",
        "attn_implementation": "eager",
        "texts": ["I am so happy today!"],
        "max_length": 512,
        "batch_size": 2,
        "hidden": "all",
        "seed": 0,
        "out": str(tmp_path / "reference"),
    }


def until(path: Path) -> Path:
    """Wait ten seconds at most until a file is there."""
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.02)
    return path


def test_a_job_that_was_begun_is_not_done_again(early: Early, job: dict, tmp_path: Path) -> None:
    early.begin(job, tmp_path / "log")
    until(tmp_path / "reference.json")
    shutil.rmtree(tmp_path / "model")
    assert worker.run(job, tmp_path / "log")["n_texts"] == 1
    assert "asked for at" in (tmp_path / "log").read_text(encoding="utf-8")


def test_it_is_asked_for_once_and_later_begins_as_ever(
    early: Early, job: dict, tmp_path: Path
) -> None:
    early.begin(job, tmp_path / "log")
    until(tmp_path / "reference.json")
    worker.run(job, tmp_path / "log")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(GoemoError):
        worker.run(job, tmp_path / "log")


def test_another_job_is_not_answered_by_it(early: Early, job: dict, tmp_path: Path) -> None:
    early.begin(job, tmp_path / "log")
    assert worker.run({**job, "texts": ["no", "yes"]}, tmp_path / "log")["n_texts"] == 2


def test_its_error_is_told_to_who_asks(early: Early, job: dict, tmp_path: Path) -> None:
    missing = {**job, "model": str(tmp_path / "nowhere")}
    early.begin(missing, tmp_path / "log")
    with pytest.raises(ModelError, match="nowhere"):
        worker.run(missing, tmp_path / "log")


def test_one_that_died_begins_as_ever(
    early: Early, server: worker.Server, job: dict, tmp_path: Path
) -> None:
    early.begin(job, tmp_path / "log")
    place = Path(worker.early_place(server.address, worker.request_of(job, tmp_path / "log")))
    until(place)
    early.close()
    assert worker.run(job, tmp_path / "log")["n_texts"] == 1


def test_what_nobody_asks_for_ends_with_who_began_it(
    early: Early, job: dict, tmp_path: Path
) -> None:
    early.begin(job, tmp_path / "log")
    until(tmp_path / "reference.json")
    early.close()
    end = time.monotonic() + 10
    while waits_for(tmp_path / "log"):
        assert time.monotonic() < end
        time.sleep(0.02)


def waits_for(log: Path) -> bool:
    """Whether a process still writes to a log."""
    found = (link for link in Path("/proc").glob("[0-9]*/fd/1"))
    return any(resolved(link) == log for link in found)


def resolved(link: Path) -> Path | None:
    """Where a link of /proc leads; nowhere once its process has ended."""
    try:
        return link.resolve()
    except OSError:
        return None


def test_without_a_server_nothing_begins(
    job: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(worker.ADDRESS, raising=False)
    Early().begin(job, tmp_path / "log")
    assert not (tmp_path / "log").exists()
