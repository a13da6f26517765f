"""A folder that is no classifier is refused with its cause; one under another name is one."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from goemo_utils import GoEmotionsClassifier
from goemo_utils.errors import ModelError
from goemo_utils.families.judge import TEXTS, expected
from goemo_utils.families.zoo import Family, make
from goemo_utils.forward.model import load_model
from tests.forward.tiny_model import save, save_roberta


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


def test_a_head_beside_a_stale_name_of_another_task_is_found(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), architectures=["RobertaForMaskedLM"])
    assert load_model(str(folder)).task == "multi_label"


def test_the_head_of_another_task_is_none(tmp_path: Path) -> None:
    """BERT's heads for words and for texts have weights of the same names."""
    folder = edit(save(tmp_path, "bert"), architectures=["BertForTokenClassification"])
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


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model.onnx", "a graph for ONNX Runtime"),
        ("onnx/model.onnx", "a graph for ONNX Runtime"),
        ("model-q4_k.gguf", "quantised for llama.cpp"),
        ("tf_model.h5", "TensorFlow's weights"),
        ("flax_model.msgpack", "Flax's weights"),
        ("0_Transformer/model.safetensors", "a folder inside that does"),
    ],
)
def test_a_folder_with_a_model_of_another_form_says_which(
    tmp_path: Path, file: str, words: str
) -> None:
    path = save_roberta(tmp_path) / "model.safetensors"
    (tmp_path / file).parent.mkdir(exist_ok=True)
    path.rename(tmp_path / file)
    with pytest.raises(ModelError, match=rf"no \.safetensors weights, .*{words}"):
        load_model(str(tmp_path))


def test_code_of_its_own_is_named_and_never_run(tmp_path: Path) -> None:
    names = {"AutoConfig": "configuration_own.OwnConfig"}
    folder = edit(save_roberta(tmp_path), model_type="own", auto_map=names)
    (folder / "configuration_own.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ModelError, match=r"model_type 'own' and names code of its own"):
        load_model(str(folder))


def test_quantised_weights_are_named(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match=r"weights are quantised \(quantization_config, gptq\)"):
        load_model(str(folder))


def test_a_head_of_another_size_than_the_labels_is_told_with_both_numbers(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), id2label={"0": "a", "1": "b"}, label2id=None)
    with pytest.raises(ModelError, match=r"names 2 labels, and the head .* has 3 outputs"):
        load_model(str(folder))


def test_a_label_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), id2label={"0": "a", "1": "b", "2": "a"}, label2id=None)
    with pytest.raises(ModelError, match="names two labels 'a'"):
        load_model(str(folder))


def without_pad_token(folder: Path) -> Path:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        if path.exists():
            kept = {k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}
            path.write_text(json.dumps(kept))
    return folder


def test_without_a_padding_token_that_of_the_configuration_is_taken(tmp_path: Path) -> None:
    folder = without_pad_token(save_roberta(tmp_path))
    loaded = load_model(str(folder))
    assert loaded.tokenizer.pad_token_id == loaded.model.config.pad_token_id
    assert loaded.inputs.pads


def test_without_any_padding_token_texts_run_one_at_a_time_with_transformers_answers(
    tmp_path: Path,
) -> None:
    """As most GPT-2 classifiers are saved: transformers refuses them a batch of two."""
    settings = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 130}
    folder = make(Family("gpt2", settings, "gpt", sizes=False), tmp_path)
    edit(without_pad_token(folder), pad_token_id=None)
    classifier = GoEmotionsClassifier(folder, max_length=512)
    assert classifier.inputs.single
    difference = classifier.predict(TEXTS)[1] - expected(folder, classifier.max_length)
    assert abs(difference).max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dtype": "fp16"}, "says dtype 'fp16'; expected float32, float16 or bfloat16"),
        ({"id2label": ["a", "b", "c"]}, "gives id2label as a list"),
        ({"id2label": {"0": 1, "1": 2, "2": 3}}, "names a label 1 in id2label; expected text"),
        ({"id2label": {"joy": 0}}, "has 'joy' as a key of id2label"),
        ({"problem_type": "multi_label"}, "says problem_type 'multi_label'"),
        ({"model_type": None}, "names no model_type"),
        ({"model_type": "superbert"}, r"says model_type 'superbert', which transformers \d"),
        ({"hidden_size": 64}, r"makes \S+ \[\d+, 64\], and the files hold \[\d+, 32\]"),
    ],
)
def test_what_a_configuration_states_wrongly_is_named(
    tmp_path: Path, changes: dict, words: str
) -> None:
    folder = edit(save_roberta(tmp_path), **changes)
    if "dtype" in changes:
        edit(folder, torch_dtype=None)
    with pytest.raises(ModelError, match=words):
        load_model(str(folder))


