"""What must not matter to the last bit: other texts of a batch, and what stands in the padding."""

import pytest
import torch

from goemo_utils.parity import exercise
from goemo_utils.parity.isolation import COMPANY, PADDING, isolated
from tests.parity.twin_models import twins


def rows(of):
    made = exercise.make(of, 128)
    return isolated(of, made, dict, {})


def failed(of):
    return {row["kind"] for row in rows(of) if not row["ok"]}


def test_a_right_device_keeps_a_text_apart_from_its_company_and_its_padding():
    seen = rows(twins())
    assert {row["kind"] for row in seen} == {COMPANY, PADDING}
    assert all(row["ok"] for row in seen)


def test_a_leak_far_below_rounding_from_the_other_texts_shows():
    of = twins()

    def leak(module, args, output):
        rows = output[0] if isinstance(output, tuple) else output
        rows.add_(rows.roll(1, 0), alpha=1e-6)

    of.candidate.roberta.encoder.layer[0].register_forward_hook(leak)
    assert COMPANY in failed(of)


@pytest.mark.parametrize("score", [-10.0, -14.0])
def test_a_mask_that_lets_a_trace_through_shows(score):
    of = twins()

    def soften(module, args, kwargs):
        mask = kwargs["attention_mask"]
        if mask is None:
            return None
        soft = torch.where(mask < -1e4, torch.full_like(mask, score), mask)
        return args, {**kwargs, "attention_mask": soft}

    for layer in of.candidate.roberta.encoder.layer:
        layer.attention.self.register_forward_pre_hook(soften, with_kwargs=True)
    assert PADDING in failed(of)


def test_what_the_model_itself_depends_on_is_not_asked():
    of = twins()

    def mix(module, args, output):
        first = output[0] if isinstance(output, tuple) else output
        first.sub_(first.mean(0, keepdim=True), alpha=0.1)

    for model in (of.reference, of.candidate):
        model.roberta.encoder.layer[0].register_forward_hook(mix)
    assert not failed(of)
