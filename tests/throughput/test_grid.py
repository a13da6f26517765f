"""The grid feeds every way the same token ids: padded ways as one batch, the classifier in batches
of its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.throughput import figures, grid
from goemo_utils.throughput.ways import Bench, Way
from tests.forward import tiny_model

BRIEFLY: dict[str, Any] = {"seconds": 0.001, "min_rounds": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.save_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="module")
def padded(folder: Path) -> Way:
    return Bench({"model": str(folder)}).build({"id": "padded", "device": "cpu"})


@pytest.fixture
def own(folder: Path) -> Way:
    one = GoEmotionsClassifier(folder, batch_tokens=32)
    return Way(
        "classifier",
        "goemo classifier",
        one.device,
        "float32",
        None,
        lambda texts: one.predict(texts)[1],
        one.batches,
        {"logits": one.logits},
    )


def test_the_classifier_has_a_cell_beside_every_padded_one(padded: Way, own: Way) -> None:
    cells = grid.grid([padded, own], {"batch_sizes": [1, 4], "lengths": [16, 512], **BRIEFLY})
    assert [(c["id"], c["batch_size"], c["length"], c["own_batches"]) for c in cells] == [
        ("padded", 1, 16, False),
        ("classifier", 1, 16, True),
        ("padded", 4, 16, False),
        ("classifier", 4, 16, True),
    ]
    assert all(
        c["n"] >= 2 and c["tokens_per_second"] == pytest.approx(16 * c["median"]) for c in cells
    )


def test_the_classifier_makes_its_own_batches_of_what_it_is_handed(
    padded: Way, own: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    monkeypatch.setattr(
        GoEmotionsClassifier,
        "_run",
        lambda self, ids, run=GoEmotionsClassifier._run: batches.append(len(ids)) or run(self, ids),
    )
    grid.grid([padded, own], {"batch_sizes": [5], "lengths": [16], **BRIEFLY})
    assert max(batches) == 2 and sum(batches) % 5 == 0  # 32 tokens a batch


def test_both_kinds_answer_the_same_token_ids(padded: Way, own: Way) -> None:
    ids = np.random.default_rng(0).integers(
        grid.LOWEST_ID, len(padded.notes["loaded"].tokenizer), size=(5, 16)
    )
    np.testing.assert_allclose(
        grid._own_batches(own, ids)(0), grid._one_batch(padded, ids)(0).numpy(), atol=1e-5
    )


def test_a_way_that_takes_texts_only_is_left_out(padded: Way, own: Way) -> None:
    own.notes.clear()
    assert {
        cell["id"]
        for cell in grid.grid([own, padded], {"batch_sizes": [1], "lengths": [16], **BRIEFLY})
    } == {"padded"}
    assert grid.grid([own], {"batch_sizes": [1], "lengths": [16], **BRIEFLY}) == []


def test_a_failure_without_a_message_is_a_reason_too(padded: Way, own: Way) -> None:
    def refuse(ids: list[list[int]]) -> np.ndarray:
        raise MemoryError

    own.notes["logits"] = refuse
    one, other = grid.grid([padded, own], {"batch_sizes": [1], "lengths": [16], **BRIEFLY})
    assert one["median"] > 0
    assert (other["median"], other["reason"]) == (None, "no message")


def test_the_figure_draws_both_kinds_and_says_which_is_highest() -> None:
    def cell(own_batches: bool, size: int, rate: float) -> dict[str, Any]:
        return {
            "dtype": "float32",
            "device": "cpu",
            "batch_size": size,
            "length": 16,
            "own_batches": own_batches,
            "median": rate,
            "ci95": [rate, rate],
            "n": 5,
        }

    rows = figures.by_batch_size(
        {
            "grid": [
                cell(False, 1, 10.0),
                cell(True, 1, 9.0),
                cell(False, 8, 40.0),
                cell(True, 8, 50.0),
            ]
        }
    )

    axes = figures.draw_by_batch_size(rows).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "one padded batch, float32 on cpu",
        "classifier, float32 on cpu",
    ]
    assert (
        axes.get_title(loc="left") == "Highest at 8 texts: 50 texts/s, classifier, float32 on cpu"
    )
