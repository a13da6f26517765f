"""Rounded weights that are kept: the roundings are those of every call, and what was written to is
rounded anew.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.numerics import ROUNDING, round_operand
from tests.rehearsal.children import simulated

ROUND = ROUNDING["hf32"]


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(64, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def counted(monkeypatch) -> Callable[[], int]:
    """How many roundings were made so far."""
    made: list[Tensor] = []
    monkeypatch.setitem(ROUNDING, "hf32", lambda operand: made.append(operand) or ROUND(operand))
    return lambda: len(made)


def test_a_weight_is_rounded_once_in_either_order_of_its_axes(weight, counted) -> None:
    with KEPT.keeping([(weight,)]):
        turned = round_operand(weight.t(), "hf32")
        plain = round_operand(weight, "hf32")
    assert counted() == 1
    assert torch.equal(turned, ROUND(weight).t())
    assert torch.equal(plain, ROUND(weight))


def test_nothing_is_kept_outside(weight, counted) -> None:
    with KEPT.keeping([(weight,)]):
        round_operand(weight, "hf32")
    round_operand(weight, "hf32")
    assert counted() == 2


def test_what_was_written_to_is_rounded_anew(weight) -> None:
    with KEPT.keeping([(weight,)]):
        round_operand(weight, "hf32")
        weight.mul_(1.7)
        assert torch.equal(round_operand(weight, "hf32"), ROUND(weight))


def test_another_rounding_and_a_part_of_a_weight_are_computed(weight) -> None:
    with KEPT.keeping([(weight,)]):
        round_operand(weight, "hf32")
        assert torch.equal(round_operand(weight, "tf32"), ROUNDING["tf32"](weight))
        assert torch.equal(round_operand(weight[:32], "hf32"), ROUND(weight[:32]))


def test_weights_of_the_same_bits_are_rounded_once(weight, counted) -> None:
    other = weight.clone()
    other[0, 0] += 1.0
    with KEPT.keeping([(weight, weight.clone(), other)]):
        places = list(KEPT.weights.values())
    assert places[0] is places[1]
    assert places[0] is not places[2]


def test_a_widened_weight_is_rounded_as_it_is_kept(weight, counted) -> None:
    wide = weight.double()
    with KEPT.keeping([(weight,)]):
        round_operand(weight, "hf32")
        with KEPT.widened([(wide, weight)]):
            kept = round_operand(wide.t(), "hf32")
        assert wide.data_ptr() not in KEPT.weights
    assert counted() == 1
    assert torch.equal(kept, ROUND(wide).t())


@simulated(numerics="hf32")
def test_the_device_answers_as_without_and_sees_what_is_written() -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    there, states = weight.to("npu:0"), torch.randn(3, 128).to("npu:0")
    fresh = torch.nn.functional.linear(states, there).cpu()
    with KEPT.keeping([(weight, there)]), torch.no_grad():
        first = torch.nn.functional.linear(states, there).cpu()
        there.mul_(2.0)
        doubled = torch.nn.functional.linear(states, there).cpu()
        there.copy_(torch.zeros(64, 128))
        emptied = torch.nn.functional.linear(states, there).cpu()
    assert torch.equal(first, fresh)
    assert torch.equal(doubled, 2.0 * fresh)
    assert not emptied.any()
