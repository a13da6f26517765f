from __future__ import annotations

import pytest
import torch

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.lab import layers_of
from goemo_utils.optimise.layers import Settings, cut, kept, title
from tests.optimise import tiny


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({"layers": 2}, [0, 1]),
        ({"keep": "every_other"}, [0, 2, 4]),
        ({}, [0, 1, 2]),
    ],
)
def test_the_layers_that_stay_are_those_asked_for(settings: dict, layers: list[int]) -> None:
    assert kept(6, Settings(kind="layers", **settings)) == layers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": 1}, "first layer, distilled"),
        ({"layers": 2, "share": 0.0}, "first 2 layers, labels alone"),
        ({"layers": 1, "hidden": 0.5}, "first layer, distilled, states too"),
        ({"epochs": 0}, "first half of the layers, untrained"),
        ({"keep": "every_other"}, "every other layer, distilled"),
    ],
)
def test_the_title_says_which_layers_stay_and_how_they_learned(settings: dict, words: str) -> None:
    assert title(Settings(kind="layers", **settings)) == words


def test_to_keep_all_layers_is_refused() -> None:
    with pytest.raises(ParamsError, match="layers is 2, and the model has 2; expected fewer"):
        kept(2, Settings(kind="layers", layers=2))


def test_a_cut_model_computes_what_the_whole_one_does_up_to_there() -> None:
    whole, batch = tiny.model(3), tiny.inputs().tensors(tiny.rows(4))
    with torch.no_grad():
        states = whole(**batch, output_hidden_states=True).hidden_states
        cut(whole, [0, 1])
        assert torch.equal(whole(**batch, output_hidden_states=True).hidden_states[-1], states[2])
    assert whole.config.num_hidden_layers == len(layers_of(whole)) == 2
