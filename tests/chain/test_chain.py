"""The chain: states, resume, containment of every failure, exit codes. Run on small stand-in
notebooks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goemo_utils.chain import chain, plan
from goemo_utils.errors import RecordError
from goemo_utils.params import Params
from goemo_utils.records.manifest import locked
from goemo_utils.records.record import STEPS, read_record
from tests.chain.stand_ins import write_notebooks


class NoServer:
    """Stands for the fork server, which these notebooks do not use."""

    address = ""

    def __init__(self, folder: Path, beside: str | None = None) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.setattr("goemo_utils.chain.chain.worker.Server", NoServer)
    monkeypatch.setattr("goemo_utils.report.render", lambda *_: None)
    monkeypatch.setenv("GOEMO_NOTEBOOKS", str(tmp_path / "notebooks"))
    write_notebooks(tmp_path / "notebooks")
    return Params.load(
        None, {"run_id": "r1", "output_root": str(tmp_path / "out"), "step_timeout": "120"}
    )


def states(outcome: chain.Outcome) -> list[str]:
    return [s["status"] for s in outcome.steps]


def test_every_step_runs_once_and_then_is_skipped_with_the_reason(params) -> None:
    first = chain.run(params)
    assert states(first) == ["ok"] * 6
    assert first.exit_code == 0
    manifest = json.loads((first.folder / "manifest.json").read_text())
    assert [s["status"] for s in manifest["steps"]] == ["ok"] * 6
    assert (first.folder / "logs" / "03_parity.log").read_text().count("inside 03_parity") == 1
    again = chain.run(params)
    assert states(again) == ["skipped"] * 6
    assert {s["reason"] for s in again.steps} == {"nothing it depends on changed"}
    assert (first.folder.parent / "latest").resolve() == first.folder.resolve()


def test_an_executed_notebook_tells_no_path_of_this_machine(params, tmp_path) -> None:
    params = params.model_copy(update={"output_root": str(tmp_path / "für mich" / "out")})
    folder = chain.run(params).folder
    for step in STEPS:
        text = (folder / f"{step}.ipynb").read_text(encoding="utf-8")
        notebook = json.loads(text)
        assert str(tmp_path) not in text
        assert 'output_root = \\"out\\"' in text
        assert (
            notebook["metadata"]["papermill"]
            .keys()
            .isdisjoint({"input_path", "output_path", "parameters"})
        )
    assert states(chain.run(params)) == ["skipped"] * 6


def test_a_changed_notebook_runs_again_and_what_reads_its_record_only_if_the_record_changed(
    params, tmp_path
) -> None:
    chain.run(params)
    path = tmp_path / "notebooks" / "02_smoke.ipynb"
    path.write_text(path.read_text().replace("inside 02_smoke", "again inside 02_smoke"))
    outcome = chain.run(params)
    assert states(outcome) == ["skipped", "skipped", "ok", "skipped", "skipped", "ok"]
    assert outcome.steps[2]["reason"] == "its notebook changed"
    assert outcome.steps[5]["reason"] == "the record of 02_smoke changed"


def test_a_changed_parameter_runs_what_reads_it_and_what_builds_on_that(params) -> None:
    chain.run(params)
    outcome = chain.run(params.model_copy(update={"seed": 7}))
    assert states(outcome) == ["skipped"] + ["ok"] * 5
    assert outcome.steps[1]["reason"] == "seed was 0 and is 7"


def test_a_changed_threshold_loads_nothing_again(params) -> None:
    chain.run(params)
    outcome = chain.run(params.model_copy(update={"threshold": 0.7}))
    assert states(outcome)[:2] == ["skipped"] * 2
    assert outcome.steps[2]["reason"] == "threshold was None and is 0.7"


@pytest.mark.parametrize(
    ("failure", "status", "code", "words"),
    [
        ("exception", "failed", 3, "raised ValueError: the soup is cold"),
        ("refusal", "failed", 2, "Device npu:7 is not here."),
        ("timeout", "timeout", 3, "longer than step_timeout, 10 s"),
        ("dead_kernel", "died", 3, "kernel died"),
        ("sysexit0", "failed", 3, "left no record"),
        ("sysexit3", "failed", 3, "SystemExit"),
        ("line_magic_error", "failed", 3, "UsageError"),
    ],
)
def test_a_failure_is_recorded_contained_and_resumed(
    params, tmp_path, failure, status, code, words
) -> None:
    write_notebooks(tmp_path / "notebooks", "01_load", failure)
    outcome = chain.run(
        params.model_copy(update={"step_timeout": 10}) if failure == "timeout" else params
    )
    assert states(outcome) == ["ok", status] + ["not-run"] * 4
    assert outcome.exit_code == code
    record = read_record(outcome.folder / "01_load.json")
    assert record.status == status
    assert words in record.reason
    assert (
        read_record(outcome.folder / "05_report.json").reason
        == f"01_load did not finish ({status})"
    )
    write_notebooks(tmp_path / "notebooks")
    resumed = chain.run(params)
    assert states(resumed) == ["skipped"] + ["ok"] * 5
    assert resumed.exit_code == 0


def test_only_runs_one_step_and_from_runs_the_rest(params) -> None:
    chain.run(params)
    assert states(chain.run(params, only="02_smoke")) == [
        "skipped",
        "skipped",
        "ok",
        "skipped",
        "skipped",
        "skipped",
    ]
    assert states(chain.run(params, start="04_throughput")) == ["skipped"] * 4 + ["ok", "ok"]
    assert states(chain.run(params, force=True)) == ["ok"] * 6


def test_from_a_step_whose_predecessor_never_finished_is_refused(params) -> None:
    with pytest.raises(RecordError, match="--from 02_smoke needs 00_environment to have finished"):
        chain.run(params, start="02_smoke")
    assert not Path(params.output_root).exists()


def test_an_altered_artefact_runs_its_step_again(params) -> None:
    outcome = chain.run(params)
    path = outcome.folder / "00_environment.json"
    record = json.loads(path.read_text())
    (outcome.folder / "a.txt").write_text("a")
    record["artefacts"] = [{"path": "a.txt", "sha256": "sha256:0"}]
    path.write_text(json.dumps(record))
    assert plan.why_run("00_environment", params, outcome.folder) == "a.txt was altered"
    (outcome.folder / "a.txt").unlink()
    assert plan.why_run("00_environment", params, outcome.folder) == "a.txt is missing"


def test_two_runs_never_share_a_folder(params, tmp_path) -> None:
    folder = Path(params.output_root) / "r1"
    with locked(folder), pytest.raises(RecordError, match="being written by another process"):
        chain.run(params)
    assert not (folder / "manifest.json").exists()


RUN = """
import signal, sys
from goemo_utils.chain import chain
from goemo_utils.params import Params
from tests.chain.test_chain import NoServer
signal.signal(signal.SIGINT, signal.default_int_handler)
chain.worker.Server = NoServer
settings = {"run_id": "r1", "output_root": sys.argv[1], "step_timeout": "120"}
chain.run(Params.load(None, settings))
"""


def held_in_01_load(params: Params, tmp_path: Path) -> subprocess.Popen[str]:
    """A run in a process of its own, once a cell of 01_load runs that never ends."""
    write_notebooks(tmp_path / "notebooks", "01_load", "timeout")
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, params.output_root],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GOEMO_NOTEBOOKS": str(tmp_path / "notebooks")},
    )
    log = Path(params.output_root) / "r1" / "logs" / "01_load.log"
    while not log.exists() or "inside 01_load" not in log.read_text():
        assert child.poll() is None
        time.sleep(0.05)
    return child


def test_an_interrupt_leaves_nothing_that_asyncio_complains_about(params, tmp_path) -> None:
    child = held_in_01_load(params, tmp_path)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[1] == ""
    record = read_record(Path(params.output_root) / "r1" / "01_load.json")
    assert record.reason == "It was interrupted from the keyboard."


def test_a_killed_run_resumes_where_it_was(params, tmp_path) -> None:
    child = held_in_01_load(params, tmp_path)
    folder = Path(params.output_root) / "r1"
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert [s["status"] for s in json.loads((folder / "manifest.json").read_text())["steps"]][
        :2
    ] == ["ok", "running"]
    write_notebooks(tmp_path / "notebooks")
    assert states(chain.run(params)) == ["skipped"] + ["ok"] * 5


def test_a_dry_plan_says_what_would_run(params) -> None:
    planned = plan.make_plan(params, Path(params.output_root) / "r1")
    assert [p.runs for p in planned] == [True] * len(STEPS)
    assert planned[0].reason == "it has no record yet"
    assert planned[1].reason == "00_environment runs before it"
