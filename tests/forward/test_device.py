"""Devices: an absent one is an error in a sentence, never another device."""

import subprocess
import sys

import pytest
import torch

from goemo_utils.errors import DeviceError
from goemo_utils.forward.device import open_device


def test_the_cpu_is_always_there_and_proves_where_a_run_took_place() -> None:
    device = open_device("cpu")
    model = torch.nn.Linear(2, 2)
    proof = device.proof(model, model(torch.zeros(1, 2)))
    assert proof["on_device"]
    assert proof["parameters_device"] == ["cpu"]
    assert not proof["simulated"]


def test_a_model_left_elsewhere_is_not_on_the_device() -> None:
    proof = open_device("cpu").proof(torch.nn.Linear(2, 2, device="meta"), torch.zeros(1))
    assert not proof["on_device"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_an_absent_cuda_device_is_an_error() -> None:
    with pytest.raises(DeviceError, match="'cuda:0' was requested"):
        open_device("cuda:0")


def test_an_absent_npu_is_an_error_that_names_the_doctor() -> None:
    code = (
        "from goemo_utils.forward.device import open_device\ntry: open_device('npu:0')\nexcept"
        " Exception as e: print(type(e).__name__, e)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.startswith("DeviceError Device 'npu:0' was requested")
    assert "goemo doctor" in said


@pytest.mark.parametrize("spec", ["tpu", "", "gpu:0", "npu:x", "cpu:1", "rehearsal:x"])
def test_an_unknown_device_names_the_known_ones(spec) -> None:
    with pytest.raises(DeviceError, match="expected cpu, cuda:N, npu:N or rehearsal"):
        open_device(spec)


@pytest.mark.parametrize("spec", ["npu:all", "npu:0,1", "rehearsal:4", "rehearsal:1"])
def test_several_cards_are_no_device_and_the_run_that_judges_them_is_named(spec: str) -> None:
    with pytest.raises(DeviceError, match=r"names several cards, and one was expected.*goemo run"):
        open_device(spec)


def test_only_the_rehearsal_device_imitates() -> None:
    with pytest.raises(DeviceError, match="only the rehearsal device"):
        open_device("cpu", numerics="hf32")


def test_the_rehearsal_device_is_named_simulated_and_excludes_the_real_one() -> None:
    code = (
        "from goemo_utils.forward.device import open_device\nd ="
        " open_device('rehearsal')\nprint(d.simulated, d.torch_device, d.name)\ntry:"
        " open_device('npu:0')\nexcept Exception as e: print(e)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.startswith("True npu:0 ")
    assert "SIMULATED" in said.splitlines()[0]
    assert "already runs the SIMULATED one" in said.splitlines()[1]
