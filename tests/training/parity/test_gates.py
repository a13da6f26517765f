"""The gates of a training parity on measures that were made by hand."""

import numpy as np

from goemo_utils.parity.gates import CANNOT_TELL, EXPLAINED, FAIL, PASS
from goemo_utils.training.parity import gates, measures


def test_a_cause_explains_only_what_the_cpu_under_it_does_too():
    def of(size):
        return measures.Measured(
            {"loss": (np.full(2, size), np.ones(2)), "norms": (np.full(2, size), np.ones(2))},
            {"w": (size, size)},
            {"w": (size, size)},
            size,
        )

    explained = gates.rounding(of(100.0), of(1.0), gates.LIMITS)
    assert {g.result for g in explained} == {EXPLAINED}
    assert gates.cause(explained, of(1.0), ["hf32"], "", gates.LIMITS).result == PASS
    refused = gates.rounding(of(100.0), of(11.0), gates.LIMITS)
    assert {g.result for g in refused} == {FAIL}
    assert gates.cause(refused, of(11.0), ["hf32"], "", gates.LIMITS).result == FAIL


def test_nothing_compared_is_a_failure():
    assert gates.finite({"gold": 0}, 0).result == FAIL
    assert gates.verdict([]) == "fail"
    assert gates.optimizer({}, gates.LIMITS).result == FAIL
    empty = {"covered": 0, "faults": []}
    assert gates.place({"forward": empty, "backward": empty}, "", gates.LIMITS).result == FAIL
    assert gates.verdict([gates.finite({"gold": 0}, 3)]) == "fail", (
        "four gates about rounding are missing"
    )


def test_a_training_that_was_elsewhere_or_fell_back_fails():
    there = {
        "expected": "npu:0",
        "parameters_device": ["npu:0"],
        "output_device": "npu:0",
        "gradients_device": ["npu:0"],
        "moments_device": ["npu:0"],
        "on_device": True,
    }

    assert gates.on_device({"fallbacks": [], "simulated": False}, there).result == PASS
    assert gates.on_device({"fallbacks": [], "simulated": True}, there).result == CANNOT_TELL
    assert gates.on_device({"fallbacks": ["aten::gelu"], "simulated": True}, there).result == FAIL
    elsewhere = gates.on_device(
        {"fallbacks": [], "simulated": False},
        {**there, "moments_device": ["cpu"], "on_device": False},
    )

    assert elsewhere.result == FAIL
    assert "cpu" in elsewhere.value