def test_outputs_are_read_by_their_names_whatever_the_configuration_says(tmp_path: Path) -> None:
    folder = edit(save_roberta(tmp_path), return_dict=False, torchscript=True)
    assert load_model(str(folder)).task == "multi_label"


def test_a_folder_without_a_configuration_says_so(tmp_path: Path) -> None:
    (save_roberta(tmp_path) / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_model(str(tmp_path))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = save_roberta(tmp_path) / "model.safetensors"
    with pytest.raises(ModelError, match=r"names the file .* expected the folder"):
        load_model(str(file))


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    file = save_roberta(tmp_path) / "model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelError, match=r"is a pointer of Git LFS.*git lfs pull"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.module.", "encoder.model.", "0.auto_model."], ids=str
)
def test_nested_prefixes_are_named_whole(tmp_path: Path, prefix: str) -> None:
    folder = rename(save_roberta(tmp_path), lambda name: prefix + name)
    with pytest.raises(ModelError, match=f"every name begins with '{prefix}'"):
        load_model(str(folder))


def test_an_encoder_under_a_name_of_one_s_own_is_told_from_a_wrapped_model(tmp_path: Path) -> None:
    folder = rename(save_roberta(tmp_path), lambda name: name.replace("roberta.", "encoder_q."))
    with pytest.raises(ModelError, match=r"begin with 'encoder_q\.'.* under 'roberta\.': rename"):
        load_model(str(folder))


@pytest.mark.parametrize("part", ["classifier.out_proj.bias", "layer.1."])
def test_a_part_of_the_weights_that_is_missing_is_no_missing_head(
    tmp_path: Path, part: str
) -> None:
    path = save_roberta(tmp_path) / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if part not in name}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks \d+ of the \d+ weights .*would be random"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("limit", ["512", [512]])
def test_a_limit_of_length_that_is_no_number_is_refused(tmp_path: Path, limit: object) -> None:
    path = save_roberta(tmp_path) / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": limit}))
    with pytest.raises(ModelError, match=r"says model_max_length .*expected a number of tokens"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["last.ckpt"], r"only last\.ckpt: pickled weights are never loaded"),
        (["openvino_model.xml", "openvino_model.bin"], "a graph for OpenVINO"),
        (["model.tflite"], "a model for TensorFlow Lite"),
    ],
)
def test_pickles_are_named_after_other_forms(tmp_path: Path, files: list, words: str) -> None:
    (save_roberta(tmp_path) / "model.safetensors").unlink()
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=words):
        load_model(str(tmp_path))


def test_a_head_of_setfit_is_named(tmp_path: Path) -> None:
    folder = save_roberta(tmp_path, head=False)
    (folder / "model_head.pkl").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"head is SetFit's, in model_head\.pkl"):
        GoEmotionsClassifier(folder)


def test_an_adapter_beside_a_whole_model_says_that_there_are_two(tmp_path: Path) -> None:
    (save_roberta(tmp_path) / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter .*beside model\.safetensors, and which"):
        load_model(str(tmp_path))


def test_texts_padded_on_the_left_keep_their_places_on_the_fast_path(tmp_path: Path) -> None:
    folder = save(tmp_path, "bert")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    texts = ["I am so happy today!", "no", "Thank you for the help. " * 4]
    classifier = GoEmotionsClassifier(folder, max_length=48)
    difference = classifier.predict(texts)[1] - expected(folder, 48, texts)
    assert abs(difference).max() < 1e-5


def of_class(folder: Path, name: str) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": name}))
    return folder


def test_a_class_that_reads_only_tokenizer_json_says_so_beside_other_files(tmp_path: Path) -> None:
    folder = of_class(save_roberta(tmp_path), "PreTrainedTokenizerFast")
    (folder / "tokenizer.json").rename(folder / "vocab.json")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(ModelError, match=r"which alone PreTrainedTokenizerFast .* reads; or name"):
        load_model(str(folder))


def test_a_class_of_another_family_is_named(tmp_path: Path) -> None:
    folder = of_class(save_roberta(tmp_path), "XLMRobertaTokenizer")
    with pytest.raises(ModelError, match=r"tokenizer_class 'XLMRobertaTokenizer' .* belongs"):
        load_model(str(folder))
