"""The embeddings of one text are the very bits of the model's own."""

import pytest
import torch
from torch import nn

from goemo_utils.classifier.embedding import of_one_text
from tests.classifier.test_unpadded import LIMIT, PAD, VOCABULARY, classifier

# Families with tables of words, types and places.
PLAIN_TABLES = ["bert", "roberta", "xlm-roberta", "camembert", "electra"]


@pytest.mark.parametrize("family", [*PLAIN_TABLES, "mpnet", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("length", [1, 2, 17, LIMIT - PAD - 1])
def test_one_text_has_the_bits_of_the_models_own_embeddings(family: str, length: int) -> None:
    embeddings = classifier(family).base_model.embeddings
    ids = torch.randint(2, VOCABULARY, (1, length))
    with torch.inference_mode():
        assert torch.equal(of_one_text(embeddings)(ids), embeddings(ids)[0])


def test_a_text_that_names_the_padding_is_left_to_a_model_that_counts_it_apart() -> None:
    assert not of_one_text(classifier("roberta").base_model.embeddings).takes([5, PAD, 6])
    assert of_one_text(classifier("bert").base_model.embeddings).takes([5, PAD, 6])


@pytest.mark.parametrize("family", ["distilbert", "albert"])
def test_embeddings_that_are_built_otherwise_have_no_quick_form_or_an_equal_one(
    family: str,
) -> None:
    embeddings = classifier(family).base_model.embeddings
    form, ids = of_one_text(embeddings), torch.randint(2, VOCABULARY, (1, 9))
    with torch.inference_mode():
        assert form is None or torch.equal(form(ids), embeddings(ids)[0])


def test_embeddings_that_add_something_of_their_own_have_no_quick_form() -> None:
    embeddings = classifier("roberta").base_model.embeddings
    embeddings.dropout = nn.Sequential(embeddings.dropout, nn.Tanh())
    assert of_one_text(embeddings) is None
