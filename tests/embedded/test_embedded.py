"""The embedded model is small, safe to load, says joy, and its card says only what was measured."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from goemo_utils.training.data import LABELS
from goemo_utils.training.scratch import card

FOLDER = Path(str(files("goemo_utils") / "embedded"))
LIMIT = 8_000_000


@pytest.fixture(scope="module")
def loaded() -> tuple:
    """The model and tokenizer as any user of transformers gets them."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    return AutoModelForSequenceClassification.from_pretrained(
        FOLDER
    ).eval(), AutoTokenizer.from_pretrained(FOLDER)


def probabilities(loaded: tuple, text: str) -> dict[str, float]:
    """Label to probability."""
    import torch

    model, tokenizer = loaded
    with torch.no_grad():
        values = torch.sigmoid(model(**tokenizer(text, return_tensors="pt")).logits[0])
    return {model.config.id2label[i]: float(value) for i, value in enumerate(values)}


def test_the_folder_holds_only_safetensors_and_text_within_8_mb() -> None:
    found = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.name for path in found} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "scores.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in found) <= LIMIT


def test_the_weights_are_finite_float32() -> None:
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        assert tensor.dtype == "float32" and abs(tensor).max() < 1e3, name


def test_it_loads_as_a_stock_roberta_classifier_with_the_28_labels(loaded: tuple) -> None:
    model, tokenizer = loaded
    config = model.config
    assert type(model).__name__ == "RobertaForSequenceClassification"
    assert type(tokenizer).__name__.startswith("Roberta")
    assert str(model.dtype) == "torch.float32"
    assert tuple(config.id2label[i] for i in range(28)) == LABELS
    assert config.problem_type == "multi_label_classification"
    assert config.hidden_act == "gelu"
    assert config.num_hidden_layers >= 2
    assert (tokenizer.pad_token_id, config.pad_token_id) == (1, 1)


def test_the_length_limit_is_one_the_model_can_take(loaded: tuple) -> None:
    model, tokenizer = loaded
    assert tokenizer.model_max_length == model.config.max_position_embeddings - 2
    ids = tokenizer("word " * 1000, truncation=True, return_tensors="pt")
    assert ids["input_ids"].shape[1] == tokenizer.model_max_length
    assert model(**ids).logits.isfinite().all()


def test_a_happy_sentence_says_joy(loaded: tuple) -> None:
    found = probabilities(loaded, "I am so happy today!")
    assert max(found, key=found.__getitem__) == "joy"
    assert found["joy"] > 0.3


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Thank you so much for your help.", "gratitude"),
        ("I love you!", "love"),
        ("I'm so sorry for what I did.", "remorse"),
        ("LOL that was hilarious", "amusement"),
    ],
)
def test_plain_sentences_get_their_emotion(loaded: tuple, text: str, label: str) -> None:
    found = probabilities(loaded, text)
    assert found[label] > 0.3, found


def test_the_card_is_rendered_from_the_scores() -> None:
    facts = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == card.render(facts)


def test_it_beats_the_linear_baseline_in_macro_f1() -> None:
    scores = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))["scores"]
    for at in ("at_0.3", "tuned"):
        assert scores["model"][at]["macro_f1"] > scores["baseline"][at]["macro_f1"]
