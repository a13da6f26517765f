"""Measures in units of right arithmetic: known answers of what lies within and what leaves it."""

import numpy as np
import torch

from goemo_utils.parity import emulate
from goemo_utils.parity.gates import FAIL, PASS
from goemo_utils.training.parity import gates, measures
from tests.training.parity.by_hand import Tiny, apart, judged, yardstick


@apart
def test_a_right_training_passes_and_one_that_is_off_leaves_the_envelope_at_its_first_step():
    class Off(Tiny):
        def forward(self, x):
            return type(
                "Output", (), {"logits": self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-4)}
            )()

    sides = yardstick(Tiny())
    right, wrong = judged(sides, Tiny()), judged(sides, Off())
    assert [g.result for g in gates.rounding(right, None, gates.LIMITS)] == [PASS] * 4
    assert right.diverging(10) is None
    assert [g.result for g in gates.rounding(wrong, None, gates.LIMITS)][:3] == [FAIL] * 3
    assert wrong.diverging(10) == 1


@apart
def test_a_relu_on_the_brink_is_no_divergence_and_a_wrong_one_is():
    """A text whose input to ReLU is 0 in the reference and a rounding above it on the device, or
    far above it.
    """

    class Brink(Tiny):
        shift = 0.0

        def forward(self, x):
            x = x.to(self.dense.weight.dtype)
            return type(
                "Output",
                (),
                {
                    "logits": (
                        torch.relu(self.dense(x) - self.dense(x[:1]).detach() + self.shift)
                        + self.dense(x)
                    )
                },
            )()

    sides = yardstick(Brink())
    assert not sides[3][0][0][0].any(), "the first text is on the brink"
    near, far = Brink(), Brink()
    near.shift, far.shift = 1e-8, 1e-4
    assert [g.result for g in gates.rounding(judged(sides, near), None, gates.LIMITS)] == [PASS] * 4
    assert gates.rounding(judged(sides, far), None, gates.LIMITS)[0].result == FAIL


@apart
def test_a_training_that_goes_wrong_late_is_dated():
    class Late(Tiny):
        def forward(self, x):
            self.calls = getattr(self, "calls", 0) + 1
            return type(
                "Output",
                (),
                {
                    "logits": (
                        self.dense(x.to(self.dense.weight.dtype)) * (1 + 1e-3 * (self.calls == 3))
                    )
                },
            )()

    found = judged(yardstick(Tiny()), Late())
    assert found.diverging(10) == 3
    assert gates.rounding(found, None, gates.LIMITS)[0].result == PASS


def test_the_first_step_that_diverges_is_known_though_later_ones_come_back():
    at = measures.Measured(
        {"loss": (np.array([1.0, 30.0, 1.0]), np.ones(3)), "norms": (np.ones(3), np.ones(3))},
        {"w": (1.0, 1.0)},
        {"w": (1.0, 1.0)},
        1.0,
    )
    assert at.diverging(10) == 2
    assert at.diverging(31) is None


def test_nan_is_beyond_every_limit():
    nan = float("nan")
    lost = measures.Measured(
        {"loss": (np.array([nan]), np.ones(1)), "norms": (np.ones(1), np.ones(1))},
        {"w": (1.0, nan), "v": (1.0, 1.0)},
        {"w": (nan, 1.0)},
        nan,
    )
    assert lost.diverging(10) == 1
    assert [g.result for g in gates.rounding(lost, None, gates.LIMITS)] == [FAIL, FAIL, PASS, FAIL]


def test_the_noise_of_rounded_operands_is_that_of_the_inference_study():
    assert (measures.STAY, measures.STAY_TEXTS) == (emulate.STAY, emulate.STAY_TEXTS)
