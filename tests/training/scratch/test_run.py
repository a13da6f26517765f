"""A miniature of the embedded recipe learns, writes a folder that loads, and is repeatable."""

import json
from pathlib import Path

import numpy as np
import pytest

from goemo_utils.training import teacher
from goemo_utils.training.data import Split
from goemo_utils.training.scratch import card
from goemo_utils.training.scratch.recipe import Recipe, Stage
from goemo_utils.training.scratch.run import run
from tests.training.synthetic import make, write


def miniature(train: object, dev: object, output: object, **changes: object) -> Recipe:
    """A recipe that trains in seconds."""
    stage = Stage(
        epochs=12,
        rate=1e-2,
        word_dropout=0.0,
        dropout=0.0,
        head_dropout=0.0,
        weight_decay=0.0,
        averaging=0.9,
    )

    return Recipe(
        **{
            **dict(
                train=str(train),
                dev=str(dev),
                output=str(output),
                threads=1,
                vocab_size=400,
                max_length=32,
                width=16,
                n_layers=2,
                n_heads=2,
                inner_width=16,
                batch_size=16,
                pooling=stage,
                finetuning=stage.model_copy(update={"epochs": 2, "rate": 2e-3}),
                baseline=False,
            ),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """The same training twice."""
    folder = tmp_path_factory.mktemp("training")
    train, dev = (
        write(make(600, seed=1), folder / "train.tsv"),
        write(make(200, seed=2), folder / "dev.tsv"),
    )
    facts = [
        run(miniature(train, dev, folder / name), say=lambda line: None)[0]
        for name in ("first", "second")
    ]
    return folder, *facts


def test_a_miniature_learns_what_decides_the_labels(trained: tuple[Path, dict, dict]) -> None:
    _, facts, _ = trained
    assert facts["scores"]["model"]["at_0.3"]["micro_f1"] > 0.95
    assert facts["scores"]["model"]["at_0.3"]["subset_accuracy"] > 0.9


def test_the_folder_loads_as_the_stock_class_and_gives_the_reported_scores(
    trained: tuple[Path, dict, dict],
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, facts, _ = trained
    model = AutoModelForSequenceClassification.from_pretrained(folder / "first").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "first")
    dev = make(200, seed=2)
    with torch.no_grad():
        answers = torch.sigmoid(
            model(**tokenizer(dev.texts, padding=True, return_tensors="pt")).logits
        ).numpy()
    exact = ((answers > 0.3) == (dev.targets > 0.5)).all(1).mean()
    assert exact == pytest.approx(facts["scores"]["model"]["at_0.3"]["subset_accuracy"])
    assert type(tokenizer).__name__.startswith("Roberta")
    assert tokenizer.model_max_length == 32


def test_the_same_recipe_gives_the_same_weights(trained: tuple[Path, dict, dict]) -> None:
    folder, first, second = trained
    assert (folder / "first/model.safetensors").read_bytes() == (
        folder / "second/model.safetensors"
    ).read_bytes()
    assert first["scores"] == second["scores"]


def test_scores_and_card_lie_in_the_folder_and_agree(trained: tuple[Path, dict, dict]) -> None:
    folder, facts, _ = trained
    written = json.loads((folder / "first/scores.json").read_text(encoding="utf-8"))
    assert written["scores"]["model"]["at_0.3"] == facts["scores"]["model"]["at_0.3"]
    assert (folder / "first/README.md").read_text(encoding="utf-8") == card.render(written)
    assert str(folder) not in json.dumps(written)


def test_the_teacher_never_judges_a_text_it_has_learned_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spy(
        fit: Split, others: list[list[str]], features: str, inverse_penalty: float, threads: int
    ) -> list[np.ndarray]:
        assert not set(fit.texts) & set(others[0])
        return [np.array([[float(text)] * 28 for text in texts], np.float32) for texts in others]

    monkeypatch.setattr(teacher, "linear_probabilities", spy)
    split = Split([str(number) for number in range(60)], np.zeros((60, 28), np.float32))
    own, other = teacher.teach(split, [["7", "8"]], np.arange(60) % 3, say=lambda line: None)
    assert own[:, 0].tolist() == list(range(60))
    assert other[:, 5] == pytest.approx([7, 8])


def test_the_linear_baseline_learns_what_decides_the_labels() -> None:
    pytest.importorskip("sklearn")
    dev = make(100, seed=2)
    (answers,) = teacher.linear_probabilities(make(400, seed=1), [dev.texts])
    assert (answers.argmax(1) == dev.targets.argmax(1)).mean() > 0.95


def test_texts_with_one_label_each_make_a_model_that_may_give_several(tmp_path: Path) -> None:
    rows = [f"{'good' if n % 2 else 'bad'} film number {n},{n % 2}" for n in range(40)]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    facts, _ = run(
        miniature(
            tmp_path / "train.csv",
            tmp_path / "dev.csv",
            tmp_path / "model",
            teacher_share=0.5,
            teacher_folds=2,
        ),
        say=lambda line: None,
    )

    assert set(facts["scores"]["model"]) >= {"at_0.3", "tuned"}
    assert not list(tmp_path.glob(".*partial*"))
    assert len(list(tmp_path.glob("model.teacher-*.npz"))) == 1
