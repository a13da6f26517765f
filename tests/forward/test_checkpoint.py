"""A folder that is no classifier is refused with its cause; one under another name is one."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from goemo_utils.errors import ModelError
from goemo_utils.forward.model import load_model
from tests.forward.tiny_model import save_roberta


def edit(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            config.pop(key, None)
        else:
            config[key] = value
    path.write_text(json.dumps(config))
    return folder


def rename(folder: Path, change) -> Path:
    path = folder / "model.safetensors"
    tensors = {change(name): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    "architectures", [None, ["RobertaForMultiLabelClassification"], ["MyModel"], ["RobertaModel"]]
)
def test_a_head_of_another_class_s_name_is_found_by_its_weights(
    tmp_path: Path, architectures: object
) -> None:
    folder = edit(save_roberta(tmp_path), architectures=architectures)
    loaded = load_model(str(folder))
    assert loaded.task == "multi_label"
    assert not loaded.info["untrained"]


def test_the_head_of_another_task_is_none(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), architectures=["RobertaForTokenClassification"])
    assert load_model(str(folder)).task == "encoder"


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("_orig_mod.", "torch.compile"),
        ("module.", "DataParallel"),
        ("model.", "a class that holds the model inside"),
    ],
)
def test_a_prefix_before_every_weight_is_named(tmp_path: Path, prefix: str, words: str) -> None:
    folder = rename(save_roberta(tmp_path), lambda name: prefix + name)
    with pytest.raises(ModelError, match=rf"every name begins with '{prefix[:-1]}\.'.*{words}"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"peft_type": "LORA", "base_model_name_or_path": "org/base"}, "LoRA adapter for 'org/ba"),
        ({"peft_type": "IA3"}, "IA3 adapter"),
        ({}, "PEFT adapter"),
    ],
)
def test_an_adapter_is_named_with_what_to_do(tmp_path: Path, content: dict, words: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"{words}.*merge it into its base model"):
        load_model(str(tmp_path))


def test_labels_numbered_from_one_are_in_the_same_order(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), id2label={"1": "a", "2": "b", "3": "c"}, label2id=None)
    assert load_model(str(folder)).labels == ["a", "b", "c"]


def test_labels_numbered_with_a_gap_are_refused(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), id2label={"0": "a", "1": "b", "3": "c"}, label2id=None)
    with pytest.raises(ModelError, match=r"numbers its 3 labels 0, 1, 3: expected 0 to 2"):
        load_model(str(folder))


def test_one_label_without_a_problem_type_is_a_sigmoid(tmp_path: Path) -> None:
    folder = save_roberta(tmp_path, labels=("toxic",), problem_type=None)
    assert load_model(str(folder)).task == "multi_label"
