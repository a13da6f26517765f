"""Loading: what was loaded is said exactly; what cannot be trusted is refused."""

import json

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForPreTraining,
)

from goemo_utils.errors import ModelError
from goemo_utils.forward.model import load_model
from tests.forward.tiny_model import save_roberta

SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_roberta(tmp_path_factory.mktemp("model"))


def other(folder, tmp_path, network):
    """Another architecture beside the tiny tokenizer."""
    network.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    return tmp_path


def test_a_classifier_is_described_by_hashes_parts_and_limits(folder) -> None:
    loaded = load_model(str(folder))
    assert loaded.task == "multi_label"
    assert loaded.labels == ["joy", "anger", "neutral"]
    assert loaded.max_length == 64
    assert loaded.info["untrained"] == []
    assert loaded.info["pretrained_used"]
    assert loaded.info["local_weight_used"]
    assert loaded.info["weights_sha256"].startswith("sha256:")
    assert loaded.info["activation"] == "gelu"
    assert not loaded.model.training
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


def test_the_task_follows_the_checkpoint_and_a_contradiction_is_refused(tmp_path) -> None:
    single = save_roberta(tmp_path, problem_type=None)
    assert load_model(str(single)).task == "single_label"
    multi = save_roberta(tmp_path)
    with pytest.raises(ModelError, match="task: single_label contradicts"):
        load_model(str(multi), task="single_label")
    with pytest.raises(ModelError, match="regression"):
        load_model(str(save_roberta(tmp_path, problem_type="regression")))


def test_an_untrained_head_is_declared_and_its_labels_refused(folder, tmp_path) -> None:
    electra = other(
        folder, tmp_path, ElectraForPreTraining(ElectraConfig(**SMALL, embedding_size=16))
    )
    loaded = load_model(str(electra))
    assert loaded.task == "encoder"
    assert loaded.labels == []
    assert any("discriminator_predictions" in name for name in loaded.info["unused"])
    with pytest.raises(
        ModelError, match=r"no trained classification head.*classifier.*Use task: encoder"
    ):
        load_model(str(electra), task="multi_label")


def test_a_missing_part_of_an_encoder_is_listed(folder, tmp_path) -> None:
    bert = other(folder, tmp_path, BertForMaskedLM(BertConfig(**SMALL)))
    assert all(name.startswith("pooler.") for name in load_model(str(bert)).info["untrained"])
    assert load_model(str(bert)).info["untrained"]


def test_other_architectures_load_by_the_same_call(folder, tmp_path) -> None:
    config = DistilBertConfig(
        vocab_size=400,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=48,
        num_labels=3,
    )
    loaded = load_model(str(other(folder, tmp_path, DistilBertForSequenceClassification(config))))
    assert loaded.task == "single_label"
    assert loaded.max_length == 48
    assert loaded.info["activation"] == "gelu"


def test_random_weights_are_labelled_seeded_and_never_called_pretrained(folder) -> None:
    one, same, two = (load_model(f"random:{folder}", seed=s) for s in (1, 1, 2))
    assert one.info["source"] == "random"
    assert not one.info["pretrained_used"]
    assert one.info["weight_path"] is None
    assert one.info["weights_sha256"] == same.info["weights_sha256"] != two.info["weights_sha256"]
    assert len(one.info["untrained"]) == len(list(one.model.named_parameters()))


def test_pickled_weights_are_never_loaded(folder, tmp_path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"only pytorch_model.bin: pickled weights are never loaded"
    ):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        "cut weights",
        "no config",
        "broken config",
        "unknown type",
        "remote code",
        "no tokenizer",
        "no tokenizer at all",
        "other sizes",
        "no folder",
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(folder, tmp_path, damage) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    if damage == "cut weights":
        (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:-50])
    if damage == "no config":
        (copy / "config.json").unlink()
    if damage == "broken config":
        (copy / "config.json").write_text("{")
    if damage == "unknown type":
        (copy / "config.json").write_text(json.dumps({**config, "model_type": "nonesuch"}))
    if damage == "remote code":
        (copy / "config.json").write_text(
            json.dumps({**config, "model_type": "own", "auto_map": {"AutoConfig": "code.Config"}})
        )
        (copy / "code.py").write_text("raise SystemExit('code of the checkpoint was run')")
    if damage.startswith("no tokenizer"):
        (copy / "tokenizer.json").unlink()
    if damage == "no tokenizer at all":  # transformers then makes up a vocabulary of five tokens
        (copy / "tokenizer_config.json").unlink()
    if damage == "other sizes":
        (copy / "config.json").write_text(json.dumps({**config, "hidden_size": 48}))
    with pytest.raises(ModelError) as refused:
        load_model(str(copy if damage != "no folder" else copy / "none"))
    assert "\n" not in str(refused.value)
    assert str(copy) in str(refused.value)


def test_no_name_is_no_model() -> None:
    for name in ("", "random:"):
        with pytest.raises(ModelError, match="expected embedded, a hub id, a local folder"):
            load_model(name)


def test_the_licence_is_read_from_the_card_and_never_invented(folder, tmp_path) -> None:
    copy = save_roberta(tmp_path)
    assert load_model(str(copy)).info["license"] is None
    (copy / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\n# A card\n")
    assert load_model(str(copy)).info["license"] == "mit"
    (copy / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert load_model(str(copy)).info["license"] is None


def test_an_attention_that_the_architecture_lacks_is_named(folder, tmp_path) -> None:
    config = DebertaV2Config(**SMALL, num_labels=3)
    deberta = other(folder, tmp_path, DebertaV2ForSequenceClassification(config))
    assert load_model(str(deberta)).task == "single_label"
    with pytest.raises(ModelError, match=r"deberta-v2.*Use attn_implementation: eager"):
        load_model(str(deberta), attn_implementation="sdpa")
