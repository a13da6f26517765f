"""What is told about the machine is read correctly from what the system says."""

import os

import pytest
import torch

from goemo_utils.throughput import conditions

STAT = "cpu  100 10 50 800 20 0 5 15 0 0\ncpu0 50 5 25 400 10 0 2 8 0 0\n"


def test_ticks_are_read_from_the_line_of_all_cores() -> None:
    assert conditions.ticks(STAT) == {"total": 1000, "idle": 820, "steal": 15}


def test_stolen_time_is_a_share_of_the_time_between_two_snapshots() -> None:
    before = {"total": 1000, "idle": 800, "steal": 0, "own": 1.0, "load": [0, 0, 0]}
    after = {"total": 2000, "idle": 1000, "steal": 100, "own": 1.0, "load": [2, 1, 0]}
    told = conditions.between(before, after)
    assert told["steal_share"] == 0.1
    assert told["busy"]
    assert told["other_processes_share"] == 0.7


def test_a_process_alone_on_a_quiet_machine_is_not_busy() -> None:
    before = {"total": 0, "idle": 0, "steal": 0, "own": 0.0, "load": None}
    after = {"total": 1000, "idle": 500, "steal": 0, "own": 4.9, "load": None}
    assert not conditions.between(before, after)["busy"]


def test_a_system_without_counters_gives_no_shares() -> None:
    told = conditions.between({"own": 0.0, "load": None}, {"own": 1.0, "load": None})
    assert told["steal_share"] is None
    assert told["other_processes_share"] is None
    assert told["busy"] is False


def test_the_name_of_the_processor_is_found_or_absent() -> None:
    assert conditions.cpu_name("processor: 0\nmodel name\t: AMD EPYC\n") == "AMD EPYC"
    assert conditions.cpu_name("CPU implementer: 0x48\n") is None


def test_settings_carry_the_variables_of_an_ascend_worker(monkeypatch) -> None:
    monkeypatch.setenv("TASK_QUEUE_ENABLE", "2")
    told = conditions.settings()
    assert told["TASK_QUEUE_ENABLE"] == "2"
    assert "ASCEND_LAUNCH_BLOCKING" in told
    assert told["threads"] >= 1
    assert told["cores"] >= 1
    assert told["cpu_capability"]


def test_peak_memory_is_in_bytes() -> None:
    assert conditions.peak_memory() > 10_000_000


def test_bfloat16_is_read_from_the_flags_of_the_processor() -> None:
    assert conditions.has_bfloat16("flags : fpu avx512_bf16 avx512_vnni\n") is True
    assert conditions.has_bfloat16("Features : fp asimd bf16 i8mm\n") is True
    assert conditions.has_bfloat16("flags : fpu avx2\n") is False


def test_pinning_reaches_torch_and_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    before = torch.get_num_threads()
    try:
        conditions.pin_threads(1)
        assert (torch.get_num_threads(), os.environ["RAYON_NUM_THREADS"]) == (1, "1")
        assert conditions.settings()["RAYON_NUM_THREADS"] == "1"
    finally:
        torch.set_num_threads(before)
