from __future__ import annotations

import numpy as np
import pytest
import torch

from goemo_utils.classifier.unpadded import Unpadded
from goemo_utils.optimise.early_exit import Exit, Leaving, Settings, Sure, choose_margin, states
from tests.optimise import tiny


@pytest.fixture
def whole() -> Unpadded:
    return Unpadded(tiny.model(3))


def leaving(whole: Unpadded, margin: float) -> Leaving:
    torch.manual_seed(0)
    exits = [Exit(16, len(tiny.LABELS)).eval() for _ in range(2)]
    return Leaving(whole, exits, Sure(torch.zeros(3, len(tiny.LABELS)), margin))


def ask(model: torch.nn.Module, rows: list[list[int]]) -> torch.Tensor:
    with torch.inference_mode():
        return model(**tiny.inputs().tensors(rows)).logits


def test_where_nobody_is_sure_the_answers_are_the_whole_models(whole: Unpadded) -> None:
    rows = sorted(tiny.rows(), key=len)
    assert torch.allclose(ask(leaving(whole, 1e9), rows), ask(whole, rows), atol=1e-5)


def test_where_everybody_is_sure_all_leave_behind_the_first_layer(whole: Unpadded) -> None:
    model = leaving(whole, 0.0)
    ask(model, tiny.rows())
    assert model.left == [30, 0, 0]


def test_some_leave_behind_each_layer_and_none_is_lost(whole: Unpadded) -> None:
    model = leaving(whole, 0.05)
    ask(model, tiny.rows())
    assert sum(model.left) == 30
    assert model.left[0] > 0
    assert model.left[2] > 0


def test_an_answer_does_not_depend_on_who_else_leaves(whole: Unpadded) -> None:
    rows, model = sorted(tiny.rows(), key=len), leaving(whole, 0.05)
    together = ask(model, rows)
    alone = torch.cat([ask(model, [row]) for row in rows])
    assert torch.allclose(together, alone, atol=1e-5)


def test_states_are_the_first_tokens_and_the_mean_of_all(whole: Unpadded) -> None:
    rows = tiny.rows(5)
    given = states(whole, tiny.inputs(), rows).float()
    with torch.no_grad():
        model, ids = tiny.model(3), torch.tensor([rows[3]])
        behind = model(input_ids=ids, output_hidden_states=True).hidden_states[2][0]
    assert torch.allclose(given[1, 3], torch.cat([behind[0], behind.mean(0)]), atol=1e-2)


def test_the_margin_is_the_smallest_that_loses_nothing_on_the_held_out_texts() -> None:
    rng = np.random.default_rng(0)
    held = (rng.random((200, 2)) < 0.5).astype(np.float32)
    good = torch.from_numpy(np.where(held > 0, 3.0, -3.0)).float()
    poor = good * torch.from_numpy(rng.choice([-0.1, 0.3], held.shape)).float()
    sure, tried = choose_margin(held, [poor, good], Settings(kind="early_exit"))
    assert tried[0]["mean_layers"] == 1.0
    assert tried[0]["macro_f1"] < 1.0
    before = [one for one in tried if one["margin"] < sure.margin]
    assert all(one["macro_f1"] < 1.0 for one in before)
