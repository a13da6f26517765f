"""MLPerf scenarios through mlcommons-loadgen (an extra): SingleStream and Offline in shortened
form, labelled as such.

A compliant run lasts at least ten minutes a scenario, with 24,576 samples for Offline; these say
how this model behaves under MLPerf's load generator and are no MLPerf results.
"""

from __future__ import annotations

import array
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Way

SCENARIOS = ("SingleStream", "Offline")
COMPLIANCE = "shortened and unverified: not a compliant MLPerf run"
ATTEMPTS = 3
# a run that is done with its samples before the time is up counts as INVALID, so more are asked for
# than the rate suggests
ROOM = 1.5
REASON = "not installed: mlcommons-loadgen (pip install 'goemo[mlperf]')"
_RESULT = re.compile(r"Result is\s*:\s*(VALID|INVALID)")
_VALUE = re.compile(
    r"^(90\.0th percentile latency \(ns\)|Samples per second|QPS w/o loadgen"
    r" overhead)\s*:\s*([\d.]+(?:e[+-]?\d+)?)",
    re.MULTILINE,
)


def scenarios(
    way: Way, texts: Sequence[str], folder: Path, seconds: float = 10.0
) -> list[dict[str, Any]]:
    """Run the scenarios against ``way`` for ``seconds`` each; logs and summaries stay in
    ``folder``.
    """
    base = {
        "id": way.id,
        "configuration": way.configuration,
        "device": way.device.requested,
        "compliance": COMPLIANCE,
        "result": None,
        "values": None,
        "summary": None,
        "attempts": 0,
    }

    if way.device.simulated:
        return [base | {"scenario": name, "reason": "simulated"} for name in SCENARIOS]
    if find_spec("mlperf_loadgen") is None:
        return [base | {"scenario": name, "reason": REASON} for name in SCENARIOS]

    return [
        base
        | _run(way, texts, name, folder / name.lower(), seconds)
        | {
            "scenario": name,
            "reason": None,
        }
        for name in SCENARIOS
    ]


def read_summary(text: str) -> dict[str, Any]:
    """VALID or INVALID and the figures of an ``mlperf_log_summary.txt``."""
    found = _RESULT.search(text)
    return {
        "result": found.group(1) if found else None,
        "values": {name: float(value) for name, value in _VALUE.findall(text)},
    }


def _run(
    way: Way, texts: Sequence[str], scenario: str, folder: Path, seconds: float
) -> dict[str, Any]:
    """Run a scenario; a run that loadgen calls INVALID is repeated with as many samples as its own
    rate asks for.
    """
    rate = _expected_rate(way, texts if scenario == "Offline" else texts[:1])
    for attempt in range(1, ATTEMPTS + 1):
        told = _once(way, texts, scenario, folder, seconds, rate) | {"attempts": attempt}
        measured = told["values"].get("Samples per second") or told["values"].get(
            "QPS w/o loadgen overhead"
        )
        if told["result"] == "VALID" or not measured:
            break
        rate = ROOM * max(rate, measured)

    return told


def _once(
    way: Way, texts: Sequence[str], scenario: str, folder: Path, seconds: float, rate: float
) -> dict[str, Any]:
    import mlperf_loadgen as loadgen

    folder.mkdir(parents=True, exist_ok=True)

    def issue(samples: Sequence[Any]) -> None:
        answers = way.run([texts[sample.index] for sample in samples])
        kept = [array.array("B", np.ascontiguousarray(row).tobytes()) for row in answers]
        loadgen.QuerySamplesComplete(
            [
                loadgen.QuerySampleResponse(sample.id, *buffer.buffer_info())
                for sample, buffer in zip(samples, kept, strict=True)
            ]
        )

    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 1 if scenario == "Offline" else 100

    # loadgen makes its samples beforehand, as many as the rate that it is told to expect needs for
    # the time.
    settings.offline_expected_qps = rate
    settings.single_stream_expected_latency_ns = int(1e9 / rate)
    output = loadgen.LogOutputSettings()
    output.outdir = str(folder)
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(
        len(texts), len(texts), lambda samples: None, lambda samples: None
    )

    try:
        loadgen.StartTestWithLogSettings(system, library, settings, logs)
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)

    summary = (folder / "mlperf_log_summary.txt").read_text(encoding="utf-8", errors="replace")
    return read_summary(summary) | {"summary": summary}


def _expected_rate(way: Way, texts: Sequence[str]) -> float:
    """Texts a second at best, with room to spare."""
    from goemo_utils.throughput.protocol import Arm, timed

    arm = Arm(way.id, lambda number: way.run(texts), way.device.synchronize)
    return ROOM * len(texts) / min(timed(arm, 0) for _ in range(3))
