"""Switching the device on, and what torch.npu answers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from goemo_utils import rehearsal
from goemo_utils.errors import DeviceError
from tests.rehearsal.children import in_child, simulated


def _fails(**settings: Any) -> str:
    with pytest.raises(DeviceError) as caught:
        rehearsal.enable(**settings)
    return str(caught.value)


def test_nothing_is_simulated_before_enable() -> None:
    assert not in_child(rehearsal.is_simulated)[0]


@simulated()
def test_enabling_again_with_the_same_settings_changes_nothing() -> None:
    rehearsal.enable()
    rehearsal.enable(numerics="exact", fault="")
    assert rehearsal.is_simulated()


@simulated(numerics="hf32")
def test_enabling_again_with_other_settings_is_refused() -> None:
    assert "already on in this process with numerics 'hf32'" in _fails(numerics="tf32")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"devices": 0}, "The number of rehearsal devices is 0; expected an integer from 1 to 16."),
        ({"memory_limit": -1}, "The memory limit -1 is not usable"),
        ({"memory_limit": "lots"}, "The memory size 'lots' cannot be read"),
        ({"seed": "0"}, "The seed of the rehearsal device is '0'"),
        ({"numerics": "hf33"}, "The rehearsal arithmetic 'hf33' is unknown"),
        ({"fault": "gelo:nan"}, "near names: gelu"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence_and_leaves_the_device_off(
    settings: dict[str, Any], sentence: str
) -> None:
    def body() -> tuple[str, bool]:
        return _fails(**settings), rehearsal.is_simulated()

    (message, simulated_now), _ = in_child(body)
    assert sentence in message
    assert not simulated_now


def test_an_old_torch_is_refused_with_its_version() -> None:
    def body() -> str:
        torch.__version__ = "2.9.1+cpu"
        return _fails()

    assert "needs torch 2.10 or later, but this is torch 2.9.1+cpu" in in_child(body)[0]


@pytest.mark.parametrize("first", ["", "import torch_npu; "], ids=["kept out", "loaded"])
@pytest.mark.parametrize(
    "contents",
    ["npu = object()", "raise ImportError('libhccl.so: cannot open shared object file')"],
)
def test_a_torch_npu_is_refused_only_where_it_is_loaded_and_works(
    contents: str, first: str, tmp_path: Path
) -> None:
    works = contents.startswith("npu")
    if first and not works:
        pytest.skip("what cannot be loaded cannot be loaded first")

    (tmp_path / "torch_npu.py").write_text(contents)
    code = (
        f"import sys; sys.path.insert(0, sys.argv[1]); {first}from goemo_utils import rehearsal;"
        " rehearsal.enable()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=_environment(tmp_path),
        check=False,
    )
    assert (done.returncode != 0) == bool(first)
    if done.returncode:
        assert "cannot share a process with torch_npu, which works here" in done.stderr


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder)}


def test_another_backend_in_the_place_is_named() -> None:
    def body() -> str:
        torch.utils.rename_privateuse1_backend("tpu2")
        return _fails()

    assert "which 'tpu2' has taken" in in_child(body)[0]


@simulated()
def test_the_device_says_that_it_is_simulated() -> None:
    assert "SIMULATED" in torch.npu.get_device_name(0)
    assert "SIMULATED" in torch.npu.get_device_properties(0).name
    assert torch.npu.IS_SIMULATED
    assert sys.modules["torch_npu"].IS_SIMULATED


@simulated()
def test_an_npu_kernel_of_torch_npu_is_refused_rather_than_absent() -> None:
    import torch_npu

    with pytest.raises(
        NotImplementedError, match=r"torch_npu.npu_fusion_attention is an NPU kernel.*SIMULATED"
    ):
        torch_npu.npu_fusion_attention(torch.ones(1))


@simulated()
def test_the_usual_questions_have_answers() -> None:
    npu = torch.npu
    assert npu.is_available()
    assert npu.device_count() == 1
    assert npu.current_device() == 0
    assert npu.is_bf16_supported()
    npu.synchronize("npu:0")
    npu.empty_cache()
    free, total = npu.mem_get_info()
    assert free <= total == npu.get_device_properties("npu:0").total_memory


@simulated()
def test_events_measure_the_hosts_time_and_need_timing_enabled() -> None:
    start, end = torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
    start.record()
    end.record()
    assert start.elapsed_time(end) >= 0
    with pytest.raises(RuntimeError, match="enable_timing=True"):
        torch.npu.Event().elapsed_time(end)


@simulated()
def test_streams_can_be_entered_and_waited_for() -> None:
    with torch.npu.stream(torch.npu.Stream()) as stream:
        stream.wait_stream(torch.npu.current_stream())
        assert stream.record_event().query()


@simulated()
def test_seeds_and_generator_states_repeat_the_same_numbers() -> None:
    torch.npu.manual_seed(5)
    state = torch.npu.get_rng_state()
    first = torch.rand(3, device="npu").cpu()
    torch.npu.set_rng_state(state)
    assert torch.equal(torch.rand(3, device="npu").cpu(), first)
    torch.npu.manual_seed_all(5)
    assert torch.equal(torch.rand(3, device="npu").cpu(), first)


@simulated()
def test_more_than_the_host_can_hold_is_the_devices_memory_that_ran_out() -> None:
    with pytest.raises(torch.OutOfMemoryError, match=r"NPU out of memory\. Tried to allocate"):
        torch.empty(2**44, device="npu:0")


@simulated(memory_limit="1MiB")
def test_memory_beyond_the_limit_is_refused_and_comes_back() -> None:
    kept = torch.zeros(1000, device="npu")
    before = torch.npu.memory_allocated()
    with pytest.raises(
        torch.OutOfMemoryError, match=r"NPU out of memory\. Tried to allocate 2\.00 MiB .*SIMULATED"
    ):
        torch.zeros(2**19, device="npu")
    assert torch.npu.memory_allocated() == before >= kept.nbytes
    assert torch.npu.mem_get_info()[1] == 2**20


@simulated()
def test_the_peak_is_kept_until_it_is_reset() -> None:
    large = torch.zeros(10_000, device="npu")
    size = large.nbytes
    del large
    assert torch.npu.max_memory_allocated() >= size
    torch.npu.reset_peak_memory_stats()
    assert torch.npu.max_memory_allocated() < size


@simulated()
def test_torch_accelerator_answers_for_the_device() -> None:
    accelerator = torch.accelerator
    assert str(accelerator.current_accelerator()) == "npu"
    assert accelerator.device_count() == 1
    accelerator.synchronize()
    assert accelerator.memory_allocated() == torch.npu.memory_allocated()
    with pytest.raises(RuntimeError, match="Invalid npu device ordinal 3"):
        accelerator.set_device_index(3)


@simulated()
def test_hf32_can_be_switched_as_on_the_real_device() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(8, 8)
    exact = (matrix.npu() @ matrix.npu()).cpu()
    assert torch.npu.matmul.allow_hf32 is False
    torch.npu.matmul.allow_hf32 = True
    assert torch.npu.matmul.allow_hf32 is True
    assert not torch.equal((matrix.npu() @ matrix.npu()).cpu(), exact)
    torch.npu.matmul.allow_hf32 = False
    assert torch.equal((matrix.npu() @ matrix.npu()).cpu(), exact)
    with pytest.raises(TypeError, match="takes only allow_hf32 = True or False"):
        torch.npu.matmul.allow_hf32 = 1


@simulated(numerics="ascend910b")
def test_an_untouched_910b_has_hf32_on_for_convolutions_alone() -> None:
    assert torch.npu.conv.allow_hf32
    assert not torch.npu.matmul.allow_hf32


@simulated()
def test_an_absent_ordinal_is_an_error() -> None:
    for use in (
        lambda: torch.zeros(1, device="npu:1"),
        lambda: torch.zeros(1).to("npu:1"),
        lambda: torch.npu.set_device(1),
    ):
        with pytest.raises(
            RuntimeError,
            match=r"Invalid npu device ordinal 1: the rehearsal device has 1 device, .*SIMULATED",
        ):
            use()


@simulated(devices=2)
def test_two_devices_keep_their_tensors_apart() -> None:
    first, second = torch.ones(3, device="npu:0"), torch.ones(3).to("npu:1")
    assert (second + second).device == torch.device("npu:1")
    assert torch.equal((first.to("npu:1") + second).cpu(), torch.full((3,), 2.0))
    with pytest.raises(RuntimeError, match=r"same device.*npu:0 and npu:1.*SIMULATED"):
        first + second
    with torch.npu.device(1):
        assert torch.zeros(1, device="npu").device.index == 1
    assert torch.npu.current_device() == 0


@simulated(devices=2)
def test_gradients_on_the_second_device_are_refused_in_a_sentence() -> None:
    leaf = torch.ones(2, device="npu:1", requires_grad=True)
    with pytest.raises(RuntimeError, match=r"computes gradients on npu:0 only.*SIMULATED"):
        leaf.sum().backward()


def test_gradients_after_gradients_on_the_cpu_are_refused_with_the_remedy() -> None:
    def body() -> str:
        torch.ones(2, requires_grad=True).sum().backward()
        rehearsal.enable()
        leaf = torch.ones(2, device="npu", requires_grad=True)
        with pytest.raises(RuntimeError) as refusal:
            leaf.sum().backward()
        return str(refusal.value)

    assert "restart the kernel" in in_child(body)[0]


def test_two_memory_limits_contradict_each_other() -> None:
    assert "limited more than once" in in_child(lambda: _fails(memory_limit=1024, fault="oom"))[0]
