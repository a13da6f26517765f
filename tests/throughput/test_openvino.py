"""OpenVINO as a row of the bench: absent with the reason, or like the model."""

import numpy as np
import pytest

from goemo_utils.texts.builtin import BUILTIN
from goemo_utils.throughput import openvino
from goemo_utils.throughput.ways import Bench, Unavailable

JOB = {"model": "embedded", "seed": 0}
DTYPES = ("float32", "int8")


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_the_extra_the_row_says_what_to_install(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "missing", lambda dtype: ["openvino"])
    with pytest.raises(Unavailable, match=r"not installed: openvino .*goemo\[openvino\]"):
        Bench(JOB).build({"id": "openvino", "method": "openvino", "dtype": dtype})


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_answers_like_the_model_in_input_order(dtype: str) -> None:
    if absent := openvino.missing(dtype):
        pytest.skip(f"not installed: {absent}")
    bench = Bench(JOB)
    way = bench.build({"id": "openvino", "method": "openvino", "dtype": dtype})
    expected = bench.build({"id": "padded"}).run(BUILTIN)
    # int8's own error, with so few calibration texts, against a wrong order's 0.9
    limit = {"float32": 1e-5, "int8": 0.3}[dtype]
    np.testing.assert_allclose(way.run(BUILTIN), expected, atol=limit)
