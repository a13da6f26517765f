from __future__ import annotations

import torch

from goemo_utils.optimise.towers import GOEMOTIONS, Head, Settings, Towers, fitted
from goemo_utils.training.data import LABELS


def test_every_emotion_has_its_description() -> None:
    assert set(GOEMOTIONS) == set(LABELS) - {"neutral"}


def test_the_head_gives_what_the_towers_give() -> None:
    torch.manual_seed(0)
    towers, texts, described = Towers(8, 4, 3), torch.randn(5, 8), torch.randn(3, 8)
    vectors = towers.vectors(described)
    head = Head(towers, vectors)
    assert torch.equal(head(texts[:, None]), towers(texts, vectors))
    cosine = (head(texts[:, None]) - towers.bias) / towers.scale
    assert cosine.abs().max() <= 1.0001


def test_towers_learn_which_description_a_text_is_near() -> None:
    torch.manual_seed(0)
    described = torch.eye(3, 8)
    states = described.repeat(40, 1) + 0.1 * torch.randn(120, 8)
    targets = torch.eye(3).repeat(40, 1)
    asked = Settings(kind="towers", width=4, epochs=30, rate=0.05)
    towers = fitted(states, described, targets, asked, 0)
    with torch.no_grad():
        answers = towers(states, towers.vectors(described))
    assert torch.equal(answers.argmax(1), targets.argmax(1))
