"""The smoke sentences: what is checked, and what is only shown."""

import numpy as np
import pytest

from goemo_utils.classifier import smoke
from goemo_utils.notebook import tables
from goemo_utils.params import Params
from tests.forward.tiny_model import save_roberta

LABELS = ["joy", "gratitude", "love", "neutral"]


def rows(top: str) -> list[dict]:
    return [{"text": text, "top": top} for text in smoke.SENTENCES]


def test_plain_sentences_are_checked_against_what_anybody_would_say() -> None:
    found = smoke.checks(rows("joy"), LABELS, trained=True)
    assert [(c["expected"], c["result"]) for c in found] == [
        ("joy", "pass"),
        ("gratitude", "fail"),
        ("love", "fail"),
    ]


def test_nothing_is_checked_for_random_weights_or_other_labels() -> None:
    assert smoke.checks(rows("joy"), LABELS, trained=False) == []
    assert smoke.checks(rows("x"), ["x", "y"], trained=True) == []


def test_an_answer_shows_the_highest_label_even_below_the_threshold() -> None:
    answers = smoke.answers(
        [[]] * len(smoke.SENTENCES),
        np.tile([0.1, 0.2, 0.05, 0.0], (len(smoke.SENTENCES), 1)),
        LABELS,
    )
    assert answers[0]["top"] == "gratitude"
    assert answers[0]["labels"] == []
    assert tables.smoke(answers).iloc[0]["labels above the threshold"] == "none"


@pytest.mark.parametrize("task", ["multi_label", "encoder"])
def test_a_model_with_and_without_a_head_both_answer(tmp_path, task) -> None:
    folder = save_roberta(tmp_path, head=task != "encoder")
    answer = smoke.ask(Params.load(None, {"model": str(folder), "device": "cpu"}), task)
    assert len(answer["rows"]) == answer["n"]
    assert answer["placement"]["on_device"]
    assert len(tables.smoke(answer["rows"])) == answer["n"]
    assert (answer["why_unchecked"] == "the model has no trained head") == (task == "encoder")
