"""int8 computes what the quantised numbers stand for, and is refused where it cannot be had."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import gelu

from goemo_utils.classifier import int8, packed
from goemo_utils.classifier.int8 import Int8Linear, Quantised, quantise
from goemo_utils.classifier.unpadded import FORMS, Unpadded
from tests.classifier.test_unpadded import classifier, logits, probabilities, texts_of

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


def meant(x: Quantised) -> torch.Tensor:
    return (x.values.double() - x.zero_point) * x.scale


def weight_of(linear: nn.Linear) -> torch.Tensor:
    """The weight in 127 steps a feature, as dynamic quantisation defines it."""
    scale = linear.weight.detach().double().abs().amax(1, keepdim=True) / 127
    return (linear.weight.detach().double() / scale).round() * scale


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.integers(1, 8))
def test_every_number_is_meant_to_half_a_step(numbers: list[float], at_once: int) -> None:
    states = torch.tensor(numbers, dtype=torch.float32)[:, None]
    before, int8.AT_ONCE = int8.AT_ONCE, at_once
    try:
        told = quantise(states)
    finally:
        int8.AT_ONCE = before
    assert told.values.dtype == torch.uint8
    assert told.values.shape == states.shape
    assert 0 <= told.zero_point <= 255
    assert (meant(told) - states).abs().max() <= 0.5001 * told.scale


def test_zero_is_meant_exactly() -> None:
    states = torch.tensor([[0.0, 3.1, -0.17, 2.0]])
    assert meant(quantise(states))[0, 0] == 0.0
    assert torch.equal(meant(quantise(torch.zeros(2, 3))), torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("size", [1e-31, 1e-38, 1e-45])
def test_a_range_too_small_for_float32_counts_as_zero(size: float) -> None:
    told = quantise(torch.full((16, 32), size))
    assert told.scale == 1.0
    assert meant(told).abs().max() == 0


def test_rows_that_nobody_reads_do_not_widen_the_range() -> None:
    states = torch.cat([torch.linspace(-1, 1, 64).reshape(4, 16), torch.full((2, 16), 1000.0)])
    told = quantise(states, rows=4)
    assert told.scale == pytest.approx(2 / 254)
    assert (meant(told)[:4] - states[:4]).abs().max() <= 0.5001 * told.scale


@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_that_of_the_quantised_numbers(
    activation: str, residual: bool, bias: bool
) -> None:
    if residual and activation == "gelu":
        pytest.skip("no layer has both")
    torch.manual_seed(0)
    linear, x, rest = nn.Linear(48, 32, bias=bias), torch.randn(16, 48) * 3, torch.randn(16, 32)
    given_ = quantise(x)
    expected = meant(given_) @ weight_of(linear).T + (linear.bias.detach().double() if bias else 0)
    expected = (gelu(expected) if activation == "gelu" else expected) + (rest if residual else 0)
    with torch.inference_mode():
        got = Int8Linear(linear, activation=activation)(given_, rest if residual else None)
        assert torch.equal(
            got, Int8Linear(linear, activation=activation)(x, rest if residual else None)
        )  # plain states are quantised inside
    torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-5)


def test_layers_side_by_side_keep_their_own_scales() -> None:
    torch.manual_seed(0)
    small, large, x = nn.Linear(32, 16), nn.Linear(32, 16), torch.randn(16, 32)
    with torch.no_grad():
        large.weight.mul_(100)
        small.weight[3] = 0
        both = Int8Linear(small, large)(x)
        torch.testing.assert_close(both[:, :16], Int8Linear(small)(x))
        torch.testing.assert_close(both[:, 16:], Int8Linear(large)(x))
        assert (
            both[:, :16] - small(x)
        ).abs().max() < 0.1  # beside the large one's scale it would be lost


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_stays_none(bad: float) -> None:
    x = torch.ones(16, 32)
    x[2, 5] = bad
    with torch.inference_mode():
        assert Int8Linear(nn.Linear(32, 16))(x).isnan().all()


@pytest.mark.parametrize("family", ["roberta", "distilbert", "electra"])
def test_a_model_without_padding_answers_nearly_as_in_float32(family: str) -> None:
    model, ids = classifier(family), texts_of([40, 12, 12, 5, 2])
    difference = np.abs(logits(Unpadded(model, Int8Linear), ids) - logits(model, ids)).max()
    assert 1e-5 < difference < 0.1 * np.ptp(logits(model, ids))


def test_the_form_that_is_right_in_float32_is_taken_and_its_difference_told() -> None:
    choice = int8.choose(classifier(), probabilities, FORMS)
    assert choice.backend == "packed"
    assert isinstance(choice.model, Unpadded)
    assert isinstance(choice.model.layers[0].projection, Int8Linear)
    assert choice.difference == pytest.approx(
        float(np.abs(probabilities(choice.model) - probabilities(classifier())).max())
    )
    assert f"{choice.difference:.2g}" in choice.reason
    assert "without padding" in choice.reason


def test_a_family_that_is_not_known_runs_with_padding() -> None:
    choice = int8.choose(classifier("nystromformer"), probabilities, FORMS)
    assert choice.backend == "packed"
    assert not isinstance(choice.model, Unpadded)
    assert "with padding" in choice.reason
    assert sum(isinstance(module, Int8Linear) for module in choice.model.modules()) > 4


def test_a_processor_that_saturates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Int8Linear.forward
    monkeypatch.setattr(
        Int8Linear,
        "forward",
        lambda self, x, residual=None: exact(self, x, residual).clamp(max=12000.0),
    )
    with pytest.raises(packed.PackingError, match="12000 instead of 16320"):
        int8.check()
    model = classifier()
    choice = int8.choose(model, probabilities, FORMS)
    assert choice.backend == "eager"
    assert choice.model is model
    assert "not exact on this processor" in choice.reason


def test_the_check_draws_no_random_numbers_and_runs_whatever_the_default_dtype() -> None:
    before, state = torch.get_default_dtype(), torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        int8.check()
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_int8_form_that_gives_no_numbers_is_refused() -> None:
    model = classifier()

    def run(candidate: nn.Module) -> np.ndarray:
        in_int8 = any(isinstance(module, Int8Linear) for module in candidate.modules())
        return probabilities(candidate) * (float("nan") if in_int8 else 1.0)

    choice = int8.choose(model, run, FORMS)
    assert choice.backend == "eager"
    assert "NaN" in choice.reason


def test_without_a_packed_form_the_reason_is_that_of_packing() -> None:
    choice = int8.choose(nn.Sequential(nn.LayerNorm(4)), lambda model: np.zeros(1), FORMS)
    assert choice.backend == "eager"
    assert "no linear layers" in choice.reason
