"""What a model does with padding, positions and itself is found by running it."""

from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import RobertaForSequenceClassification

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ModelError
from goemo_utils.families.judge import expected
from goemo_utils.families.zoo import FAMILIES, make
from goemo_utils.forward.model import load_model
from goemo_utils.records.pairs import joined

PAIRS = [("I am so happy today!", "Thank you."), ("Why?", "Nobody has told me a thing about it.")]


def family(name: str, folder: Path, **settings: object) -> Path:
    known = next(f for f in FAMILIES if f.model_type == name)
    return make(replace(known, settings={**known.settings, **settings}), folder)


@pytest.mark.parametrize("name", ["ibert", "luke", "markuplm", "xlm-roberta"])
def test_positions_that_begin_after_padding_cost_places(name: str, tmp_path: Path) -> None:
    loaded = load_model(str(family(name, tmp_path)))
    assert loaded.max_length == 128


def test_a_plain_model_is_asked_seven_times_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Size] = []
    forward = RobertaForSequenceClassification.forward

    @wraps(forward)
    def counted(self: torch.nn.Module, **given: torch.Tensor) -> object:
        asked.append(given["input_ids"].shape)
        return forward(self, **given)

    monkeypatch.setattr(RobertaForSequenceClassification, "forward", counted)
    load_model("embedded")
    assert len(asked) == 7


def test_a_limit_below_one_is_no_limit(tmp_path: Path) -> None:
    assert load_model(str(family("xlnet", tmp_path))).max_length > 512


def test_a_model_without_a_mask_runs_one_length_at_a_time(tmp_path: Path) -> None:
    inputs = load_model(str(family("fnet", tmp_path))).inputs
    assert not inputs.pads
    assert inputs.apart([[0, 1, 2, 3]], [5, 5, 7, 5]) == [[0, 1], [2], [3]]


def test_a_model_that_changes_itself_answers_the_same_whatever_ran_before(tmp_path: Path) -> None:
    loaded = load_model(str(family("big_bird", tmp_path)))
    short, long = loaded.inputs.encode(["ok", "I am so happy today! " * 12], 120)

    def answer(row: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return loaded.model(**loaded.inputs.tensors([row])).logits

    first = answer(long)
    answer(short)
    assert torch.equal(answer(long), first)


@pytest.mark.long
def test_a_number_that_the_first_forward_leaves_for_good_is_opened_again(tmp_path: Path) -> None:
    folder = family("reformer", tmp_path, num_buckets=None)
    classifier = GoEmotionsClassifier(folder)
    texts = ["ok", "I am so happy today! " * 12]
    answers = expected(folder, classifier.max_length, texts)
    for order in ([0, 1], [1, 0]):
        given = classifier.predict([texts[i] for i in order])[1]
        np.testing.assert_allclose(given, answers[order], atol=1e-5)


@pytest.mark.long
def test_a_number_that_every_forward_sets_anew_is_no_switch(tmp_path: Path) -> None:
    """Funnel counts its pools so, and may be padded."""
    assert load_model(str(family("funnel", tmp_path))).inputs.pads


@pytest.mark.long
def test_a_rotation_that_the_longest_text_of_a_batch_chooses_keeps_lengths_apart(
    tmp_path: Path,
) -> None:
    rotary = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
    }
    folder = family("eurobert", tmp_path, rope_parameters=rotary)
    classifier = GoEmotionsClassifier(folder)
    texts = ["ok", "I am so happy today! " * 12]
    assert "rotary positions" in classifier.inputs.why
    answers = expected(folder, classifier.max_length, texts)
    np.testing.assert_allclose(classifier.predict(texts)[1], answers, atol=1e-5)


@pytest.mark.long
def test_a_text_shorter_than_the_model_takes_is_padded_to_what_it_takes(tmp_path: Path) -> None:
    """CANINE pools four characters; transformers has no answer to a text of one."""
    classifier = GoEmotionsClassifier(family("canine", tmp_path))
    assert classifier.inputs.least == 4
    texts = ["", "a", joined("", ""), "ok"]
    answers = classifier.predict(texts)[1]
    assert np.isfinite(answers).all()
    assert np.array_equal(classifier.predict(texts[1:2])[1], answers[1:2])


@pytest.mark.long
@pytest.mark.parametrize("name", ["bart", "t5"])
def test_texts_that_hold_the_token_of_the_end_run_apart(name: str, tmp_path: Path) -> None:
    """These read the last end's state, and refuse a batch whose texts have other numbers of it."""
    folder = family(name, tmp_path)
    classifier = GoEmotionsClassifier(folder)
    texts = ["I am so happy", "no </s> yes", "ok", "a </s></s> b"]
    answers = expected(folder, classifier.max_length, texts)
    np.testing.assert_allclose(classifier.predict(texts)[1], answers, atol=1e-5)
    batches = list(classifier.inputs.batches(classifier.tokenise(texts)[0], 4))
    assert [len(batch["input_ids"]) for batch in batches] == [1, 1, 1, 1]


def test_padding_is_on_the_side_that_the_tokenizer_says(tmp_path: Path) -> None:
    inputs = load_model(str(family("xlnet", tmp_path))).inputs
    batch = inputs.pad(inputs.encode(["ok", "I am so happy today!"], 64))
    assert batch["attention_mask"][0, 0] == 0
    assert batch["attention_mask"][0, -1] == 1
    assert "token_type_ids" in batch


def test_tokens_beyond_the_table_are_refused_with_both_numbers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = family("bert", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = len(tokenizer)
    tokenizer.add_tokens(["<user>", "<url>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=rf"knows {known + 2} tokens .* table holds {known}"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet"])
def test_pairs_are_answered_as_transformers_answers_them(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = family(name, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    wanted = []
    for first, second in PAIRS:
        with torch.no_grad():
            given = tokenizer(first, second, return_tensors="pt")
            taken = {k: v for k, v in given.items() if name != "roberta" or k != "token_type_ids"}
            wanted.append(model(**taken).logits.sigmoid().numpy())
    answers = GoEmotionsClassifier(folder).predict(PAIRS)[1]
    np.testing.assert_allclose(answers, np.concatenate(wanted), atol=1e-5)
    texts = [joined(*pair) for pair in PAIRS]
    assert np.array_equal(GoEmotionsClassifier(folder).predict(texts)[1], answers)


@pytest.mark.long
def test_pairs_of_a_model_that_changes_itself_are_answered_as_by_fresh_copies(
    tmp_path: Path,
) -> None:
    """transformers' own model, switched by a short pair, answers the next by 0.06 otherwise."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = family("big_bird", tmp_path)
    pairs = [("no", "yes"), ("It rains here today. " * 20, "no"), ("", "It rains here. " * 20)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wanted = []
    for first, second in pairs:
        fresh = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        given = tokenizer(first, second, truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            wanted.append(fresh(**given).logits.sigmoid().numpy())
    answers = GoEmotionsClassifier(folder, max_length=128).predict(pairs)[1]
    np.testing.assert_allclose(answers, np.concatenate(wanted), atol=1e-5)


def test_warming_up_changes_no_answer_and_counts_nothing(tmp_path: Path) -> None:
    folder = family("bert", tmp_path)
    classifier = GoEmotionsClassifier(folder)
    classifier.warm_up(["word " * 400])
    assert classifier.truncated == 0
    answers = expected(folder, classifier.max_length, ["ok"])
    np.testing.assert_allclose(classifier.predict(["ok"])[1], answers, atol=1e-5)
