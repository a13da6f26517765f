"""Gold without weights of its own answers as a copy in float64 does, bit for bit."""

import pytest
import torch

from goemo_utils.parity import imitate
from goemo_utils.parity.twins import _twin
from goemo_utils.parity.wide import widened


@pytest.mark.parametrize("architecture", ["roberta", "electra", "distilbert"])
def test_gold_answers_as_a_copy_in_float64(architecture) -> None:
    model = imitate.network(architecture)
    copied = _twin(model, lambda t: t.double() if t.is_floating_point() else t.clone())
    shared = widened(model)
    batch = imitate.batch([9, 4, 7, 6], 0)
    with torch.no_grad():
        right = copied(**batch, output_hidden_states=True)
        answer = shared(**batch, output_hidden_states=True)
    assert answer.logits.dtype == torch.float64
    assert torch.equal(answer.logits, right.logits)
    assert all(map(torch.equal, answer.hidden_states, right.hidden_states))


def test_gold_shares_the_weights_and_leaves_them_as_they_are() -> None:
    model = imitate.network("roberta")
    shared = widened(model)
    pairs = list(zip(model.parameters(), shared.parameters(), strict=True))
    assert all(a is b for a, b in pairs)
    assert {weight.dtype for weight in shared.parameters()} == {torch.float32}


class Asking(torch.nn.Module):
    """A module that looks at its weight's dtype and takes it apart."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4, 4), 1 / 3))

    def forward(self, states: torch.Tensor) -> tuple[torch.dtype, torch.Tensor]:
        return self.weight.dtype, states.to(self.weight.dtype) @ self.weight.T + self.weight[0]


def test_a_weight_says_that_it_is_of_float64() -> None:
    dtype, answer = widened(Asking())(torch.ones(1, 4))
    assert dtype == torch.float64
    assert answer.dtype == torch.float64
