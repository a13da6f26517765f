"""The timing protocol on a fake clock and a fake device."""

import pytest

from goemo_utils.throughput import protocol


class FakeDevice:
    """A device with a queue: a step returns at once, and its time passes only when someone waits
    for it.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.queued = 0.0

    def clock(self) -> float:
        return self.now

    def submit(self, seconds: float) -> None:
        self.queued += seconds

    def synchronize(self) -> None:
        self.now += self.queued
        self.queued = 0.0


def arm(device: FakeDevice, name: str, durations) -> protocol.Arm:
    times = iter(durations)
    return protocol.Arm(name, lambda number: device.submit(next(times)), device.synchronize)


def forever(value: float):
    while True:
        yield value


def test_a_step_is_timed_until_the_device_has_finished() -> None:
    device = FakeDevice()
    assert protocol.timed(arm(device, "a", forever(2.0)), 0, device.clock) == 2.0


def test_work_queued_before_a_step_is_not_charged_to_it() -> None:
    device = FakeDevice()
    device.submit(100.0)
    assert protocol.timed(arm(device, "a", forever(2.0)), 0, device.clock) == 2.0


def test_warm_up_ends_when_the_times_stop_falling_and_keeps_the_cold_call_apart() -> None:
    device = FakeDevice()
    warm = protocol.warm_up(
        arm(device, "a", [50.0, 8, 6, 4, 3, 2.5, 2.0, *[2.0] * 20]), limit=1e9, clock=device.clock
    )
    assert warm.cold == 50.0
    assert warm.steady
    assert warm.samples[-protocol.WINDOW :] == pytest.approx([2.0] * protocol.WINDOW, rel=0.3)
    assert 6 <= len(warm.samples) < 20


def test_warm_up_that_never_rests_stops_at_its_limit_and_says_so() -> None:
    device = FakeDevice()
    warm = protocol.warm_up(
        arm(device, "a", (100 * 0.8**i for i in range(1000))), limit=300, clock=device.clock
    )
    assert not warm.steady
    assert device.now >= 300


def test_arms_take_turns() -> None:
    device = FakeDevice()
    result = protocol.interleave(
        [arm(device, "a", forever(1.0)), arm(device, "b", forever(2.0))],
        seconds=0,
        min_rounds=3,
        clock=device.clock,
    )
    assert result.order == ["a", "b"] * 3
    assert result.seconds == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert result.complete


def test_every_arm_gets_the_rounds_and_the_seconds_that_were_asked() -> None:
    device = FakeDevice()
    result = protocol.interleave(
        [arm(device, "fast", forever(0.5)), arm(device, "slow", forever(3.0))],
        seconds=4,
        min_rounds=2,
        clock=device.clock,
    )
    assert all(sum(samples) >= 4 and len(samples) >= 2 for samples in result.seconds.values())
    assert len(result.seconds["fast"]) == len(result.seconds["slow"]) == 8


def test_processor_time_is_kept_beside_the_clock() -> None:
    device, processor = FakeDevice(), iter([0.0, 3.0, 3.0, 7.0])
    result = protocol.interleave(
        [arm(device, "a", forever(10.0))],
        seconds=0,
        min_rounds=2,
        clock=device.clock,
        cpu_clock=lambda: next(processor),
    )
    assert result.seconds == {"a": [10.0, 10.0]}
    assert result.cpu_seconds == {"a": [3.0, 4.0]}


def test_both_arms_of_a_round_get_the_same_number() -> None:
    seen: list[tuple[str, int]] = []
    arms = [
        protocol.Arm(name, lambda number, name=name: seen.append((name, number))) for name in "ab"
    ]
    protocol.interleave(arms, seconds=0, min_rounds=2)
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_a_run_cut_short_ends_with_a_whole_round_and_says_so() -> None:
    device = FakeDevice()
    result = protocol.interleave(
        [arm(device, "a", forever(4.0)), arm(device, "b", forever(4.0))],
        seconds=0,
        min_rounds=100,
        max_seconds=10,
        clock=device.clock,
    )
    assert not result.complete
    assert len(result.seconds["a"]) == len(result.seconds["b"]) == 2


def test_nothing_to_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to time"):
        protocol.interleave([], 1, 1)


def test_two_arms_of_one_name_are_refused() -> None:
    device = FakeDevice()
    with pytest.raises(ValueError, match="id of its own"):
        protocol.interleave([arm(device, "a", forever(1.0)), arm(device, "a", forever(1.0))], 0, 1)
