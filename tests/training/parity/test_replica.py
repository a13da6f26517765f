"""The loop of a compared training is torch's AdamW, and records what its optimizer really did."""

import numpy as np
import pytest
import torch
from torch import nn

from goemo_utils.parity.gates import FAIL, PASS
from goemo_utils.training.parity import gates, measures, replica
from tests.training.parity.by_hand import CPU, JOB, Tiny, apart, batches


@apart
def test_the_loop_is_torchs_adamw_with_clipping_and_the_schedule():
    model, mine = Tiny(), Tiny()
    trace = replica.train(mine, batches(3), JOB, CPU)
    optimizer = torch.optim.AdamW(
        [
            {"params": [model.dense.weight], "weight_decay": 0.1},
            {"params": [model.dense.bias], "weight_decay": 0.0},
        ]
    )

    for step, (features, targets) in enumerate(batches(3)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * replica.rate_at(step, 3, 0.0)
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(**features).logits, targets)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        assert trace.texts[step][-1] == float(loss.detach())
        assert trace.norms[step] == pytest.approx(float(norm))
        assert np.mean(trace.texts[step][:-1]) == pytest.approx(float(loss.detach()), rel=1e-6)
        optimizer.step()

    assert torch.allclose(trace.final["dense.weight"], model.dense.weight, rtol=0, atol=1e-7)


def test_the_rate_warms_up_and_then_falls_and_every_step_moves():
    rates = [replica.rate_at(step, 20, 0.2) for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] > 0


@apart
def test_a_right_optimizer_step_errs_by_its_last_bits_and_a_wrong_one_by_what_is_wrong():
    right = replica.train(Tiny(), batches(), JOB, CPU).updates
    assert set(right) == {"first", "last"}
    assert all(error < 1e-7 * size for found in right.values() for error, size in found.values())
    step = torch.optim.AdamW.step

    def wrong(self, *rest):
        self.param_groups[1]["weight_decay"] = 0.1  # the bias decays too
        return step(self, *rest)

    torch.optim.AdamW.step = wrong
    found = replica.train(Tiny(), batches(), JOB, CPU).updates
    assert found["first"]["dense.bias"][0] == pytest.approx(
        1e-2
        * replica.rate_at(0, 2, 0.0)
        * 0.1
        * float(Tiny().dense.bias.detach().square().mean().sqrt()),
        rel=1e-3,
    )

    assert found["first"]["dense.weight"] == right["first"]["dense.weight"]
    record = {"updates": right}
    assert gates.optimizer(measures.updates(record, record), gates.LIMITS).result == PASS
    assert (
        gates.optimizer(measures.updates(record, {"updates": found}), gates.LIMITS).result == FAIL
    )


@apart
def test_gradients_that_do_not_repeat_are_seen():
    class Restless(Tiny):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return type(
                "Output",
                (),
                {
                    "logits": (
                        self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-3 * (self.calls % 2))
                    )
                },
            )()

    assert replica.train(Tiny(), batches(), {**JOB, "repeat": True}, CPU).again == {}
    again = replica.train(Restless(), batches(), {**JOB, "repeat": True}, CPU).again
    assert again.keys() == {"dense.weight", "dense.bias"}
    assert (
        gates.repeatable(again, {"dense.weight": 1e-9, "dense.bias": 1e-9}, gates.LIMITS).result
        == FAIL
    )

    assert (
        gates.repeatable(again, {"dense.weight": 1.0, "dense.bias": 1.0}, gates.LIMITS).result
        == PASS
    )
    assert gates.repeatable({}, {"dense.weight": 1e-9}, gates.LIMITS).value == 0.0
