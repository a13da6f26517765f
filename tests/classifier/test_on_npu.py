"""The form without padding for an NPU, by an imitation of its fused attention on the CPU. No NPU
took part.
"""

from typing import Any

import numpy as np
import pytest
import torch

from goemo_utils.classifier import checks, on_npu
from goemo_utils.errors import ModelError, ParamsError
from tests.classifier.test_unpadded import classifier, logits, probabilities, texts_of


def imitation(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    head_num: int,
    input_layout: str,
    *,
    scale: float,
    keep_prob: float,
    actual_seq_qlen: list[int],
    actual_seq_kvlen: list[int],
) -> tuple[Any, ...]:
    """npu_fusion_attention as documented: TND, without a mask, lengths as sums so far."""
    assert input_layout == "TND"
    assert keep_prob == 1.0
    assert query.shape[0] == actual_seq_qlen[-1]
    assert key.shape[0] == value.shape[0] == actual_seq_kvlen[-1]
    assert query.shape[1] == head_num

    parts = []
    ends = zip(
        [0, *actual_seq_qlen],
        actual_seq_qlen,
        [0, *actual_seq_kvlen],
        actual_seq_kvlen,
        strict=False,
    )
    for q0, q1, k0, k1 in ends:
        scores = torch.einsum("qnd,knd->nqk", query[q0:q1], key[k0:k1]) * scale
        parts.append(torch.einsum("nqk,knd->qnd", scores.softmax(-1), value[k0:k1]))
    return torch.cat(parts), None, None, None, 0, 0, 0


@pytest.mark.parametrize("family", on_npu.FAMILIES)
def test_texts_end_to_end_answer_as_padded(family: str) -> None:
    model, ids = classifier(family), texts_of([40, 12, 12, 5, 2])
    twin, reason = on_npu.choose(model, probabilities, imitation)
    np.testing.assert_allclose(logits(twin, ids), logits(model, ids), atol=5e-6)
    assert "TND" in reason


def test_an_operator_that_answers_otherwise_is_refused() -> None:
    def blind(query: torch.Tensor, *args: Any, **others: Any) -> tuple[torch.Tensor]:
        return (torch.zeros_like(query),)

    with pytest.raises(ModelError, match="answers otherwise"):
        on_npu.choose(classifier(), probabilities, blind)


def test_a_family_whose_attention_knows_places_is_refused() -> None:
    with pytest.raises(ModelError, match="the model is mpnet"):
        on_npu.choose(classifier("mpnet"), probabilities, imitation)


def test_without_torch_npu_the_refusal_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="Use backend='auto'"):
        on_npu.choose(classifier(), probabilities)


@pytest.mark.parametrize("device", ["cpu", "cuda", "rehearsal"])
def test_it_is_for_an_npu_alone(device: str) -> None:
    with pytest.raises(ParamsError, match="backend='unpadded' is for an NPU"):
        checks.combination("unpadded", "float32", device)
