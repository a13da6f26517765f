"""The limit that the machine's products set is arithmetic on the model's shapes, and asks no clock
that it is not given.
"""

import pytest
import torch
from torch import nn

from goemo_utils.throughput import products
from tests.classifier.test_unpadded import classifier


class Ticks:
    """A clock that moves by one millisecond whenever someone looks at it."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def test_a_text_takes_two_operations_a_weight_and_token() -> None:
    told = products.products(classifier("bert"), 10.0, Ticks())
    # Two layers of four 32 x 32 and two 32 x 48 products; the pooler sees one token only and is not
    # counted.
    assert told["gflop_per_text"] == pytest.approx(2e-9 * 10 * 2 * (4 * 32 * 32 + 2 * 32 * 48))


def test_rates_are_operations_over_the_best_call_and_texts_are_rates_over_work() -> None:
    told = products.products(classifier(), 10.0, Ticks())
    assert told["shape"] == [512, 32, 48]
    assert told["rates"]["plain"] == pytest.approx(
        torch.get_num_threads() * 2e-9 * 512 * 32 * 48 / 0.001
    )
    assert (
        set(told["rates"])
        == {"plain", "packed", "packed_bfloat16", "packed_int8"}
        == set(told["texts_per_second"])
    )
    assert told["texts_per_second"]["plain"] == pytest.approx(
        told["rates"]["plain"] / told["gflop_per_text"]
    )


def test_what_this_torch_cannot_multiply_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*linears: nn.Linear) -> nn.Module:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(products, "PackedLinear", refuse)
    told = products.products(classifier(), 10.0, Ticks())
    assert told["rates"]["packed"] is None
    assert told["texts_per_second"]["packed_bfloat16"] is None
    assert told["rates"]["plain"]


def test_a_model_without_linear_layers_has_no_limit() -> None:
    class Bare(nn.Module):
        base_model = nn.LayerNorm(4)

    assert products.products(Bare(), 10.0)["rates"] == {}
