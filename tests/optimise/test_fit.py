from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from goemo_utils.optimise import fit
from goemo_utils.optimise.fit import Plan, train
from tests.optimise import tiny

PLAN = Plan(epochs=2, batch_size=8, autocast="none")


def loss(model, batch, chosen):
    return model(**batch).logits.square().mean()


class Killed(Exception):
    pass


def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "SAVE_EVERY", -1.0)
    start = tiny.model()
    whole = train(copy.deepcopy(start), tiny.rows(), loss, PLAN, tiny.inputs(), say=lambda _: None)

    calls = []

    def dying(model, batch, chosen):
        calls.append(chosen)
        if len(calls) == 4:
            raise Killed
        return loss(model, batch, chosen)

    given = (PLAN, tiny.inputs(), tmp_path, "job", lambda _: None)
    with pytest.raises(Killed):
        train(copy.deepcopy(start), tiny.rows(), dying, *given)
    said: list[str] = []
    resumed = train(copy.deepcopy(start), tiny.rows(), loss, *given[:-1], said.append)

    assert said[0].startswith("goes on after step 3 of 8")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_job_is_not_resumed_from(tmp_path: Path) -> None:
    said: list[str] = []
    for digest in ("one", "other"):
        train(tiny.model(), tiny.rows(), loss, PLAN, tiny.inputs(), tmp_path, digest, said.append)
    assert not [line for line in said if line.startswith("goes on")]


def test_no_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    train(tiny.model(), tiny.rows(), loss, PLAN, tiny.inputs(), tmp_path, "", lambda _: None)
    assert {path.suffix for path in tmp_path.rglob("*.*") if path.is_file()} == {
        ".json",
        ".safetensors",
    }


def test_special_tokens_are_never_hidden() -> None:
    ids = torch.tensor([[0, 7, 8, 9, 2, 1, 1]])
    hidden = fit._hidden(ids, 0.999999, tiny.inputs().tokenizer)
    assert hidden.tolist() == [[0, 4, 4, 4, 2, 1, 1]]
