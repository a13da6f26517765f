from __future__ import annotations

import importlib.util

import pytest

from goemo_utils.errors import ParamsError
from goemo_utils.optimise import quantise
from goemo_utils.optimise.quantise import Settings, build, missing


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without OpenVINO."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        quantise.importlib.util, "find_spec", lambda n: None if n == "openvino" else found(n)
    )
    monkeypatch.setattr(quantise.onnx_runtime, "missing", list)


def test_a_scheme_of_torch_needs_no_engine(bare: None) -> None:
    assert missing("int8") == []
    assert missing("bfloat16") == []
    assert missing("onnx-static") == []


def test_an_engine_that_is_not_installed_is_named_and_the_rung_left_out(bare: None) -> None:
    with pytest.raises(ParamsError, match="openvino cannot be imported"):
        build(None, Settings(kind="quantise", to="openvino-static"), None, print)
