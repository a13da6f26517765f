"""A fine-tuning learns, leaves a folder that loads and answers as measured, is repeatable to the
bit, and is the same on the rehearsal device.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from goemo_utils.errors import DeviceError, ModelError, ParamsError, TextsError
from goemo_utils.forward import worker
from goemo_utils.forward.model import load_model
from goemo_utils.training import fit
from goemo_utils.training.params import TrainingParams
from tests.forward.tiny_model import save_roberta
from tests.training.jobs import LABELS, job, run, save_other, save_tiny, splits


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=["multi_label", "single_label"])
def learned(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """(job, result, progress lines) of a training that lasts long enough to learn the cues."""
    made, lines = (
        job(
            tmp_path_factory.mktemp("learned"),
            model,
            task=request.param,
            n_texts=96,
            epochs=8.0,
            learning_rate=1e-2,
        ),
        [],
    )
    return made, json.loads(json.dumps(fit.run(made, lines.append), allow_nan=False)), lines


def test_it_learns(learned: Any) -> None:
    _, result, _ = learned
    assert result["best"]["held_macro_f1"] == 1.0
    assert result["history"][-1]["loss"] < 0.5 * result["history"][0]["loss"]


def test_the_result_tells_the_whole_course(learned: Any) -> None:
    made, result, lines = learned
    assert [line["step"] for line in result["history"]] == list(range(1, 97))
    assert result["steps"] == result["planned_steps"] == 96
    assert all(
        set(line) >= {"step", "epoch", "loss", "learning_rate", "grad_norm"}
        for line in result["history"]
    )

    assert [line["step"] for line in result["evaluations"]] == [12, 24, 36, 48, 60, 72, 84, 96]
    assert result["best"]["held_macro_f1"] == max(
        line["held_macro_f1"] for line in result["evaluations"]
    )
    assert result["placement"]["on_device"]
    assert result["device"]["kind"] == "cpu"
    assert result["threads"] == 1
    assert result["seconds_per_step"] > 0
    assert (result["alpha"], result["smoothing"], result["r_drop_passes"]) == (
        (5.0, 0.1, 2) if made["task"] == "single_label" else (0.0, 0.0, 1)
    )

    assert len(lines) == 96 + 8
    assert json.loads(lines[-1])["held_macro_f1"] == result["evaluations"][-1]["held_macro_f1"]


def test_the_folder_loads_and_answers_what_was_measured(learned: Any) -> None:
    made, result, _ = learned
    loaded = load_model(result["model"])
    assert loaded.labels == list(LABELS)
    assert loaded.task == made["task"]
    assert not loaded.info["untrained"]
    plain = AutoModelForSequenceClassification.from_pretrained(result["model"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(result["model"])
    assert plain.config.id2label == dict(enumerate(LABELS))
    assert plain.config.problem_type == f"{made['task']}_classification"

    for name in ("held", "dev"):
        with torch.no_grad():
            logits = plain(
                **tokenizer(made[name]["texts"], padding=True, return_tensors="pt")
            ).logits
        expected = (
            torch.softmax(logits, -1) if made["task"] == "single_label" else torch.sigmoid(logits)
        )
        found = np.load(result[f"{name}_probabilities"], allow_pickle=False)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_folder_has_the_tokenizer_as_it_came_and_nothing_unsafe(
    learned: Any, model: Path
) -> None:
    out = Path(learned[0]["out"])
    assert (out / "model" / "tokenizer.json").read_text() == (model / "tokenizer.json").read_text()
    assert not [path for path in out.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert sorted(path.name for path in out.iterdir()) == [
        "dev_probabilities.npy",
        "held_probabilities.npy",
        "model",
        "tensorboard",
        fit.RESULT,
    ]


def _weights(result: dict[str, Any]) -> dict[str, torch.Tensor]:
    return load_file(Path(result["model"]) / "model.safetensors")


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    first, second = _weights(one), _weights(other)
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_the_same_job_twice_gives_the_same_bits_and_another_seed_others(
    model: Path, tmp_path: Path
) -> None:
    settings = {"alpha": 1.0, "smoothing": 0.1}
    one, two, other = (
        run(job(tmp_path / name, model, seed=seed, **settings))
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one["history"] == two["history"]
    assert _same(one, two)
    assert one["history"] != other["history"]
    assert not _same(one, other)


def test_on_the_rehearsal_device_losses_and_weights_are_the_cpus_with_dropout_and_r_drop(
    model: Path, tmp_path: Path
) -> None:
    settings = {"alpha": 2.0, "dropout": 0.2}
    cpu, device = (
        worker.run(job(tmp_path / name, model, device=name, **settings), tmp_path / f"{name}.log")
        for name in ("cpu", "rehearsal")
    )
    assert device["placement"]["on_device"]
    assert device["placement"]["parameters_device"] == ["npu:0"]
    assert device["device"]["simulated"]
    assert device["peak_memory"] > 0
    assert cpu["peak_memory"] is None
    assert device["history"] == cpu["history"]
    assert device["evaluations"] == cpu["evaluations"]
    assert _same(device, cpu)
    assert len({line["loss"] for line in cpu["history"]}) == 6


@pytest.mark.long
def test_another_arithmetic_on_the_rehearsal_device_shows_in_the_losses_and_float16_trains_there(
    model: Path, tmp_path: Path
) -> None:
    made = job(tmp_path, model, device="rehearsal", dtype="float16", max_steps=3, evaluate=False)
    half = worker.run(made, tmp_path / "log")
    exact = worker.run({**made, "dtype": "float32"}, tmp_path / "log")
    coarse = worker.run({**made, "dtype": "float32", "numerics": "hf32"}, tmp_path / "log")
    losses = [[line["loss"] for line in result["history"]] for result in (exact, half, coarse)]
    assert losses[1] != losses[0] != losses[2]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[2] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.long
def test_a_fault_that_never_fires_proves_nothing(model: Path, tmp_path: Path) -> None:
    made = {
        **job(tmp_path, model, device="rehearsal", max_steps=1, evaluate=False),
        "fault": "tanh:scale=1.01",
    }
    assert worker.run(made, tmp_path / "log")["fault_hits"]["tanh:scale=1.01"] > 0
    with pytest.raises(DeviceError, match="never fired"):
        worker.run({**made, "fault": "relu:scale=1.01"}, tmp_path / "log")


def test_bfloat16_trains_on_the_cpu_and_the_saved_weights_answer_in_float32(
    model: Path, tmp_path: Path
) -> None:
    result = run(job(tmp_path, model, dtype="bfloat16", max_steps=2))
    full = run(job(tmp_path / "full", model, max_steps=2))
    assert result["history"] != full["history"]
    assert next(iter(_weights(result).values())).dtype == torch.float32
    assert np.load(result["dev_probabilities"]) == pytest.approx(
        np.load(full["dev_probabilities"]), abs=0.02
    )


def test_without_evaluation_the_last_weights_are_kept_and_without_a_model_no_folder_is(
    model: Path, tmp_path: Path
) -> None:
    result = run(job(tmp_path, model, max_steps=3, evaluate=False, keep_model=False, log_every=2))
    assert result["evaluations"] == []
    assert result["best"] is None
    assert not result["stopped_early"]
    assert result["model"] is None
    assert [line["step"] for line in result["history"]] == [2]
    assert not (tmp_path / "model").exists()
    assert np.load(result["dev_probabilities"]).shape == (10, 3)


@pytest.mark.parametrize(
    ("labels", "head"),
    [
        (LABELS, "kept"),
        (("anger", "joy", "neutral"), "new"),
        (("a", "b", "c"), "new"),
        (("joy", "anger"), "new"),
    ],
)
def test_a_head_is_kept_for_the_same_labels_in_the_same_order_only(
    tmp_path: Path, labels: tuple[str, ...], head: str
) -> None:
    source = save_roberta(tmp_path / "source", labels)
    # At a rate of next to nothing the weights stay as they were.
    result = run(job(tmp_path, source, max_steps=1, learning_rate=1e-30))
    before, after = load_file(source / "model.safetensors"), _weights({"model": result["model"]})
    last = "classifier.out_proj.weight"
    assert result["head"] == head
    assert (
        before[last].shape == after[last].shape and torch.allclose(before[last], after[last])
    ) == (head == "kept")
    assert all(
        torch.allclose(value, after[name])
        for name, value in before.items()
        if "out_proj" not in name
    )


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra"])
def test_other_architectures_train_and_load_again(kind: str, tmp_path: Path) -> None:
    result = run(
        job(tmp_path, save_other(kind, tmp_path / "source"), max_steps=2, alpha=1.0, dropout=0.3)
    )
    assert result["head"] == "new"
    assert result["r_drop_passes"] == 2
    assert load_model(result["model"]).labels == list(LABELS)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    names = {"distilbert": ("dropout", "attention_dropout", "seq_classif_dropout")}
    assert all(
        config[name] == 0.3
        for name in names.get(
            kind, ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        )
    )


def test_an_architecture_alone_is_drawn_from_the_seed(model: Path, tmp_path: Path) -> None:
    one, two, other = (
        run(job(tmp_path / name, f"random:{model}", max_steps=1, learning_rate=1e-30, seed=seed))
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert one["head"] == "new"
    assert "roberta.embeddings.word_embeddings.weight" in one["untrained"]
    assert _same(one, two)
    assert not _same(one, other)


def test_an_encoder_that_is_not_there_is_refused(model: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source = save_tiny(tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    del weights["roberta.encoder.layer.1.output.dense.weight"]
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"lacks parts of its encoder.*layer\.1\.output\.dense\.weight"
    ):
        run(job(tmp_path, source))
    (source / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no \.safetensors weights"):
        run(job(tmp_path, source))


def test_the_job_takes_the_parameters_and_their_changes_and_refuses_other_names(
    tmp_path: Path,
) -> None:
    params, parts = TrainingParams(), splits(task="single_label")
    made = fit.job(params, parts, tmp_path)
    assert json.loads(json.dumps(made)) == made
    assert made["kind"] == "training"
    assert made["kind"] in worker.KINDS
    assert (made["alpha"], made["smoothing"], made["device"], made["numerics"]) == (
        5.0,
        0.1,
        "rehearsal",
        "exact",
    )

    assert made["labels"] == list(LABELS)
    assert made["held"]["ids"] == parts.held.label_ids()
    changed = fit.job(
        params,
        parts,
        tmp_path,
        r_drop=1.0,
        label_smoothing=0.0,
        device="cpu",
        seed=3,
        keep_model=False,
    )

    assert (
        changed["alpha"],
        changed["smoothing"],
        changed["device"],
        changed["seed"],
        changed["keep_model"],
    ) == (1.0, 0.0, "cpu", 3, False)

    assert fit.job(params, splits(), tmp_path)["alpha"] == 0.0
    with pytest.raises(ParamsError, match=r"`rate`.*expected a training parameter"):
        fit.job(params, parts, tmp_path, rate=1e-3)


def test_a_training_does_not_write_over_the_model_it_starts_from(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is the folder this training would write"):
        fit.run(job(tmp_path, save_tiny(tmp_path / "model")))


def test_a_training_without_texts_or_from_nothing_is_refused(model: Path, tmp_path: Path) -> None:
    parts = splits()
    parts.held = replace(parts.held, texts=[], targets=parts.held.targets[:0])
    with pytest.raises(TextsError, match="no held texts"):
        fit.run(fit.job(TrainingParams(device="cpu", model=str(model)), parts, tmp_path))
    with pytest.raises(ParamsError, match="'new' is made from scratch"):
        fit.run({**job(tmp_path, model), "model": "new"})
