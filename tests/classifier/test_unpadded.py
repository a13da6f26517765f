"""Texts laid end to end answer like the padded model, for every family that is computed so; the
others are refused with the reason.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from goemo_utils.classifier import packed
from goemo_utils.classifier.layers import Run
from goemo_utils.classifier.packed import PackingError
from goemo_utils.classifier.unpadded import FAMILIES, FORMS, ROWS, Unpadded, with_zeros
from goemo_utils.forward.inputs import filled

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
DEBERTA_V3 = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
PAD, VOCABULARY, LIMIT = 1, 60, 64


def classifier(family: str = "roberta", **changes: object) -> nn.Module:
    sizes = (
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
        if family == "distilbert"
        else {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
        }
    )
    settings_ = (
        {
            "vocab_size": VOCABULARY,
            "max_position_embeddings": LIMIT,
            "pad_token_id": PAD,
            "num_labels": 5,
            "initializer_range": 0.2,
        }
        | sizes
        | changes
    )
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(family, **settings_), attn_implementation="eager"
    ).eval()


def texts_of(lengths: list[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, VOCABULARY, size=length).tolist() for length in lengths]


def padded(ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, ids))
    tokens = filled(ids, PAD, width)
    mask = filled([[1] * len(row) for row in ids], 0, width)
    return torch.from_numpy(tokens), torch.from_numpy(mask)


def logits(model: nn.Module, ids: list[list[int]]) -> np.ndarray:
    tokens, mask = padded(ids)
    with torch.inference_mode():
        return model(input_ids=tokens, attention_mask=mask).logits.numpy()


def probabilities(model: nn.Module, ids: list[list[int]] | None = None) -> np.ndarray:
    return 1 / (1 + np.exp(-logits(model, ids or texts_of([20, 9, 9, 2]))))


# Settings of real checkpoints that change what attention does.
VARIANTS = [
    ("deberta-v2", DEBERTA_V3),
    ("deberta-v2", DEBERTA_V3 | {"share_att_key": False, "position_buckets": -1}),
    ("deberta-v2", DEBERTA_V3 | {"pos_att_type": ["c2p"], "position_biased_input": True}),
    ("deberta-v2", DEBERTA_V3 | {"pos_att_type": ["p2c"], "norm_rel_ebd": "none"}),
    ("modernbert", {"local_attention": 8, "classifier_pooling": "mean"}),
    ("modernbert", {"local_attention": 4, "attention_bias": True, "mlp_bias": True}),
    ("albert", {"num_hidden_groups": 2, "inner_group_num": 2, "embedding_size": 16}),
    ("albert", {"num_hidden_layers": 5, "hidden_act": "gelu"}),
]


@pytest.mark.parametrize(("family", "changes"), VARIANTS)
def test_other_settings_of_a_family_answer_as_padded(
    family: str, changes: dict[str, object]
) -> None:
    model, ids = classifier(family, **changes), texts_of([40, 12, 12, 5, 1])
    expected = logits(model, ids)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(logits(Unpadded(model), ids), expected, atol=5e-6)


def test_a_window_narrower_than_a_block_is_kept_in_a_text_of_several_blocks() -> None:
    model = classifier("modernbert", local_attention=8, max_position_embeddings=300)
    ids = texts_of([270, 9])
    np.testing.assert_allclose(logits(Unpadded(model), ids), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize(
    ("family", "changes", "why"),
    [
        ("deberta-v2", {"conv_kernel_size": 3}, "convolution"),
        (
            "modernbert",
            {"rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"), DYNAMIC)},
            "depend on the length",
        ),
    ],
)
def test_what_a_family_has_in_rare_settings_alone_is_refused(
    family: str, changes: dict[str, object], why: str
) -> None:
    with pytest.raises(PackingError, match=why):
        Unpadded(classifier(family, **changes))


def test_layers_that_share_their_weights_are_packed_once() -> None:
    assert len(set(Unpadded(classifier("albert", num_hidden_layers=4)).layers)) == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lengths", [[7], [3, 3, 3], [40, 12, 12, 5, 2], [2, 50, 9, 50]])
def test_every_family_answers_as_padded(family: str, lengths: list[int]) -> None:
    model, ids = classifier(family), texts_of(lengths)
    expected = logits(model, ids)
    assert (
        np.ptp(expected) > 0.1
    )  # answers that differ by text and label, so that agreement means something
    np.testing.assert_allclose(logits(Unpadded(model), ids), expected, atol=5e-6)


MODEL = classifier()
TWIN = Unpadded(MODEL) if torch.backends.mkldnn.is_available() else None


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.integers(min_value=1, max_value=LIMIT - 2), min_size=1, max_size=5),
    st.integers(0, 99),
)
def test_a_text_is_answered_alike_whatever_lies_beside_it(lengths: list[int], seed: int) -> None:
    ids = texts_of(lengths, seed)
    alone = np.concatenate([logits(TWIN, [text]) for text in ids])
    np.testing.assert_allclose(logits(TWIN, ids), alone, atol=5e-6)


def test_a_padding_token_inside_a_text_keeps_the_position_that_the_model_gives_it() -> None:
    ids = [[5, 6, PAD, 7, 8], [9, 10]]
    np.testing.assert_allclose(logits(TWIN, ids), logits(MODEL, ids), atol=5e-6)


def test_a_text_without_any_token_does_not_get_its_neighbours_answer() -> None:
    answers = logits(TWIN, [[5, 6, 7], [], [9, 8]])
    np.testing.assert_allclose(answers[[0, 2]], logits(MODEL, [[5, 6, 7], [9, 8]]), atol=5e-6)
    assert np.isfinite(answers[1]).all()
    assert not np.allclose(answers[1], answers[2], atol=1e-3)


def test_electra_with_smaller_embeddings_is_projected() -> None:
    model, ids = classifier("electra", embedding_size=16), texts_of([6, 3])
    np.testing.assert_allclose(logits(Unpadded(model), ids), logits(model, ids), atol=5e-6)


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh"])
def test_other_activations_are_not_replaced_by_gelu(activation: str) -> None:
    model, ids = classifier("bert", hidden_act=activation), texts_of([6, 3])
    np.testing.assert_allclose(logits(Unpadded(model), ids), logits(model, ids), atol=5e-6)


def test_the_original_model_is_left_whole_and_what_is_not_packed_is_shared() -> None:
    model = classifier()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twin = Unpadded(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert twin.embeddings.word_embeddings.weight is model.roberta.embeddings.word_embeddings.weight


@pytest.mark.parametrize("in_python", [False, True])
def test_products_meet_few_numbers_of_rows(
    in_python: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: set[int] = set()
    twin = Unpadded(classifier())
    for layer in twin.layers:
        layer.projection.register_forward_hook(lambda module, given, output: rows.add(len(output)))

    compute = twin.interpreted.of_states

    def noting(hidden: torch.Tensor, runs: list[Run], asked: int) -> torch.Tensor:
        rows.update((len(hidden), asked))
        return compute(hidden, runs, asked)

    monkeypatch.setattr(twin.interpreted, "of_states", noting)
    if in_python:
        twin.interpreted = None
    for count in range(1, 40):
        logits(twin, texts_of([3] * count))
    assert len(rows) > 5
    # what is small enough is multiplied as it comes, and oneDNN meets none of it
    assert all(n % ROWS == 0 or n <= twin.few for n in rows)
    assert (
        len({len(with_zeros(torch.zeros(n, 1))) for n in range(1024, 4097)}) <= 66
    )  # 32 an octave, and both ends
    assert all(n <= len(with_zeros(torch.zeros(n, 1))) <= 1.04 * n for n in range(512, 4097))


def test_few_rows_of_small_weights_are_multiplied_as_they_come() -> None:
    ids = texts_of([twin_rows := TWIN.few])
    before = torch.ops.mkldnn._linear_pointwise
    torch.ops.mkldnn._linear_pointwise = None
    try:
        got = logits(TWIN, ids)
    finally:
        torch.ops.mkldnn._linear_pointwise = before
    assert twin_rows > 0
    np.testing.assert_allclose(got, logits(MODEL, ids), atol=5e-6)


def test_large_weights_are_kept_in_one_form_alone() -> None:
    wide = classifier("bert", hidden_size=400, intermediate_size=400)
    assert Unpadded(wide).few == 0


def test_it_is_chosen_first_and_says_so() -> None:
    choice = packed.choose(classifier(), probabilities, FORMS)
    assert isinstance(choice.model, Unpadded)
    assert "without padding" in choice.reason
    assert choice.difference < 1e-5


def test_a_family_that_is_not_known_is_packed_with_padding_and_the_reason_kept() -> None:
    model = classifier("nystromformer")
    choice = packed.choose(model, probabilities, FORMS)
    assert choice.backend == "packed"
    assert not isinstance(choice.model, Unpadded)
    assert "with padding" in choice.reason
    assert "NystromformerForSequenceClassification" in choice.reason


def test_a_layer_with_an_adapter_is_not_computed_without_it() -> None:
    class Adapted(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 1

    model = classifier()
    model.roberta.encoder.layer[0].output.dense = Adapted(48, 32)
    choice = packed.choose(model, probabilities, FORMS)
    assert not isinstance(choice.model, Unpadded)
    assert "plain nn.Linear" in choice.reason
    np.testing.assert_allclose(probabilities(choice.model), probabilities(model), atol=1e-5)


def test_a_wrong_answer_without_padding_falls_back_to_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = classifier()
    choice = packed.choose(
        model, lambda m: probabilities(m) + (1e-3 if isinstance(m, Unpadded) else 0), FORMS
    )
    assert choice.backend == "packed"
    assert "Not packed without padding: the self-check differed by 0.001" in choice.reason


def test_bfloat16_stays_bfloat16() -> None:
    model, ids = classifier().bfloat16(), texts_of([9, 4])
    tokens, mask = padded(ids)
    with torch.inference_mode():
        got, expected = (
            m(input_ids=tokens, attention_mask=mask).logits for m in (Unpadded(model), model)
        )
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(
        got.float().sigmoid(), expected.float().sigmoid(), atol=2**-5, rtol=0
    )
