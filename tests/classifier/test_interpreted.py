"""The layers that torch's own interpreter computes answer as they do in Python."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from goemo_utils.classifier import interpreted
from goemo_utils.classifier.int8 import Int8Linear, quantise
from goemo_utils.classifier.layer_functions import BEHIND
from goemo_utils.classifier.unpadded import FAMILIES, PLAIN, Unpadded
from tests.classifier.test_unpadded import (
    DEBERTA_V3,
    PAD,
    VARIANTS,
    classifier,
    logits,
    padded,
    texts_of,
)

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
LENGTHS = ([7], [30, 30, 12, 2], [3] * 70)
# A model of each kind of attention and of layers.
KINDS = [
    ("roberta", {}),
    ("mpnet", {}),
    ("deberta-v2", DEBERTA_V3),
    ("modernbert", {"local_attention": 8}),
    ("modernbert", {"local_attention": 8, "classifier_pooling": "mean"}),
]


def in_python_of(twin: Unpadded, ids: list[list[int]]) -> np.ndarray:
    kept, twin.interpreted = twin.interpreted, None
    try:
        return logits(twin, ids)
    finally:
        twin.interpreted = kept


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(source: str) -> None:
        raise RuntimeError("no such operator")

    interpreted._compiled.cache_clear()
    monkeypatch.setattr(torch.jit, "CompilationUnit", refuse)
    yield
    interpreted._compiled.cache_clear()


@pytest.mark.parametrize(("family", "changes"), [*((family, {}) for family in FAMILIES), *VARIANTS])
def test_its_answers_are_those_of_the_layers_in_python(
    family: str, changes: dict[str, object]
) -> None:
    twin = Unpadded(classifier(family, **changes))
    assert twin.interpreted is not None
    for lengths in LENGTHS:
        ids = texts_of(lengths)
        np.testing.assert_allclose(logits(twin, ids), in_python_of(twin, ids), atol=5e-6)


@pytest.mark.parametrize(("family", "changes"), KINDS)
def test_no_layer_runs_in_python(
    family: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = classifier(family, **changes), texts_of([30, 9, 9, 2])
    twin = Unpadded(model)
    for layer in twin.layers:
        monkeypatch.setattr(layer, "forward", None)
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("family", "changes"), KINDS)
def test_in_int8_its_answers_are_as_near_to_float32_as_in_python(
    family: str, changes: dict[str, object], lengths: list[int]
) -> None:
    model, ids = classifier(family, **changes), texts_of(lengths)
    twin, exact = Unpadded(model, Int8Linear), logits(model, ids)
    assert twin.interpreted is not None
    difference = np.abs(logits(twin, ids) - exact).max()
    assert 1e-5 < difference < 1.5 * np.abs(in_python_of(twin, ids) - exact).max()


@pytest.mark.parametrize(("family", "changes"), KINDS)
def test_in_bfloat16_its_answers_are_the_models_to_its_few_digits(
    family: str, changes: dict[str, object]
) -> None:
    model = classifier(family, **changes).bfloat16()
    tokens, mask = padded(texts_of([30, 9, 9, 2]))
    twin = Unpadded(model)
    assert twin.interpreted is not None
    with torch.inference_mode():
        got, expected = (m(input_ids=tokens, attention_mask=mask).logits for m in (twin, model))
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.sigmoid(), expected.sigmoid(), atol=2**-5, rtol=0)


def test_a_window_is_kept_in_a_text_of_several_blocks() -> None:
    model = classifier("modernbert", local_attention=8, max_position_embeddings=600)
    ids, twin = texts_of([530, 9, 9]), Unpadded(model)
    assert twin.interpreted is not None
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)


def test_a_text_longer_than_its_tables_is_left_to_python() -> None:
    model, ids = classifier("deberta-v2", **DEBERTA_V3), texts_of([80, 9])
    twin = Unpadded(model)
    assert twin.interpreted.longest < 80
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)
    assert twin.end_to_end(ids) is None


@pytest.mark.parametrize("family", [*PLAIN, "albert", "mpnet", "deberta-v2"])
def test_heads_of_these_families_are_known(family: str) -> None:
    assert Unpadded(classifier(family)).interpreted.head


def test_a_head_of_its_own_kind_is_left_to_the_model() -> None:
    model, ids = classifier(), texts_of([9, 4])
    model.classifier.dropout = nn.Sequential(nn.Dropout(), nn.Sigmoid()).eval()
    twin = Unpadded(model)
    assert not twin.interpreted.head
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize("in_python", [False, True])
def test_attention_may_be_narrower_than_the_states(in_python: bool) -> None:
    model, ids = classifier("bert"), texts_of([9, 4])
    for layer in model.bert.encoder.layer:
        own, after = layer.attention.self, layer.attention.output
        own.num_attention_heads, own.all_head_size = 2, 16
        own.query, own.key, own.value = (nn.Linear(32, 16) for _ in range(3))
        after.dense = nn.Linear(16, 32)
    model.config.num_attention_heads = 2

    twin = Unpadded(model)
    assert twin.interpreted is not None
    answer = in_python_of(twin, ids) if in_python else logits(twin, ids)
    np.testing.assert_allclose(answer, logits(model, ids), atol=5e-6)


def test_keys_and_values_of_the_last_layer_are_not_computed() -> None:
    twin = Unpadded(classifier())
    ids, last = texts_of([9, 4]), twin.layers[-1].key_value
    before = logits(twin, ids)
    last.weight = last.plain = torch.tensor(float("nan"))
    np.testing.assert_array_equal(logits(twin, ids), before)


def test_norms_that_differ_stay_in_python() -> None:
    model, ids = classifier("bert"), texts_of([9, 4])
    for layer in model.bert.encoder.layer:
        layer.output.LayerNorm.eps = 1e-2
    twin = Unpadded(model)
    assert twin.interpreted is None
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)


def test_an_activation_that_no_product_takes_in_stays_in_python() -> None:
    assert Unpadded(classifier("bert", hidden_act="silu")).interpreted is None


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(("family", "changes"), [("distilbert", {}), *KINDS])
def test_ids_alone_are_answered_as_padded_texts(
    family: str, changes: dict[str, object], lengths: list[int]
) -> None:
    model, ids = classifier(family, **changes), texts_of(lengths)
    with torch.inference_mode():
        answers = Unpadded(model).end_to_end(ids)
    np.testing.assert_allclose(answers.numpy(), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize("ids", [[[5, PAD, 6], [7]], [[5, 6], []]])
def test_ids_whose_places_only_the_model_knows_are_left_to_it(ids: list[list[int]]) -> None:
    assert Unpadded(classifier()).end_to_end(ids) is None


def test_embeddings_of_their_own_kind_are_left_to_the_model() -> None:
    model = classifier()
    model.roberta.embeddings.dropout = nn.Sequential(nn.Dropout(), nn.Tanh())
    twin = Unpadded(model.eval())
    assert twin.end_to_end([[5, 6]]) is None
    assert twin.interpreted is not None


@pytest.mark.usefixtures("refusing")
def test_a_torch_that_does_not_compile_it_computes_the_layers_in_python() -> None:
    model, ids = classifier(), texts_of([9, 4])
    twin = Unpadded(model)
    assert twin.interpreted is None
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("factor", [0.0, 1e-3, 50.0])
@pytest.mark.parametrize("last", [False, True])
def test_numbers_are_quantised_as_in_python(shift: float, factor: float, last: bool) -> None:
    torch.manual_seed(1)
    states = torch.randn(37, 24) * factor + shift * factor
    signed = torch.empty(states.numel(), dtype=torch.int8)
    room = [signed, signed.view(torch.uint8)]
    expected = quantise(states, 30)
    values, *rest = interpreted._compiled(BEHIND, True, "plain").ready(states, 30, last, room)
    assert rest == [expected.scale, expected.zero_point]
    assert torch.equal(values, expected.values)


def test_what_is_no_number_makes_no_answer_in_int8() -> None:
    twin = Unpadded(classifier(), Int8Linear)
    twin.layers[0].norm.weight.data.fill_(float("nan"))
    assert np.isnan(logits(twin, texts_of([9, 4]))).all()


def test_the_interpreters_setting_stays_as_it_was() -> None:
    before = torch._C._get_graph_executor_optimize()
    logits(Unpadded(classifier()), texts_of([5]))
    assert torch._C._get_graph_executor_optimize() == before
