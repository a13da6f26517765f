from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import RobertaForSequenceClassification

from goemo_utils.optimise import pruning
from goemo_utils.optimise.lab import layers_of
from tests.optimise import tiny


@pytest.fixture
def base() -> SimpleNamespace:
    return SimpleNamespace(model=tiny.model(), inputs=tiny.inputs())


def test_the_asked_part_of_the_encoders_weights_becomes_zero(base) -> None:
    pruning.smallest(base.model, 0.4)
    weights = [
        module.weight
        for module in layers_of(base.model).modules()
        if isinstance(module, torch.nn.Linear)
    ]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros == pytest.approx(0.4 * sum(weight.numel() for weight in weights), abs=1)


def test_units_go_in_equal_number_so_that_transformers_loads_the_model(base, tmp_path) -> None:
    pruning.without_units(tiny.lab(base.model), base, 0.5)
    base.model.save_pretrained(tmp_path)
    again = RobertaForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = tiny.inputs().tensors(tiny.rows(4))
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, base.model(**batch).logits)
    assert again.config.intermediate_size == 12


def test_units_without_effect_are_the_first_to_go(base) -> None:
    before, batch = tiny.model(), tiny.inputs().tensors(tiny.rows(4))
    for network in (before, base.model):
        for layer in layers_of(network):
            layer.output.dense.weight.data[:, ::2] = 0.0
    pruning.without_units(tiny.lab(base.model), base, 0.5)
    with torch.no_grad():
        assert torch.allclose(base.model(**batch).logits, before(**batch).logits, atol=1e-5)


def test_a_head_stays_in_every_layer(base) -> None:
    gone = pruning.useless(tiny.lab(base.model), base, 0.99)
    assert [int((~heads).sum()) for heads in gone] == [1, 1]


def test_silent_heads_have_zero_weights_behind_it(base) -> None:
    gone = [torch.tensor([True, False, False, True])] * 2
    batch = tiny.inputs().tensors(tiny.rows(4))
    with torch.no_grad():
        with pruning.silent(base, gone):
            expected = base.model(**batch).logits
        assert torch.allclose(base.model(**batch).logits, expected, atol=1e-6)
    assert not layers_of(base.model)[0].attention.output.dense.weight[:, :4].any()
