"""The second stage starts as exactly the function that the first stage learned."""

import numpy as np
import torch

from goemo_utils.training.scratch import network
from goemo_utils.training.scratch.batches import count, in_order, shuffled
from goemo_utils.training.scratch.loop import rate_at
from goemo_utils.training.scratch.pooling import AttentionPooler, transplant
from tests.training.scratch.test_run import miniature


def test_the_encoder_gives_the_poolers_logits_after_the_transplant() -> None:
    torch.manual_seed(0)
    recipe = miniature("train.tsv", "dev.tsv", "out").model_copy(update={"n_layers": 3})
    pooler = AttentionPooler(300, recipe.width, recipe.n_heads, 28, 0.1, 0.1).eval()
    for parameter in pooler.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model = network.build(recipe, 300, tuple(f"label {i}" for i in range(28))).eval()
    transplant(pooler, model)
    ids = torch.tensor([[0, 10, 20, 30, 2], [0, 40, 2, 1, 1]])
    with torch.no_grad():
        assert torch.allclose(network.classifier_logits(model, ids), pooler(ids), atol=1e-3)


def test_folded_thresholds_mark_the_same_labels_at_the_common_threshold() -> None:
    torch.manual_seed(0)
    recipe = miniature("train.tsv", "dev.tsv", "out")
    model = network.build(recipe, 300, ("a", "b", "c")).eval()
    ids, thresholds = torch.randint(5, 300, (64, 9)), np.array([0.48, 0.5, 0.52])
    with torch.no_grad():
        before = torch.sigmoid(network.classifier_logits(model, ids)) > torch.tensor(thresholds)
        network.fold_thresholds(model, thresholds, 0.3)
        after = torch.sigmoid(network.classifier_logits(model, ids)) > 0.3
    assert (before == after).all()


def test_batches_hold_every_text_once_and_their_number_is_foretold() -> None:
    rows = [[0] + [7] * (i % 9) + [2] for i in range(1003)]
    for found in (list(in_order(rows, 8)), list(shuffled(rows, 8, np.random.default_rng(0)))):
        assert sorted(i for chosen, _ in found for i in chosen) == list(range(1003))
        assert all(
            (ids != 1).sum(1).tolist() == [len(rows[i]) for i in chosen] for chosen, ids in found
        )
        assert len(found) == count(1003, 8)


def test_the_rate_warms_up_to_its_peak_and_then_only_falls() -> None:
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[9] == 1
    assert max(rates) == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.03
