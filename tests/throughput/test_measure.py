"""A throughput run from job to results, on a fake clock where values matter and without asserting
any measured time.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils.classifier import onnx_runtime
from goemo_utils.errors import DeviceError, ParamsError, TextsError
from goemo_utils.forward import worker
from goemo_utils.throughput import measure, run_job, ways
from tests.forward import tiny_model

TEXTS = [
    *tiny_model.SENTENCES,
    "a longer text that goes on for a while, so that batches need padding",
] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("roberta"))


def job(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "throughput",
        "model": str(folder),
        "texts": TEXTS,
        "batch_size": 4,
        "max_length": 64,
        "seed": 0,
        "dtype": "float32",
        "threads": 1,
        "arms": [{"id": "cpu", "device": "cpu"}],
        "baselines": [],
        "seconds": 0.01,
        "min_rounds": 3,
        "warm_up_seconds": 0.05,
        "latency_seconds": 0.02,
        **changes,
    }


class Ticks:
    """A clock that moves by one millisecond whenever someone looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    arms = [{"id": "cpu", "device": "cpu"}, {"id": "sorted", "device": "cpu", "method": "sorted"}]
    return measure.run(job(folder, arms=arms, baselines=None), clock=Ticks())


def test_a_rate_is_texts_over_seconds_and_its_raw_samples_are_kept(results: dict[str, Any]) -> None:
    row = results["rows"][0]
    assert row["median"] == pytest.approx(len(TEXTS) / 0.001)
    assert row["unit"] == "texts/s"
    assert row["raw"] == pytest.approx([row["median"]] * row["n"])
    assert row["n"] >= 3


def test_every_row_says_what_ran_and_how_far_its_answers_are_from_the_reference(
    results: dict[str, Any],
) -> None:
    for row in results["rows"]:
        assert row["configuration"]
        assert row["device"] == "cpu"
        assert row["dtype"]
        if row["median"] is not None:
            assert row["parity"]["reference"] == "cpu"
            assert row["parity"]["n_texts"] == len(TEXTS)
            assert row["parity"]["max_difference"] < (1e-5 if row["dtype"] == "float32" else 0.5)


def test_the_grid_has_what_was_asked_for_and_the_classifier(folder: Path) -> None:
    arms = [
        {"id": "cpu", "device": "cpu"},
        {"id": "device-classifier", "device": "cpu", "method": "classifier"},
    ]
    baselines = [
        {"id": "classifier", "device": "cpu", "method": "classifier"},
        {"id": "pipeline", "device": "cpu", "method": "pipeline"},
    ]

    cells = measure.run(
        job(
            folder,
            arms=arms,
            baselines=baselines,
            grid={"batch_sizes": [2], "lengths": [16], "seconds": 0.001, "min_rounds": 2},
        ),
        clock=Ticks(),
    )["grid"]

    assert [(cell["id"], cell["own_batches"]) for cell in cells] == [
        ("cpu", False),
        ("device-classifier", True),
        ("classifier", True),
    ]


def test_the_baselines_of_published_ports_and_libraries_are_measured_or_say_why_not(
    results: dict[str, Any],
) -> None:
    rows = {row["id"]: row for row in results["rows"]}
    assert {
        "classifier",
        "classifier-bf16",
        "pipeline-16",
        "pipeline-1",
        "onnx",
        "onnx-int8",
    } <= rows.keys()
    assert rows["pipeline-1"]["median"]
    assert rows["pipeline-16"]["batch_size"] == 16
    for row in rows.values():
        assert (row["median"] is None) == bool(row["reason"])
    if onnx_runtime.missing():
        assert "goemo[onnx]" in rows["onnx"]["reason"]


def test_sorting_by_length_pads_less_and_changes_no_answer(results: dict[str, Any]) -> None:
    padded, by_length = (
        next(row for row in results["rows"] if row["id"] == name) for name in ("cpu", "sorted")
    )
    assert by_length["padding_share"] < padded["padding_share"]
    assert by_length["parity"]["max_difference"] < 1e-5


def test_without_a_device_there_is_no_speed_up_and_the_reason_is_given(
    results: dict[str, Any],
) -> None:
    assert results["speedup"]["value"] is None
    assert "no device" in results["speedup"]["reason"]


def test_latency_percentiles_come_with_their_number_of_calls(results: dict[str, Any]) -> None:
    for row in results["latency"]:
        assert row["unit"] == "ms"
        assert row["n"] == len(row["raw"])
        assert (row["p50"] is None) == (row["n"] < 20)
        assert (row["p99"] is None) == (row["n"] < 1000)


def test_every_way_has_a_median_of_its_own_however_slow_another_is(
    results: dict[str, Any],
) -> None:
    assert all(row["n"] >= 20 for row in results["latency"])
    assert all(row["p50"] is not None for row in results["latency"])


def test_the_worker_and_its_conditions_are_recorded(results: dict[str, Any]) -> None:
    assert {
        "TASK_QUEUE_ENABLE",
        "ASCEND_LAUNCH_BLOCKING",
        "threads",
        "cores",
        "cpu_capability",
    } <= results["worker"].keys()
    assert {"steal_share", "load_average_before", "busy"} <= results["conditions"].keys()
    assert results["worker"]["threads"] == 1


def test_the_parts_of_the_time_are_told_apart(results: dict[str, Any]) -> None:
    row = results["phases"][0]
    assert all(row[name] > 0 for name in ("tokenise", "transfer", "compute", "fetch"))
    assert row["device_compute"] is None


