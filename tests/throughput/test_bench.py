"""goemo bench: what it asks the worker for, what its table says, and what the ladder, the grid and
MLPerf leave in the results.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from goemo_utils.errors import ParamsError, TextsError
from goemo_utils.throughput import bench, conditions, grid, ladder
from goemo_utils.throughput.ways import Bench, Unavailable
from tests.forward import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("roberta"))


def arguments(*given: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args([str(a) for a in given])


def row(name: str, raw: list[float] | None, **changes: Any) -> dict[str, Any]:
    measured = (
        {"median": sorted(raw)[len(raw) // 2], "ci95": [min(raw), max(raw)]}
        if raw
        else {"median": None, "ci95": None}
    )
    parity = (
        {"n_texts": 5, "max_difference": 0.25, "top1_changed": 1, "sets_changed": 2}
        if raw
        else None
    )

    return {
        "id": name,
        "configuration": f"way {name}",
        "raw": raw or [],
        "cpu_raw": [2 / r for r in raw or []],
        "device": "cpu",
        "dtype": "float32",
        "padding_share": 0.1,
        "parity": parity,
        "reason": None,
        "note": None,
        **measured,
        **changes,
    }


def results(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "rows": list(rows),
        "protocol": {"block_texts": 5, "blocks": 1, "rounds": 3, "complete": True},
        "speedup": {"value": None, "reason": "no device"},
        "worker": {
            "threads": 2,
            "cores": 2,
            "cpu": "EPYC",
            "cpu_capability": "AVX512",
            "torch": "2.13.0",
        },
        "conditions": {
            "load_average_before": [1.0, 1, 1],
            "load_average_after": None,
            "steal_share": None,
            "other_processes_share": 0.5,
            "busy": True,
        },
        **changes,
    }


def test_a_run_prints_every_way_with_its_ratio_and_parity(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "bench.json"
    code = bench.run(
        arguments(
            "--model",
            folder,
            "--ways",
            "pipeline-16,sorted",
            "--rounds",
            2,
            "--seconds",
            0,
            "--threads",
            1,
            "--json",
            out,
        )
    )

    printed = capsys.readouterr().out
    assert code == 0
    assert all(name in printed for name in ("padded", "pipeline-16", "sorted", "max diff"))
    written = json.loads(out.read_text())
    assert [r["id"] for r in written["rows"]] == ["padded", "pipeline-16", "sorted"]
    assert all(r["raw"] for r in written["rows"])


def test_the_table_gives_ratios_with_intervals_from_paired_rounds() -> None:
    text = bench.table(
        results(row("pipeline-16", [10.0, 20.0, 15.0]), row("packed", [40.0, 80.0, 60.0])),
        "base",
        "pipeline-16",
    )
    line = next(line for line in text.splitlines() if line.startswith("packed "))
    assert line.count("4.00 (4.00 – 4.00)") == 2
    assert "2 of 5" in line
    assert "2.5e-01" in line


def test_the_table_says_that_the_machine_was_busy_and_why_a_row_is_absent() -> None:
    text = bench.table(
        results(
            row("pipeline-16", [1.0, 1.0, 1.0]),
            row("onnx", None, reason="not installed: onnxruntime"),
        ),
        "base",
        "pipeline-16",
    )
    assert "BUSY" in text
    assert "onnx: not installed: onnxruntime." in text


def test_a_run_without_the_row_of_comparison_prints_no_ratio() -> None:
    assert "ratio to" not in bench.table(
        results(row("packed", [1.0, 1.0, 1.0])), "base", "pipeline-16"
    )


def test_the_table_says_that_a_run_was_stopped_and_why_no_speed_up_is_quoted() -> None:
    told = results(
        row("padded", [1.0] * 3),
        row("device", [2.0] * 3, device="npu:0"),
        speedup={"value": None, "reason": "too few rounds to conclude"},
    )
    told["protocol"]["complete"] = False
    text = bench.table(told, "base", "padded")
    assert "INCOMPLETE" in text
    assert "No speed-up is quoted: too few rounds to conclude." in text


def test_what_is_said_of_several_rows_is_said_once() -> None:
    text = bench.table(
        results(
            row("a", [1.0] * 5, note="too few rounds"),
            row("b", None, reason="absent"),
            row("c", [1.0] * 5, note="too few rounds"),
        ),
        "base",
        "a",
    )
    assert text.count("too few rounds") == 1
    assert "a, c: too few rounds." in text
    assert "b: absent." in text


def test_answers_that_are_no_numbers_come_from_the_worker_as_a_word_and_are_shown() -> None:
    parity = {"n_texts": 5, "max_difference": "NaN", "top1_changed": 5, "sets_changed": 5}
    line = next(
        line
        for line in bench.table(
            results(row("packed", [1.0] * 3, parity=parity)), "base", "packed"
        ).splitlines()
        if line.startswith("packed ")
    )
    assert "nan" in line
    assert "5 of 5" in line


def test_a_way_named_twice_is_measured_once() -> None:
    assert [b["id"] for b in bench._arms(arguments("--ways", "sorted,sorted,padded"))[1]] == [
        "sorted"
    ]


def test_the_table_compares_the_two_fastest_float32_ways_and_no_other_precision() -> None:
    rows = [
        row("padded", [10.0] * 5),
        row("packed", [40.0] * 5),
        row("onnx", [20.0] * 5),
        row("int8", [90.0] * 5, dtype="int8"),
        row("absent", None, reason="no"),
        row("ladder-classifier", [39.0] * 5, configuration="way packed"),
    ]
    text = bench.table(results(*rows), "base", "padded")
    assert (
        "Fastest in float32 by CPU time: packed, 2.00 (2.00 – 2.00) times onnx; by the clock 2.00"
        " (2.00 – 2.00) times." in text
    )


def test_the_fastest_of_few_rounds_is_told_with_the_doubt() -> None:
    text = bench.table(
        results(row("packed", [40.0] * 2), row("onnx", [20.0] * 2)), "base", "packed"
    )
    assert (
        "by the clock 2.00 (2.00 – 2.00) times (too few rounds to conclude: 2, and an interval of"
        " 95 % needs 5)." in text
    )


def test_the_table_says_what_the_products_of_this_machine_allow() -> None:
    told = {
        "shape": [512, 8, 32],
        "rates": {"plain": 180.2, "packed": 221.0, "packed_bfloat16": None},
        "gflop_per_text": 3.4,
        "texts_per_second": {"plain": 53.0, "packed": 65.0, "packed_bfloat16": None},
    }
    text = bench.table(
        results(row("packed", [1.0, 1.0, 1.0]), products=told), "base", "pipeline-16"
    )
    assert "512 x 8 by 8 x 32 at best: plain 180, packed 221 GFLOP/s" in text
    assert "3.4 GFLOP" in text
    assert "plain 53, packed 65 texts/s" in text
    assert "bfloat16" not in text


def test_a_device_adds_arms_that_must_run_and_ways_on_the_cpu_may_be_absent() -> None:
    arms, baselines = bench._arms(arguments("--device", "npu:0", "--dtype", "bfloat16", "--ladder"))
    assert [(arm["id"], arm["device"]) for arm in arms] == [
        ("padded", "cpu"),
        ("device", "npu:0"),
        ("device-classifier", "npu:0"),
    ]
    assert {b["device"] for b in baselines if b["id"].startswith("ladder-")} == {"npu:0"}
    assert len({b["id"] for b in arms + baselines}) == len(arms) + len(baselines)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["--ways", "warp"], ParamsError, "warp"),
        (["--ways", ",,"], ParamsError, "Unknown way ',,' in --ways"),
        (["--texts", "absent.txt"], TextsError, "absent.txt"),
        (["--against", "nope"], ParamsError, "--against names 'nope'"),
        (["--seconds", "nan"], ParamsError, "--seconds"),
        (["--seconds", "inf"], ParamsError, "--seconds"),
        (["--max_seconds", "0"], ParamsError, "--max_seconds"),
        (["--threads", "100000"], ParamsError, "no more threads than cores"),
        (["--threshold", "3"], ParamsError, "between 0 and 1"),
        (["--seed", "-1"], ParamsError, "--seed"),
        (["--column", "text"], ParamsError, "belongs to a file"),
        (["--json", "/proc/nope/x.json"], ParamsError, "--json"),
        (["--figures", "/proc/nope"], ParamsError, "--figures"),
        (["--mlperf", "/proc/nope"], ParamsError, "--mlperf"),
        (["--json", "/tmp"], ParamsError, "is a folder"),
        *[
            ([f"--{name}", value], ParamsError, f"--{name} is {value}")
            for name in ("limit", "rounds", "batch_size", "max_length", "threads")
            for value in ("0", "-1")
        ],
    ],
)
def test_bad_input_is_one_sentence(given: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        bench.run(arguments(*given))


def test_the_ladder_is_read_from_the_rows_in_order_and_couples_speed_with_parity() -> None:
    rows = [
        row("ladder-int8", None, reason="not installed"),
        row("ladder-padded", [10.0] * 3),
        row("ladder-sorted", [20.0] * 3),
        row("other", [9.0] * 3),
    ]
    told = ladder.climb(rows)
    assert [rung["id"] for rung in told] == ["ladder-padded", "ladder-sorted", "ladder-int8"]
    assert [rung["times_first"] for rung in told] == [1.0, 2.0, None]
    assert told[1]["parity"]["sets_changed"] == 2
    assert told[2]["reason"] == "not installed"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_the_rung_of_fused_attention_says_that_the_classifier_without_padding_has_it_already(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "has_bfloat16", lambda: True)
    arms = {arm["id"]: arm for arm in ladder.rungs("cpu")}
    built = Bench({"model": str(folder)})
    assert "no padding" in built.build(arms["bfloat16"]).configuration
    with pytest.raises(Unavailable, match="the rung before"):
        built.build(arms["sdpa"])


def test_a_run_without_a_ladder_has_none() -> None:
    assert ladder.climb([row("padded", [1.0])]) == []


def test_the_grid_covers_every_batch_size_and_length_that_the_model_allows(folder: Path) -> None:
    way = Bench({"model": str(folder)}).build({"id": "cpu", "device": "cpu"})
    cells = grid.grid(
        [way], {"batch_sizes": [1, 4], "lengths": [16, 64, 512], "seconds": 0.001, "min_rounds": 2}
    )
    assert [(c["batch_size"], c["length"]) for c in cells] == [(1, 16), (1, 64), (4, 16), (4, 64)]
    assert all(
        c["tokens_per_second"] == pytest.approx(c["median"] * c["length"]) and c["n"] >= 2
        for c in cells
    )


def test_a_cell_that_runs_out_of_memory_says_so_and_the_others_stay(folder: Path) -> None:
    way = Bench({"model": str(folder)}).build({"id": "cpu", "device": "cpu"})
    model = way.notes["loaded"].model

    def refuse(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"].shape[0] > 2:
            raise RuntimeError("out of memory\ndetails")

    handle = model.register_forward_pre_hook(refuse, with_kwargs=True)
    cells = grid.grid(
        [way], {"batch_sizes": [1, 4], "lengths": [16], "seconds": 0.001, "min_rounds": 2}
    )
    handle.remove()
    assert cells[0]["median"] > 0
    assert cells[1]["median"] is None
    assert cells[1]["reason"] == "out of memory"
