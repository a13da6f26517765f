"""Remedies: what they remove from a rehearsal, and that a device without the switch says so."""

import subprocess
import sys

import pytest

from goemo_utils.errors import DeviceError
from goemo_utils.forward.remedy import EXPANDED, REMOVES, apply, names, remedied
from goemo_utils.params import Params
from goemo_utils.rehearsal import NUMERICS, parse_numerics

CHOICES = ("erf_gelu", "float32_matmul", "erf_gelu+float32_matmul")


@pytest.mark.parametrize(
    ("numerics", "remedy", "left"),
    [
        ("exact", "erf_gelu", "exact"),
        ("tanh_gelu", "none", "tanh_gelu"),
        ("tanh_gelu", "erf_gelu", "exact"),
        ("tanh_gelu+ulp", "erf_gelu", "ulp"),
        ("hf32+tanh_gelu", "float32_matmul", "tanh_gelu"),
        ("hf32+tanh_gelu", "erf_gelu+float32_matmul", "exact"),
        ("ascend910b", "erf_gelu", "hf32_conv+reorder+ulp"),
        ("ascend910b", "float32_matmul", "tanh_gelu+reorder+ulp"),
        ("ascend910b+hf32", "float32_matmul", "tanh_gelu+reorder+ulp"),
        ("ascend910b", "erf_gelu+float32_matmul", "reorder+ulp"),
        ("hf32_conv", "float32_matmul", "exact"),
    ],
)
def test_a_remedy_takes_its_causes_away_and_leaves_the_rest(numerics, remedy, left) -> None:
    assert remedied(numerics, remedy) == left
    parse_numerics(left)


def test_every_cause_a_remedy_removes_is_a_mode_that_can_be_rehearsed() -> None:
    assert {cause for causes in REMOVES.values() for cause in causes} | set(EXPANDED) <= set(
        NUMERICS
    )
    assert {name for choice in CHOICES for name in names(choice)} == set(REMOVES)
    for choice in CHOICES:
        assert Params.load(None, {"remedy": choice}).remedy == choice


def test_a_device_that_needs_no_remedy_says_so() -> None:
    with pytest.raises(DeviceError, match="computes the erf form already"):
        apply("erf_gelu", "cpu")


def test_the_rehearsal_device_loses_the_arithmetic_that_was_remedied() -> None:
    code = (
        "from goemo_utils.forward.device import open_device; import torch; import"
        " torch.nn.functional as F\nd = open_device('rehearsal', 'tanh_gelu', None, 'erf_gelu'); x"
        " = torch.linspace(-3, 3, 100)\nprint(d.numerics, d.describe()['remedy'],"
        " torch.equal(F.gelu(x.to('npu:0')).cpu(), F.gelu(x)))"
    )
    assert subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    ).stdout.split() == ["exact", "erf_gelu", "True"]
