"""A speed-up names its baseline, its cores and its interval, or is not stated."""

from types import SimpleNamespace
from typing import Any

import pytest

from goemo_utils.throughput import speedup


def row(name: str, device: str, rate: float, dtype: str = "float32") -> dict[str, Any]:
    return {"id": name, "device": device, "median": rate, "configuration": name, "dtype": dtype}


def device(kind: str, simulated: bool = False) -> Any:
    return SimpleNamespace(kind=kind, simulated=simulated)


ROWS = [
    row("slow", "cpu", 10.0),
    row("fast", "cpu", 40.0),
    row("int8", "cpu", 80.0, "int8"),
    row("npu", "npu:0", 400.0),
]
SECONDS = {"slow": [0.1] * 9, "fast": [0.025] * 9, "int8": [0.0125] * 9, "npu": [0.0025] * 9}
ONCE = dict.fromkeys(SECONDS, 1)


def test_the_headline_is_against_the_fastest_float32_cpu_and_names_it_with_cores_and_interval() -> (
    None
):
    ups = speedup.speedups(ROWS, SECONDS, ONCE, 2)
    told = speedup.headline(ups, ROWS, [device("cpu"), device("npu")])
    assert told["baseline_id"] == "fast"
    assert told["value"] == pytest.approx(10)
    assert told["ci95"] == pytest.approx([10, 10])
    assert told["cores"] == 2
    assert told["reason"] is None
    assert {up["baseline_id"]: round(up["value"]) for up in ups} == {
        "slow": 40,
        "fast": 10,
        "int8": 5,
    }


def test_a_way_that_repeats_a_block_is_credited_with_the_repeats() -> None:
    ups = speedup.speedups(ROWS, SECONDS, ONCE | {"npu": 4}, 2)
    assert next(up["value"] for up in ups if up["baseline_id"] == "fast") == pytest.approx(40)


def test_a_ratio_that_scatters_is_not_quoted_but_called_too_noisy() -> None:
    noisy = SECONDS | {"npu": [0.001, 0.02] * 4 + [0.001]}
    told = speedup.headline(
        speedup.speedups(ROWS, noisy, ONCE, 2), ROWS, [device("cpu"), device("npu")]
    )
    assert told["value"] is None
    assert told["ci95"] is None
    assert "too noisy" in told["reason"]


def test_a_simulated_device_never_has_a_headline() -> None:
    assert (
        speedup.headline(
            speedup.speedups(ROWS, SECONDS, ONCE, 2), ROWS, [device("rehearsal", True)]
        )["value"]
        is None
    )


def test_a_device_is_never_set_against_reduced_precision_on_the_cpu_alone() -> None:
    rows = [row("int8", "cpu", 80.0, "int8"), row("npu", "npu:0", 400.0)]
    told = speedup.headline(
        speedup.speedups(rows, SECONDS, ONCE, 2), rows, [device("cpu"), device("npu")]
    )
    assert told["value"] is None
    assert "float32" in told["reason"]


def test_a_ratio_of_one_round_is_not_quoted() -> None:
    once = {name: seconds[:1] for name, seconds in SECONDS.items()}
    told = speedup.headline(
        speedup.speedups(ROWS, once, ONCE, 2), ROWS, [device("cpu"), device("npu")]
    )
    assert told["value"] is None
    assert "too few rounds" in told["reason"]


@pytest.mark.parametrize(
    ("difference", "changed", "quoted"),
    [(1e-3, 0, True), (0.1, 1, True), (0.9, 12, False), (float("nan"), 0, False)],
)
def test_a_wrong_answer_has_no_speed_up(difference: float, changed: int, quoted: bool) -> None:
    rows = [
        (
            r | {"parity": {"n_texts": 256, "max_difference": difference, "top1_changed": changed}}
            if r["id"] == "npu"
            else r
        )
        for r in ROWS
    ]
    told = speedup.headline(
        speedup.speedups(rows, SECONDS, ONCE, 2), rows, [device("cpu"), device("npu")]
    )
    assert (told["value"] is not None) == quoted
    assert quoted or "wrong answer" in told["reason"]
