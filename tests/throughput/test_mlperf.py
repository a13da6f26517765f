"""MLPerf scenarios keep loadgen's verdict and summary, repeat an Offline run that was too short,
and never claim compliance.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goemo_utils.throughput import mlperf

SUMMARY = """================================================
MLPerf Results Summary
================================================
Scenario : SingleStream
90.0th percentile latency (ns) : 1234567
Result is : VALID
  Min duration satisfied : Yes
"""


def way(simulated: bool = False) -> Any:
    device = SimpleNamespace(requested="cpu", simulated=simulated, synchronize=lambda: None)
    return SimpleNamespace(
        id="packed",
        configuration="fake",
        device=device,
        run=lambda texts: np.full((len(texts), 3), 0.5, dtype=np.float32),
    )


def test_the_summary_of_loadgen_gives_its_verdict_and_figures() -> None:
    assert mlperf.read_summary(SUMMARY) == {
        "result": "VALID",
        "values": {"90.0th percentile latency (ns)": 1234567.0},
    }
    assert mlperf.read_summary("nothing")["result"] is None
    # As C++ prints numbers from a million on.
    assert mlperf.read_summary("Samples per second: 1.25e+06\n")["values"] == {
        "Samples per second": 1250000.0
    }


def test_without_its_package_the_extra_is_named_and_compliance_never_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlperf, "find_spec", lambda name: None)
    told = mlperf.scenarios(way(), ["a"], tmp_path)
    assert [t["scenario"] for t in told] == ["SingleStream", "Offline"]
    assert all(
        "goemo[mlperf]" in t["reason"]
        and "not a compliant" in t["compliance"]
        and t["result"] is None
        for t in told
    )


def test_a_simulated_device_is_not_run(tmp_path: Path) -> None:
    assert [t["reason"] for t in mlperf.scenarios(way(simulated=True), ["a"], tmp_path)] == [
        "simulated",
        "simulated",
    ]


def runs(monkeypatch: pytest.MonkeyPatch, *results: str) -> list[float]:
    """Let the next runs end with these verdicts at 1,000 samples a second; the rates that were
    asked for.
    """
    asked: list[float] = []

    def once(
        way: Any, texts: Sequence[str], scenario: str, folder: Path, seconds: float, rate: float
    ) -> dict[str, Any]:
        asked.append(rate)
        return {
            "result": results[len(asked) - 1],
            "values": {"Samples per second": 1000.0},
            "summary": "",
        }

    monkeypatch.setattr(mlperf, "_once", once)
    monkeypatch.setattr(mlperf, "_expected_rate", lambda way, texts: 100.0)
    return asked


@pytest.mark.parametrize("scenario", mlperf.SCENARIOS)
def test_a_run_that_was_too_short_is_repeated_with_the_samples_that_its_rate_asks_for(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = runs(monkeypatch, "INVALID", "VALID")
    told = mlperf._run(way(), ["a"], scenario, tmp_path, 1.0)
    assert asked == [100.0, 1500.0]
    assert told["result"] == "VALID"
    assert told["attempts"] == 2


def test_a_run_that_stays_invalid_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = runs(monkeypatch, *["INVALID"] * 9)
    told = mlperf._run(way(), ["a"], "Offline", tmp_path, 1.0)
    assert told["result"] == "INVALID"
    assert told["attempts"] == len(asked) == mlperf.ATTEMPTS


@pytest.mark.skipif(find_spec("mlperf_loadgen") is None, reason="needs the extra mlperf")
def test_loadgen_itself_runs_both_scenarios_and_its_verdict_and_summary_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        mlperf, "_expected_rate", lambda way, texts: 1.0
    )  # far too few samples, as if the machine had been busy
    told = mlperf.scenarios(way(), ["a", "b", "c"], tmp_path, seconds=0.05)
    for scenario in told:
        kept = (tmp_path / scenario["scenario"].lower() / "mlperf_log_summary.txt").read_text()
        assert scenario["attempts"] > 1
        assert scenario["summary"] == kept
        assert f"Result is : {scenario['result']}" in kept
        assert f"Scenario : {scenario['scenario']}" in kept
        assert "not a compliant" in scenario["compliance"]
        assert scenario["values"]
