"""Sizes in config.json are compared with the weights before anything is built of them."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from goemo_utils.errors import ModelError
from goemo_utils.forward import sizes
from goemo_utils.forward.model import load_model
from goemo_utils.forward.sizes import check_sizes
from tests.forward.tiny_model import save_roberta


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_roberta(tmp_path / "model")


def _state(folder: Path, **sizes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | sizes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", -1),
        ("num_hidden_layers", 0),
        ("num_labels", 10**9),
        ("vocab_size", 10**9),
        ("hidden_size", 10**9),
        ("intermediate_size", 10**9),
        ("num_attention_heads", 10**9),
        ("max_position_embeddings", 10**9),
        ("type_vocab_size", 10**9),
        ("num_hidden_layers", 1e9),
        ("hidden_size", float("nan")),
    ],
)
def test_an_absurd_size_is_refused_by_its_name(folder: Path, key: str, value: object) -> None:
    _state(folder, **{key: value})
    with pytest.raises(ModelError, match=f"states {key}"):
        load_model(str(folder))


def test_random_weights_have_limits_too(folder: Path) -> None:
    _state(folder, num_hidden_layers=10**9)
    with pytest.raises(ModelError, match="states num_hidden_layers"):
        load_model(f"random:{folder}")


def test_a_size_inside_another_configuration_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"text_config": {"num_hidden_layers": 1000000000}}')
    with pytest.raises(ModelError, match="num_hidden_layers"):
        check_sizes(tmp_path, {"a": (2, 3)})


def test_more_layers_than_the_weights_hold_are_refused_before_they_are_built(folder: Path) -> None:
    _state(folder, num_hidden_layers=90, intermediate_size=4000)
    with pytest.raises(ModelError, match="parameters and the weights hold"):
        load_model(str(folder))


def test_layers_on_disk_that_the_configuration_leaves_out_are_refused(folder: Path) -> None:
    _state(folder, num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"layers that its config.json leaves out"):
        load_model(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("dense.weight"))
    tensors[name][0, 0] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_model(str(folder))


def test_weights_too_large_for_a_dtype_are_named_with_it(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("dense.weight"))
    tensors[name] = torch.full_like(tensors[name], 1e6)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="in float16"):
        load_model(str(folder), dtype="float16")


def test_the_weights_that_are_named_are_the_ones_that_were_loaded(folder: Path) -> None:
    other = load_file(folder / "model.safetensors")
    save_file(other, folder / "unread.safetensors", metadata={"format": "pt"})
    info = load_model(str(folder)).info
    assert info["unread"] == ["unread.safetensors"]
    assert "unread.safetensors" not in [file["name"] for file in info["files"]]


def test_weights_from_elsewhere_by_the_configuration_are_refused(folder: Path) -> None:
    _state(folder, transformers_weights="../elsewhere.safetensors")
    with pytest.raises(ModelError, match="transformers_weights"):
        load_model(str(folder))


def test_a_tokenizer_from_elsewhere_by_its_configuration_is_refused(folder: Path) -> None:
    path, elsewhere = folder / "tokenizer_config.json", folder.parent / "tokenizer.json"
    elsewhere.write_text((folder / "tokenizer.json").read_text())
    stated = json.loads(path.read_text()) | {"tokenizer_file": str(elsewhere)}
    path.write_text(json.dumps(stated))
    with pytest.raises(ModelError, match="says tokenizer_file"):
        load_model(str(folder))


@pytest.mark.parametrize("kind", ["pipe", "device", "nothing"])
def test_a_file_that_is_none_is_refused_and_never_waited_for(folder: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(folder / "x.json")
    else:
        (folder / "x.json").symlink_to({"device": "/dev/zero", "nothing": "/nowhere"}[kind])
    with pytest.raises(ModelError, match=r"x\.json is a"):
        load_model(str(folder))


@pytest.mark.parametrize(
    "front", ["date: 2026-99-99", "a: !!bool nonsense", "a: " + "[" * 30_000, "license: !!int ''"]
)
def test_an_odd_model_card_leaves_a_good_checkpoint_loadable(folder: Path, front: str) -> None:
    (folder / "README.md").write_text(f"---\n{front}\n---\ntext")
    assert load_model(str(folder)).info["license"] is None


def test_the_licence_of_a_card_is_read(folder: Path) -> None:
    (folder / "README.md").write_text("---\ntags: [a]\nlicense: apache-2.0  # ours\n---\n")
    assert load_model(str(folder)).info["license"] == "apache-2.0"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_value_that_is_no_number_is_seen(dtype: torch.dtype, value: float) -> None:
    weight = torch.nn.Parameter(torch.ones(7, 300, dtype=dtype))
    assert sizes._finite(weight)
    with torch.no_grad():
        weight[3, 117] = value
    assert not sizes._finite(weight)


def test_a_weight_without_values_is_finite() -> None:
    assert sizes._finite(torch.nn.Parameter(torch.ones(0, 3)))
