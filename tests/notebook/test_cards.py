"""Several cards in 03_parity and 04_throughput: each is judged and timed by itself."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goemo_utils import parity
from goemo_utils.environment import host
from goemo_utils.errors import WorkerError
from goemo_utils.notebook import cards, comparison
from goemo_utils.params import Params
from goemo_utils.records.step import Step
from tests.forward.tiny_model import save_roberta
from tests.parity.packs import Pack, three
from tests.parity.study import TEXTS, step_of

FAULT = "gelu:scale=1.01,only_card=2"
GOLD, REFERENCE, CANDIDATE = three()
WELL = {"verdict": "pass", "gates": [], "metrics": [], "flips": {"texts": 0}}


def step(folder: Path, device: str, fault: str | None = None, found: Any = None) -> Step:
    given = {"device": device, "rehearsal_fault": fault, "output_root": str(folder), "run_id": "r"}
    params = Params.load(None, {k: v for k, v in given.items() if v is not None})
    loaded = {"model": {"n_parameters": 10**8}, "cards": found}
    return Step("03_parity", params, folder / "r", {}, {"01_load": {"results": loaded}})


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The jobs that are asked for, by name, none of them run: every card answers alike."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def answered(step: Step, texts: Any, name: str, **changes: Any) -> Pack:
        asked.append((name, changes))
        if name == "card-1":
            raise WorkerError(
                f"The forward job was killed by SIGKILL. The end of {step.dir.resolve()}/logs/x:\nx"
            )
        return Pack(CANDIDATE.tensors, {**CANDIDATE.manifest, "sha256": "s"})

    def explained(step: Step, texts: Any, name: str, **changes: Any) -> dict[str, Any]:
        asked.append((name, changes))
        return {"evidence": {}}

    monkeypatch.setattr(cards, "answered", answered)
    monkeypatch.setattr(cards, "explain", explained)
    monkeypatch.setattr(parity, "judge", lambda *packs, **evidence: WELL)
    yield asked


def judged(run: Step) -> dict[str, Any]:
    first: Any = Pack(CANDIDATE.tensors, {**CANDIDATE.manifest, "sha256": "s"})
    packs: Any = (GOLD, REFERENCE, first)
    texts = SimpleNamespace(texts=TEXTS, labels=None)
    return cards.judged(run, packs, WELL, {"evidence": {"cause": None}}, texts)


@pytest.mark.parametrize("device", ["rehearsal", "npu:1", "cpu"])
def test_one_card_is_judged_as_ever(tmp_path: Path, device: str, jobs: list[Any]) -> None:
    assert judged(step(tmp_path, device)) is WELL
    assert jobs == []


def test_a_list_of_one_says_that_nothing_was_compared(tmp_path: Path, jobs: list[Any]) -> None:
    told = judged(step(tmp_path, "npu:all", found=[0]))
    assert told["gates"][-1]["result"] == "not run"
    assert told["verdict"] == "pass"
    assert jobs == []


def test_each_card_has_jobs_of_its_own_and_its_own_fault(tmp_path: Path, jobs: list[Any]) -> None:
    judged(step(tmp_path, "rehearsal:4", FAULT))
    assert jobs == [
        ("card-1", {"device": "rehearsal", "fault": None}),
        ("card-2", {"device": "rehearsal", "fault": "gelu:scale=1.01"}),
        ("card-2-explain", {"device": "rehearsal", "fault": "gelu:scale=1.01"}),
        ("card-3", {"device": "rehearsal", "fault": None}),
        ("card-3-explain", {"device": "rehearsal", "fault": None}),
    ]


def test_all_cards_are_those_that_were_found(tmp_path: Path, jobs: list[Any]) -> None:
    named = [card.name for card in cards.of(step(tmp_path, "npu:all", found=[0, 1, 2]))]
    changes = [card.changes for card in cards.of(step(tmp_path, "npu:5,2", found=[5, 2]))]
    assert named == ["npu:0", "npu:1", "npu:2"]
    assert changes == [{"device": "npu:5", "fault": None}, {"device": "npu:2", "fault": None}]


def test_a_worker_that_dies_is_told_without_a_path_and_the_others_go_on(
    tmp_path: Path, jobs: list[Any]
) -> None:
    told = judged(step(tmp_path, "rehearsal:4"))
    rows = {row["card"]: row for row in told["cards"]["rows"]}
    assert rows[1]["reason"] == "The forward job was killed by SIGKILL."
    assert [rows[card]["status"] for card in range(4)] == ["ok", "failed", "ok", "ok"]
    assert told["cards"]["sick"] == [1]
    assert told["verdict"] == "fail"


@pytest.mark.parametrize(
    ("device", "cores", "free", "at_once"),
    [
        ("rehearsal:4", 64, 2**40, 1),
        ("npu:all", 64, 2**40, 8),
        ("npu:all", 8, 2**40, 2),
        ("npu:all", 1, 2**40, 1),
        ("npu:all", 64, 20 * 2**30, 3),
        ("npu:all", 64, 2**20, 1),
        ("npu:all", 64, None, 8),
    ],
)
def test_as_many_workers_at_once_as_cores_and_memory_allow_and_one_of_simulated_cards(
    tmp_path: Path,
    device: str,
    cores: int,
    free: int | None,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cards, "cores", lambda: cores)
    monkeypatch.setattr(cards, "read_memory", lambda machine: {"total": free, "available": free})
    assert cards.workers_at_once(step(tmp_path, device), 8) == at_once
    assert host.read_memory is not cards.read_memory


def timed_with(
    run: Step, monkeypatch: pytest.MonkeyPatch, sick: tuple[int, ...] = ()
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """What 04 says of four cards whose parity is known, and the jobs that it asked for."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def timing(step: Step, texts: Any, name: str, arms: Any, **more: Any) -> dict[str, Any]:
        asked.append((name, {"device": arms[0]["device"], **more}))
        median = 90.0 if "together" in more else 100.0
        return {"rows": [{"median": median, "ci95": None}], "window": [0.0, 10.0]}

    monkeypatch.setattr(cards, "timing", timing)
    rows = [{"card": card, "sick": card in sick, "status": "ok"} for card in range(4)]
    run.upstream["03_parity"] = {"results": {"cards": {"rows": rows}}}
    first = {"id": "candidate", "median": 100.0, "ci95": None}
    return cards.timed(run, {"rows": [{"id": "cpu"}, first]}, TEXTS)["cards"], asked


