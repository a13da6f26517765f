"""Sentence pairs of a file, as GLUE has them, answered as transformers answers them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from goemo_utils import cli
from goemo_utils.families.zoo import LABELS, Family, make

PAIRS = (
    ("The cat sleeps on the sofa.", "An animal rests."),
    ("It rains.", "The sun shines on everyone who is here today."),
    ("no", "yes"),
)


def answers(folder: Path) -> np.ndarray:
    """transformers' probabilities ``[pairs, labels]``, one pair at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        rows = [network(**tokenizer(*pair, return_tensors="pt")).logits for pair in PAIRS]
    return torch.cat(rows).sigmoid().numpy()


@pytest.mark.parametrize(
    ("model_type", "kind"), [("bert", "bert"), ("roberta", "roberta")], ids=["types", "no types"]
)
def test_two_columns_of_a_glue_file_are_answered_as_transformers_answers_pairs(
    tmp_path: Path, model_type: str, kind: str
) -> None:
    folder = make(Family(model_type, {}, kind), tmp_path / "model")
    rows = [f"{i}\t{first}\t{second}\t0" for i, (first, second) in enumerate(PAIRS)]
    file = tmp_path / "dev.tsv"
    file.write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *rows]) + "\n")
    out = tmp_path / "out.jsonl"
    options = ["--batch_file", str(file), "--column", "sentence1+sentence2", "--output", str(out)]
    assert cli.main(["predict", "--model_path", str(folder), "--probabilities", *options]) == 0

    found = [json.loads(line)["probabilities"] for line in out.read_text().splitlines()]
    given = np.array([[row[label] for label in LABELS] for row in found])
    assert np.abs(given - answers(folder)).max() < 1e-5
