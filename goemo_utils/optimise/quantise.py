"""Fewer bits: int8 and bfloat16, without training.

``int8``: the classifier's own dynamic scheme (classifier/int8.py; Jacob et al. 2018, arXiv
1712.05877): weights are quantised when the model is loaded, so the folder stays that of float32.
``bfloat16``: weights in bfloat16 on disk and in use. ``onnx-int8``: ONNX Runtime's dynamic int8.
``onnx-static``: ONNX Runtime's static int8, scales of the activations from a calibration on train
texts (onnxruntime.quantization.quantize_static, MinMax, QDQ). ``openvino-static``: the same graph
run by OpenVINO, which takes a QuantizeLinear and DequantizeLinear pair for its own FakeQuantize
(openvinotoolkit/openvino, src/frontends/onnx/frontend/src/op/quantize_linear.cpp). Other programs
do not read that file.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from goemo_utils.classifier import onnx_runtime
from goemo_utils.errors import ParamsError
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, save
from goemo_utils.optimise.settings import RungSettings

SOURCE = "Jacob et al. 2018 (arXiv 1712.05877); ONNX Runtime's quantization"
GRAPH = "model.int8.onnx"
ENGINES = {"onnx-static": "ONNX Runtime", "openvino-static": "OpenVINO"}


class Settings(RungSettings):
    """What numbers become, and how many train texts calibrate a static scheme."""

    to: Literal["int8", "bfloat16", "onnx-int8", "onnx-static", "openvino-static"]
    calibrated_on: int = Field(512, ge=1)


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The folder, and the way it is run. Raises ParamsError where ONNX Runtime is not installed."""
    if absent := missing(asked.to):
        raise ParamsError(
            f"to is '{asked.to}', and {' and '.join(absent)} cannot be imported. Install the"
            f" packages: pip install {' '.join(absent)}, or leave the rung out."
        )
    source, model = lab.folder_of(asked.of), folder / "model"
    if asked.to == "bfloat16":
        base: Any = lab.model_of(asked.of).model
        save(base.to(torch.bfloat16), source, model)
        way = {"kind": "classifier", "dtype": "bfloat16"}
        return Made(model, way, None, "Run with dtype bfloat16.")

    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(source, model)
    if asked.to in ENGINES:
        calibrate(lab, asked, model, folder)
        note = f"{GRAPH} is run by {ENGINES[asked.to]}; the float32 weights beside it are for all."
        return Made(model, {"kind": asked.to, "file": GRAPH}, None, note)
    if asked.to == "onnx-int8":
        way = {"kind": "classifier", "dtype": "int8", "backend": "onnxruntime"}
        return Made(model, way, None, "The folder is float32; int8 is made when it is loaded.")
    way = {"kind": "classifier", "dtype": "int8"}
    return Made(model, way, None, "The folder is float32; int8 is made when it is loaded.")


def missing(to: str) -> list[str]:
    """The packages that the rung needs and that are not installed."""
    if not to.startswith(("onnx", "openvino")):
        return []
    absent = onnx_runtime.missing()
    if to == "openvino-static" and importlib.util.find_spec("openvino") is None:
        absent.append("openvino")
    return absent


class _Reader:
    """Calibration batches, as ONNX Runtime asks for them."""

    def __init__(self, batches: Iterator[dict[str, np.ndarray]]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None behind the last."""
        return next(self.batches, None)


def calibrate(lab: Lab, asked: Settings, model: Path, scratch: Path) -> None:
    """Write GRAPH into the folder ``model``."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    base = lab.model_of(asked.of)
    rows = sorted(lab.rows_of(base)[: asked.calibrated_on], key=len)
    batches = [base.inputs.pad(rows[start : start + 32]) for start in range(0, len(rows), 32)]
    exact = scratch / "float32.onnx"
    onnx_runtime.export(base.model, batches[0], exact)
    quantize_static(
        str(exact),
        str(model / GRAPH),
        _Reader(iter(batches)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    exact.unlink()


def title(asked: Settings) -> str:
    """The rung in words."""
    words = {
        "int8": "int8, dynamic",
        "bfloat16": "bfloat16",
        "onnx-int8": "int8, dynamic, ONNX Runtime",
        "onnx-static": "int8, static, ONNX Runtime",
        "openvino-static": "int8, static, OpenVINO",
    }
    return words[asked.to]
