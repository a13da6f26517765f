"""Where a fine-tuning begins: a new head at the labels' shares, a kept one as it was."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from goemo_utils.errors import ModelError
from goemo_utils.training.start import start
from tests.training.jobs import job, save_other, save_tiny


def bias_of(network: torch.nn.Module) -> torch.Tensor:
    return getattr(network.classifier, "out_proj", network.classifier).bias.detach()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("prefix", ["", "random:"])
def test_a_new_multi_label_head_begins_at_the_labels_shares_of_the_train_texts(
    model: Path, tmp_path: Path, prefix: str
) -> None:
    made = job(tmp_path, model) | {
        "model": f"{prefix}{model}",
        "labels": ["other", "labels", "here"],
    }
    made["train"]["ids"] = [[0], [0, 1], [0], []] * 12  # of 48 texts: 36, 12 and none
    begun = start(made)
    assert begun.head == "new"
    assert torch.sigmoid(bias_of(begun.model)).tolist() == pytest.approx(
        [36.5 / 49, 12.5 / 49, 0.5 / 49]
    )


def test_it_begins_at_the_smoothed_shares_where_the_targets_are_smoothed(
    model: Path, tmp_path: Path
) -> None:
    made = job(tmp_path, model, smoothing=0.2) | {"labels": ["other", "labels", "here"]}
    made["train"]["ids"] = [[0], [0, 1], [0], []] * 12
    assert torch.sigmoid(bias_of(start(made).model)).tolist() == pytest.approx(
        [0.8 * share / 49 + 0.1 for share in (36.5, 12.5, 0.5)]
    )


def test_a_head_of_another_architecture_begins_there_too(tmp_path: Path) -> None:
    made = job(tmp_path, save_other("bert", tmp_path / "bert"))
    made["train"]["ids"] = [[0], [0], [0], []] * 12
    assert torch.sigmoid(bias_of(start(made).model)).tolist() == pytest.approx(
        [36.5 / 49, 0.5 / 49, 0.5 / 49]
    )


def test_a_new_single_label_head_begins_without_a_preference(model: Path, tmp_path: Path) -> None:
    made = job(tmp_path, model, "single_label") | {"labels": ["other", "labels", "here"]}
    assert bias_of(start(made).model).abs().max() == 0


def test_a_kept_head_keeps_its_bias(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "model")
    weights = load_file(model / "model.safetensors") | {
        "classifier.out_proj.bias": torch.tensor([0.25, -0.5, 1.0])
    }
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    begun = start(job(tmp_path, model))
    assert begun.head == "kept"
    assert bias_of(begun.model).tolist() == [0.25, -0.5, 1.0]


def test_a_tokenizer_without_its_vocabulary_is_refused_before_anything_is_trained(
    model: Path, tmp_path: Path
) -> None:
    begun = start(job(tmp_path, model))
    begun.check_words(begun.encode(["happy", "\U0001f642"], 16), "here")
    with pytest.raises(
        ModelError, match=r"knows no word of the 2 train texts.*vocabulary beside config.json"
    ):
        begun.check_words(
            [[begun.tokenizer.bos_token_id, begun.tokenizer.eos_token_id]] * 2, "here"
        )