def test_a_simulated_device_runs_the_protocol_and_gets_no_figure(
    folder: Path, tmp_path: Path
) -> None:
    arms = [{"id": "cpu", "device": "cpu"}, {"id": "candidate", "device": "rehearsal"}]
    told = worker.run(job(folder, arms=arms), tmp_path / "log")
    cpu, candidate = told["rows"]
    assert cpu["median"] > 0
    assert cpu["reason"] is None
    assert candidate["n"] >= 3
    assert candidate["reason"] == "simulated"
    assert [
        candidate[name]
        for name in ("median", "q1", "q3", "ci95", "tokens_per_second", "cold_seconds")
    ] == [None] * 6

    assert candidate["raw"] == []
    assert candidate["parity"]["max_difference"] < 1e-5
    assert told["speedup"] == {"value": None, "ci95": None, "reason": "simulated"}
    assert told["speedups"] == []
    assert all(
        row["p50"] is None and row["raw"] == []
        for row in told["latency"]
        if row["device"] == "rehearsal"
    )

    assert told["phases"][1]["compute"] is None
    assert told["not_checked"]


def test_an_encoder_is_timed_and_ways_that_need_a_head_say_so(tmp_path: Path) -> None:
    tiny_model.save_roberta(tmp_path, head=False)
    told = run_job(
        job(
            tmp_path,
            baselines=[
                {"id": "pipeline-1", "device": "cpu", "method": "pipeline", "batch_size": 1}
            ],
        )
    )
    assert told["rows"][0]["median"] > 0
    assert told["rows"][0]["parity"]["flips"] is None
    assert "head" in told["rows"][1]["reason"]


def test_no_texts_are_an_error(folder: Path) -> None:
    with pytest.raises(TextsError):
        run_job(job(folder, texts=[]))


def test_an_absent_device_is_an_error_and_not_a_row(folder: Path) -> None:
    with pytest.raises(DeviceError):
        run_job(
            job(
                folder,
                arms=[{"id": "cpu", "device": "cpu"}, {"id": "candidate", "device": "npu:0"}],
            )
        )


def test_blocks_have_one_size_and_repeat_no_text() -> None:
    texts = [str(i) for i in range(measure.BLOCK * 2 + 7)]
    blocks = measure._blocks(texts, seed=0)
    assert [len(block) for block in blocks] == [measure.BLOCK] * 2
    assert len({text for block in blocks for text in block}) == measure.BLOCK * 2
    assert measure._blocks(texts[:5], 0) == [texts[:5]]


def test_agreement_counts_decisions_sets_and_first_labels() -> None:
    reference = np.array([[0.9, 0.1], [0.2, 0.1], [0.4, 0.35]])
    answer = np.array([[0.9, 0.1], [0.1, 0.2], [0.4, 0.25]])
    told = ways.agreement(reference, answer, 0.3)
    assert told == {
        "n_texts": 3,
        "max_difference": pytest.approx(0.1),
        "mean_difference": pytest.approx(0.3 / 6),
        "top1_changed": 1,
        "sets_changed": 1,
        "flips": 1,
    }


def test_an_answer_that_is_not_a_number_counts_as_changed() -> None:
    told = ways.agreement(np.array([[0.9, 0.1]]), np.array([[np.nan, 0.1]]), 0.3)
    assert np.isnan(told["max_difference"])
    assert told["top1_changed"] == told["sets_changed"] == 1


def test_a_cpu_without_bfloat16_instructions_has_no_bfloat16_row_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways.conditions, "has_bfloat16", lambda: False)
    baselines = [
        {"id": "classifier-bf16", "device": "cpu", "method": "classifier", "dtype": "bfloat16"}
    ]
    row = measure.run(job(folder, baselines=baselines), clock=Ticks())["rows"][1]
    assert row["id"] == "classifier-bf16"
    assert row["median"] is None
    assert "no bfloat16 instructions" in row["reason"]


def test_a_baseline_that_fails_at_its_first_call_leaves_a_row_with_the_reason_and_an_arm_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(model: Any, device: Any) -> Any:
        def call(**inputs: Any) -> None:
            raise RuntimeError("no C++ compiler was found\nlong trace")

        return call

    monkeypatch.setattr(ways, "_compiled", no_compiler)
    compiled = {"id": "compiled", "device": "cpu", "method": "sorted", "compile": True}
    told = measure.run(job(folder, baselines=[compiled]), clock=Ticks())
    assert [(r["id"], r["reason"]) for r in told["rows"]] == [
        ("cpu", None),
        ("compiled", "no C++ compiler was found"),
    ]
    with pytest.raises(RuntimeError, match="compiler"):
        measure.run(job(folder, arms=[{"id": "cpu", "device": "cpu"}, compiled]), clock=Ticks())


def test_no_seconds_asked_for_are_none_and_not_the_default(folder: Path) -> None:
    assert (
        measure.run(job(folder, seconds=0, min_rounds=2), clock=Ticks())["protocol"]["seconds"] == 0
    )


def test_single_texts_are_timed_for_the_classifier_of_the_command_too(folder: Path) -> None:
    told = measure.run(
        job(folder, baselines=[{"id": "packed", "device": "cpu", "method": "classifier"}]),
        clock=Ticks(),
    )
    assert [row["id"] for row in told["latency"]] == ["cpu", "packed"]


def test_a_limit_that_leaves_no_room_for_a_text_is_refused(folder: Path) -> None:
    with pytest.raises(ParamsError, match="adds 2 tokens"):
        measure.run(job(folder, max_length=2))
