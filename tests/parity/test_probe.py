"""The probe reads an arithmetic exactly; here the CPU imitates it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from goemo_utils.parity.emulate import PLAIN, Claim, Detail, Emulate, replacements, rounding
from goemo_utils.parity.probe import accumulator, name_rounding, operands, probe
from goemo_utils.rehearsal.numerics import ROUNDING, round_mantissa


@pytest.mark.parametrize(
    "name", [None, *ROUNDING, "matmul_9bit_away", "matmul_7bit_trunc", "matmul_13bit_rne"]
)
@pytest.mark.parametrize("tanh", [False, True])
@torch.no_grad()
def test_every_arithmetic_is_named(name, tanh):
    with Emulate(Claim(name, tanh)):
        answers = probe("cpu")
    assert (answers["left"], answers["right"], answers["gelu"]) == (
        name,
        name,
        "tanh" if tanh else "erf",
    )
    assert answers["accumulate_error"] == 0


@torch.no_grad()
def test_accumulation_order_is_no_rounding_of_operands():
    with Emulate(PLAIN, Detail(16, 4.0)):
        assert probe("cpu")["left"] is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tanh", [False, True])
@torch.no_grad()
def test_half_precision_still_tells_the_two_forms_of_gelu(dtype, tanh):
    with Emulate(Claim(tanh_gelu=tanh)):
        answers = probe("cpu", dtype)
    assert answers["gelu"] == ("tanh" if tanh else "erf")
    assert "left" not in answers


@pytest.mark.parametrize("name", [None, *ROUNDING])
@torch.no_grad()
def test_convolutions_are_read_by_themselves(name):
    with Emulate(Claim(convolution=name)):
        answers = probe("cpu", convolutions=True)
    assert (answers["convolution"], answers["left"]) == (name, None)


class NarrowSum(TorchDispatchMode):
    """A matrix unit that adds in float16."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name != "aten::mm":
            return func(*args, **(kwargs or {}))
        left, right = (a.half() for a in args)
        total = torch.zeros(left.shape[0], right.shape[1], dtype=torch.float16)
        for k in range(left.shape[1]):
            total += left[:, k : k + 1] * right[k : k + 1]
        return total.float()


def test_a_narrow_accumulator_shows():
    with torch.no_grad(), NarrowSum():
        assert accumulator("cpu", 512) < -0.02


def test_a_rounding_that_is_no_grid_is_unknown():
    x = operands()
    assert name_rounding(x, x * (1 + 1e-3)) == "unknown"


def test_the_operands_have_ties_so_that_rules_for_them_differ():
    x = operands()
    assert not torch.equal(round_mantissa(x, 11), round_mantissa(x, 11, "away"))


def test_an_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="hf33"):
        rounding("hf33")
    assert replacements(PLAIN) == {}
