"""The longest input that a model takes is found by running it, without its products."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from goemo_utils.families.zoo import FAMILIES, make
from goemo_utils.forward import lengths
from goemo_utils.forward.lengths import NoProducts, longest
from goemo_utils.forward.model import load_model
from tests.forward.tiny_model import save_roberta

SPECIAL = ("big_bird", "canine", "deberta-v2", "funnel", "modernbert", "reformer", "xlnet")


@pytest.fixture
def small(tmp_path: Path):
    return load_model(str(save_roberta(tmp_path / "small", limit=64)))


def test_a_table_that_ends_before_the_limit_is_found(small) -> None:
    assert longest(small.model, small.inputs, 64) == 64
    assert longest(small.model, small.inputs, 90) == 64


def test_a_large_model_is_run_on_few_tokens_and_asked_for_shapes_on_many(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[int] = []

    def takes(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
        run.append(batch["input_ids"].numel())

    def refuses(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
        if batch["input_ids"].numel() > 40:
            raise ValueError("at most 40")

    monkeypatch.setattr(lengths, "CHEAP", 0.0)
    monkeypatch.setattr(lengths, "SHORT_ENOUGH", 30)
    monkeypatch.setattr(lengths, "_run", takes)
    monkeypatch.setattr(lengths, "_on_meta", refuses)
    assert longest(small.model, small.inputs, 64) == 40
    assert run and max(run) <= 30


def test_products_with_weights_are_not_computed_and_attention_is(small) -> None:
    batch = small.inputs.tensors([small.inputs.encode(["I am so happy today!"], 64)[0]])
    with FlopCounterMode(display=False) as whole:
        small.model(**batch)
    with FlopCounterMode(display=False) as spared, NoProducts():
        small.model(**batch)
    counts = whole.get_flop_counts()["Global"], spared.get_flop_counts()["Global"]
    named = [{str(name) for name in count} for count in counts]
    assert {"aten.addmm"} <= named[0] and not {"aten.addmm"} & named[1]
    assert 0 < spared.get_total_flops() < whole.get_total_flops() / 3


def test_a_product_that_does_not_fit_is_refused_as_ever() -> None:
    with pytest.raises(RuntimeError), NoProducts():
        torch.nn.functional.linear(torch.zeros(2, 3), torch.zeros(4, 5))


def _both(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """What is found without products, and with all of them."""
    loaded = load_model(str(make(next(f for f in FAMILIES if f.model_type == name), folder)))
    spared = longest(loaded.model, loaded.inputs, 150)
    monkeypatch.setattr(lengths, "_run", lambda model, batch: model(**batch))
    return spared, longest(loaded.model, loaded.inputs, 150)


@pytest.mark.parametrize("name", SPECIAL)
def test_the_same_length_is_found_as_with_products(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared, whole = _both(name, tmp_path, monkeypatch)
    assert spared == whole


@pytest.mark.long
@pytest.mark.parametrize("name", [f.model_type for f in FAMILIES if f.model_type not in SPECIAL])
def test_every_family_is_found_as_long_as_with_products(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared, whole = _both(name, tmp_path, monkeypatch)
    assert spared == whole
