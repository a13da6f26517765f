"""What one load found a model to do serves the next of the same files, and no other."""

import json
import os

import pytest
import torch

from goemo_utils.forward import traits
from goemo_utils.forward.guard import SEEN
from goemo_utils.forward.inputs import Inputs
from goemo_utils.forward.model import load_model
from tests.forward.tiny_model import save_roberta


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_roberta(tmp_path_factory.mktemp("model"))


@pytest.fixture
def seen(folder, tmp_path, monkeypatch):
    """The file of a chain in which a model was loaded."""
    monkeypatch.setenv(SEEN, str(tmp_path / "seen.json"))
    load_model(str(folder))
    return tmp_path / "seen.json"


@pytest.fixture
def looked(monkeypatch):
    """How often a model was looked at."""
    looks, look = [], traits.look
    monkeypatch.setattr(traits, "look", lambda *a: looks.append(1) or look(*a))
    return looks


def without_tokenizer(inputs: Inputs) -> dict:
    return {name: value for name, value in vars(inputs).items() if name != "tokenizer"}


def test_the_next_load_looks_at_nothing_and_is_the_same(folder, seen, looked) -> None:
    again = load_model(str(folder))
    assert looked == []
    seen.unlink()
    first = load_model(str(folder))
    assert looked == [1]
    assert without_tokenizer(again.inputs) == without_tokenizer(first.inputs)
    assert again.info == first.info
    batch = next(iter(again.inputs.batches(again.inputs.encode(["no", "yes, no"], 9), 2)))
    with torch.no_grad():
        assert torch.equal(again.model(**batch).logits, first.model(**batch).logits)


def test_another_version_of_transformers_is_looked_at_again(folder, seen, looked) -> None:
    told = json.loads(seen.read_text())
    seen.write_text(json.dumps(told | {"transformers": "4.0"}))
    load_model(str(folder))
    assert looked == [1]


def test_a_changed_file_is_looked_at_again(folder, seen, looked) -> None:
    os.utime(folder / "config.json", ns=(1, 1))
    load_model(str(folder))
    assert looked == [1]


@pytest.mark.parametrize("other", [{"dtype": "bfloat16"}, {"task": "encoder"}])
def test_another_arithmetic_or_task_is_looked_at_again(folder, seen, looked, other) -> None:
    load_model(str(folder), **other)
    assert looked == [1]


def test_outside_a_chain_nothing_is_told(folder, looked, monkeypatch) -> None:
    monkeypatch.delenv(SEEN, raising=False)
    load_model(str(folder))
    load_model(str(folder))
    assert looked == [1, 1]