def test_real_cards_are_timed_alone_and_then_at_once_with_a_share_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "cores", lambda: 8)
    run = step(tmp_path, "npu:all", found=[0, 1, 2, 3])
    told, asked = timed_with(run, monkeypatch)
    assert [row["median"] for row in told["rows"]] == [100.0] * 4
    assert told["scaling"]["value"] == pytest.approx(0.9)
    assert [name for name, _ in asked[:3]] == [f"card-{card}-throughput" for card in (1, 2, 3)]
    at_once = sorted(name for name, _ in asked[3:])
    assert at_once == [f"card-{card}-together" for card in range(4)]
    assert {more["threads"] for _, more in asked[3:]} == {2}


def test_no_scaling_of_simulated_cards_nor_of_a_sick_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, asked = timed_with(step(tmp_path, "rehearsal:4"), monkeypatch)
    assert told["scaling"]["reason"] == "simulated"
    assert not any("together" in name for name, _ in asked)

    ill, _ = timed_with(step(tmp_path, "npu:all", found=[0, 1, 2, 3]), monkeypatch, sick=(2,))
    assert ill["scaling"]["value"] is None
    assert ill["scaling"]["reason"] == "npu:2: the speed of a wrong answer is not a speed"


@pytest.mark.long
def test_of_four_simulated_cards_the_sick_one_and_the_dead_one_are_found(tmp_path: Path) -> None:
    model = save_roberta(tmp_path / "model")
    fault = f"{FAULT};oom=100KiB,only_card=3"
    run = step_of(model, tmp_path, device="rehearsal:4", rehearsal_fault=fault)
    packs = comparison.three_packs(run, TEXTS)
    found = comparison.explain(run, TEXTS, ("probe", "cause", "place"))
    result = parity.judge(*packs, None, TEXTS, **found["evidence"])
    texts = SimpleNamespace(texts=TEXTS, labels=None)
    told = cards.judged(run, packs, result, found, texts)
    rows = told["cards"]["rows"]
    assert told["cards"]["sick"] == [2, 3]
    assert [row["bits"] for row in rows] == ["A", "A", "B", None]
    assert rows[2]["faults"][0]["operator"] == "gelu"
    assert rows[2]["apart"] > 100
    assert "Memory ran out" in rows[3]["reason"]
    assert rows[0]["R"] == rows[1]["R"]


def test_a_notebook_without_the_parameter_shows_a_sentence(tmp_path: Path) -> None:
    from goemo_utils.notebook import tables

    assert tables.cards(None) == tables.card_rates(None)
