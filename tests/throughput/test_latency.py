"""One text at a time: every way has its own budget."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from goemo_utils.throughput import latency


@dataclass
class FakeWay:
    """A way whose every call takes the same time of a clock that it moves itself."""

    id: str
    seconds: float
    clock: Any
    kind: str = "cpu"
    configuration: str = "fake"
    dtype: str = "float32"
    calls: list[str] = field(default_factory=list)

    @property
    def device(self) -> SimpleNamespace:
        return SimpleNamespace(
            simulated=False, kind=self.kind, requested=self.kind, synchronize=lambda: None
        )

    def run(self, texts: list[str]) -> None:
        self.calls += texts
        self.clock.now += self.seconds


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def timed(*ways: tuple[str, float, str], seconds: float = 0.1) -> dict[str, dict[str, Any]]:
    clock = Clock()
    fakes = [FakeWay(name, each, clock, kind) for name, each, kind in ways]
    rows = latency.latency(fakes, ["a", "b"], seconds, clock)
    return {row["id"]: row for row in rows}


def test_a_slow_way_takes_nothing_from_a_fast_one() -> None:
    rows = timed(("slow", 1.0, "cpu"), ("fast", 0.001, "cpu"))
    assert rows["slow"]["p50"] == 1000.0
    assert rows["slow"]["n"] == 20
    assert rows["fast"]["n"] >= 1000
    assert rows["fast"]["p99"] is not None


def test_a_device_may_take_longer_for_its_p99_than_a_cpu() -> None:
    rows = timed(("cpu", 0.01, "cpu"), ("npu", 0.01, "npu"))
    assert rows["cpu"]["p99"] is None
    assert rows["npu"]["p99"] is not None


def test_a_p99_that_is_asked_for_is_measured() -> None:
    assert timed(("cpu", 0.01, "cpu"), seconds=11.0)["cpu"]["p99"] is not None


def test_a_way_so_slow_that_twenty_calls_take_over_a_minute_says_how_many_it_had() -> None:
    row = timed(("stuck", 10.0, "cpu"))["stuck"]
    assert row["p50"] is None
    assert "p50 needs 20" in row["reason"]
