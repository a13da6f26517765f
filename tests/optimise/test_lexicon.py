from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goemo_utils.errors import TextsError
from goemo_utils.optimise.lexicon import Lexicon, learned, read, together
from goemo_utils.training.data import Split

LABELS = ("joy", "fear")


def test_each_word_counts_once_whatever_its_case() -> None:
    lexicon = Lexicon([("Great", "joy", 2.0), ("great", "fear", -1.0)], LABELS)
    scores = lexicon.scores(["great GREAT stuff", "nothing"])
    assert scores.tolist() == [[2.0, -1.0], [0.0, 0.0]]


def test_a_scale_of_nothing_changes_nothing() -> None:
    given = np.array([[0.2, 0.9]], np.float32)
    assert np.allclose(together(given, np.array([[5.0, 5.0]]), 0.0), given)


def test_a_word_that_only_one_label_has_is_learned_for_it() -> None:
    texts = ["what a lovely day"] * 40 + ["what a scary day"] * 40
    targets = np.repeat(np.eye(2, dtype=np.float32), 40, 0)
    rows = learned(Split(texts, targets, LABELS))
    assert {(word, label) for word, label, _ in rows} == {("lovely", "joy"), ("scary", "fear")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("word,label,weight\n", "has no words"),
        (
            "word,label,weight\nhi,rage,1\n",
            r"line 2: the label is 'rage'; expected one of joy, fear",
        ),
        ("word,label,weight\nhi,joy,much\n", "line 2: the weight is 'much'; expected a number"),
        ("word,label,weight\nhi,joy,nan\n", "line 2: the weight is 'nan'; expected a number"),
        ("word,label,weight\n,joy,1\n", "line 2: the word is ''; expected a word"),
        ("a,b\n1,2\n", "line 2: the word is ''"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TextsError, match=said):
        read(file, LABELS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextsError, match="cannot be read"):
        read(tmp_path / "none.csv", LABELS)
