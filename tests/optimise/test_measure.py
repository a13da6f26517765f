from __future__ import annotations

import numpy as np
import pytest

from goemo_utils.optimise import measure
from goemo_utils.optimise.measure import Scored
from goemo_utils.training.data import Split

RNG = np.random.default_rng(0)
TRUTH = (RNG.random((300, 3)) < 0.4).astype(np.float32)
DEV = Split(["a text"] * 300, TRUTH, ("a", "b", "c"))


def scored(wrong: float) -> Scored:
    """Decisions of which a share is wrong."""
    marks = (TRUTH > 0.5) ^ (np.random.default_rng(1).random(TRUTH.shape) < wrong)
    return Scored(np.full(3, 0.5), marks)


def test_a_model_against_itself_differs_by_nothing() -> None:
    found = measure.quality(DEV, scored(0.2), scored(0.2))
    assert found["against_teacher"]["macro_f1"]["difference"] == 0
    assert found["against_teacher"]["macro_f1"]["ci95"] == [0, 0]
    assert found["against_teacher"]["micro_f1"]["share_ci95"] == [1, 1]
    assert found["flips"] == {"texts": 0, "decisions": 0}


def test_a_worse_model_lies_below_its_teacher_with_its_whole_interval() -> None:
    found = measure.against(DEV, scored(0.3), scored(0.05))["macro_f1"]
    assert found["ci95"][1] < 0
    assert found["ci95"][0] < found["difference"] < found["ci95"][1]
    assert found["share_ci95"][1] < 1


def test_a_flipped_text_is_one_with_another_set_of_labels() -> None:
    own, teacher = scored(0.0), scored(0.0)
    own.marks[7] = ~own.marks[7]
    assert measure.flips(own, teacher) == {"texts": 1 / 300, "decisions": 3 / 900}


def test_what_is_for_people_is_not_counted_in_bytes(tmp_path) -> None:
    for name, size in {"model.safetensors": 100, "config.json": 10, "README.md": 1000}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    assert measure.bytes_of(tmp_path, {"kind": "classifier"}) == 110
    assert measure.bytes_of(tmp_path, {"kind": "onnx-static", "file": "g"}) == 10


def test_speed_is_stated_against_the_teacher_by_both_clocks() -> None:
    seconds = {"teacher": [2.0] * 5, "half": [1.0] * 5}
    timing = {"texts": 10, "wall": seconds, "processor": seconds}
    for clock in ("wall", "processor"):
        found = measure.speed(timing, "half")[clock]
        assert found["texts_per_second"] == pytest.approx(10)
        assert found["times_teacher"] == pytest.approx(2)
