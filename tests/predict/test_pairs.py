"""Sentence pairs of a file, as GLUE has them, answered as transformers answers them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from goemo_utils import GoEmotionsClassifier, cli
from goemo_utils.families.zoo import FAMILIES, LABELS, Family, make
from goemo_utils.records.pairs import joined
from goemo_utils.throughput.ways import Bench

LONG = "the cat sleeps on the sofa while an animal rests and it rains here today " * 12
LIMIT = 128
PAIRS = (
    ("The cat sleeps on the sofa.", "An animal rests."),
    ("It rains.", "The sun shines on everyone who is here today."),
    ("no", "yes"),
    # Longer than the limit: the longer half is cut, token by token.
    (LONG, "An animal rests."),
    ("no", LONG),
    (LONG, LONG[::-1]),
)
SINGLE = ("It rains.", LONG)


def answers(folder: Path, texts: Sequence[str | tuple[str, str]] = PAIRS) -> np.ndarray:
    """transformers' probabilities ``[texts, labels]``, one text or pair at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    cut = {"truncation": True, "max_length": LIMIT, "return_tensors": "pt"}
    with torch.no_grad():
        rows = [
            network(**tokenizer(*([text] if isinstance(text, str) else text), **cut)).logits
            for text in texts
        ]
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
    options = [
        "--max_length",
        str(LIMIT),
        "--batch_file",
        str(file),
        "--column",
        "sentence1+sentence2",
        "--output",
        str(out),
    ]
    assert cli.main(["predict", "--model_path", str(folder), "--probabilities", *options]) == 0

    found = [json.loads(line)["probabilities"] for line in out.read_text().splitlines()]
    given = np.array([[row[label] for label in LABELS] for row in found])
    assert np.abs(given - answers(folder)).max() < 1e-5


@pytest.mark.parametrize(
    "kind",
    ["bert", pytest.param("bart", marks=pytest.mark.long)],
    ids=["types", "ends are counted"],
)
def test_pairs_and_single_texts_in_one_call_are_answered_as_each_alone(
    tmp_path: Path, kind: str
) -> None:
    family = next(family for family in FAMILIES if family.model_type == kind)
    folder = make(family, tmp_path / "model")
    texts = [SINGLE[0], *PAIRS, SINGLE[1]]
    classifier = GoEmotionsClassifier(folder, max_length=LIMIT)
    given = classifier.predict(texts)[1]
    assert np.abs(given - answers(folder, texts)).max() < 1e-5
    assert classifier.truncated == 4


@pytest.mark.long
def test_onnx_runtime_is_told_which_tokens_are_the_second_text_s(tmp_path: Path) -> None:
    folder = make(Family("bert", {}, "bert"), tmp_path / "model")
    classifier = GoEmotionsClassifier(folder, backend="onnxruntime", max_length=LIMIT)
    given = classifier.predict([*PAIRS, *SINGLE])[1]
    assert np.abs(given - answers(folder, [*PAIRS, *SINGLE])).max() < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("method", ["padded", "sorted", "classifier", "pipeline"])
def test_every_way_that_is_timed_cuts_a_long_pair_as_transformers_does(
    tmp_path: Path, method: str
) -> None:
    folder = make(Family("bert", {}, "bert"), tmp_path / "model")
    bench = Bench({"model": str(folder), "max_length": LIMIT})
    way = bench.build({"id": method, "device": "cpu", "method": method})
    given = way.run([joined(*pair) for pair in PAIRS])
    assert np.abs(given - answers(folder)).max() < 1e-5
