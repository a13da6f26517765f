"""Other forms of an operator are told by their error; a gain and noise are none of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from goemo_utils.parity.error import Right
from goemo_utils.parity.forms import Form, found

torch.manual_seed(0)
X = torch.randn(3, 5, 16, dtype=torch.float64)
W = torch.randn(16, 16, dtype=torch.float64)
B = torch.randn(16, dtype=torch.float64)
NORM = X, (16,), W[0], B, 1e-5
SCORES = torch.randn(3, 2, 5, 5, dtype=torch.float64)
SEEN = torch.zeros(3, 1, 1, 5, dtype=torch.float64)
SEEN[1, ..., 3:] = -torch.inf
Q, K, V = torch.randn(3, 3, 2, 5, 8, dtype=torch.float64).unbind(0)


def form(operator: str, given: tuple, device: Tensor, gold: Tensor) -> Form | None:
    """The form that is found of float32 outputs."""
    right = Right.of(gold.float(), gold, None)
    return found(operator, (given, {}), device.float(), gold, right)


GELU, LINEAR, NORMED = F.gelu(X), F.linear(X, W, B), F.layer_norm(*NORM)
WEIGHTS = (SCORES + SEEN).softmax(-1)
ATTENDED = F.scaled_dot_product_attention(Q, K, V, SEEN)
CENTRED = X - X.mean(-1, keepdim=True)
UNBIASED = CENTRED * (CENTRED.var(-1, keepdim=True) + 1e-5).rsqrt() * W[0] + B
STEP = W.abs().amax(-1, keepdim=True) / 127
CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()

WRONG = {
    "quick GELU": ("gelu", (X,), X * (1.702 * X).sigmoid(), GELU),
    "ReLU": ("gelu", (X,), X.relu(), GELU),
    "by n - 1": ("layer_norm", NORM, UNBIASED, NORMED),
    "eps 0.01": ("layer_norm", NORM, F.layer_norm(*NORM[:4], 1e-2), NORMED),
    "no bias": ("linear", (X, W, B), F.linear(X, W), LINEAR),
    "8 bits": ("linear", (X, W, B), F.linear(X, (W / STEP).round() * STEP, B), LINEAR),
    "weights transposed": ("linear", (X, W, B), F.linear(X, W.T, B), LINEAR),
    "over axis 2": ("softmax", (SCORES, -1), SCORES.softmax(2), SCORES.softmax(-1)),
    "keys that are masked": ("softmax", (SCORES + SEEN, -1), SCORES.softmax(-1), WEIGHTS),
    "keys that count": (
        "softmax",
        (SCORES, -1),
        (SCORES + SEEN).softmax(-1),
        SCORES.softmax(-1),
    ),
    "mask dropped": (
        "scaled_dot_product_attention",
        (Q, K, V, SEEN),
        F.scaled_dot_product_attention(Q, K, V),
        ATTENDED,
    ),
    "causal mask": (
        "scaled_dot_product_attention",
        (Q, K, V),
        F.scaled_dot_product_attention(Q, K, V, CAUSAL),
        F.scaled_dot_product_attention(Q, K, V),
    ),
    "scores not scaled": (
        "scaled_dot_product_attention",
        (Q, K, V, SEEN),
        F.scaled_dot_product_attention(Q, K, V, SEEN, scale=1.0),
        ATTENDED,
    ),
    "heads in another order": ("matmul", (WEIGHTS, V), (WEIGHTS @ V).flip(1), WEIGHTS @ V),
    "rows +1": ("embedding", (torch.arange(5), W), W[1:6], W[:5]),
    "another text": ("gelu", (X,), GELU[:1].expand_as(GELU), GELU),
    "another text's state": ("add", (X, GELU), X + GELU.roll(1, 0), X + GELU),
    "+0.001": ("linear", (X, W, B), LINEAR + 1e-3, LINEAR),
}


@pytest.mark.parametrize("told", WRONG)
def test_a_form_is_told_in_words(told: str) -> None:
    seen = form(*WRONG[told])
    assert seen is not None
    assert told in seen.told


@pytest.mark.parametrize("told", ["mask dropped", "causal mask", "keys that are masked"])
def test_a_wrong_mask_inside_a_kernel_is_a_mask(told: str) -> None:
    assert form(*WRONG[told]).name == "mask"


@pytest.mark.parametrize("told", ["another text", "another text's state"])
def test_values_of_other_texts_are_a_neighbour(told: str) -> None:
    assert form(*WRONG[told]).name == "neighbour"


def test_what_is_added_is_an_offset() -> None:
    assert form(*WRONG["+0.001"]).name == "offset"


def test_a_gain_is_no_form() -> None:
    assert form("linear", (X, W, B), 1.001 * LINEAR, LINEAR) is None


def test_noise_is_no_form() -> None:
    noise = 1e-3 * torch.randn(LINEAR.shape, dtype=torch.float64)
    assert form("linear", (X, W, B), LINEAR + noise, LINEAR) is None


def test_the_right_output_is_no_form() -> None:
    assert form("gelu", (X,), GELU.float(), GELU.float().double()) is None


def test_a_call_of_another_signature_is_no_form() -> None:
    assert form("layer_norm", (X,), 2 * X, X) is None
