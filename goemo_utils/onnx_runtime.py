"""The classifier in ONNX Runtime, float32 or dynamic int8: an optional extra, and a strong CPU baseline."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goemo_utils.errors import ModelError

OPSET = 17  # the newest that torch's own exporter writes without the onnxscript package


def missing() -> list[str]:
    """The packages of the extra that are not installed."""
    return [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]


def require() -> None:
    """Raise ModelError in one sentence when the extra is absent."""
    if absent := missing():
        raise ModelError(f"ONNX Runtime was asked for and {' and '.join(absent)} cannot be imported. Install the extra: pip install 'goemo[onnx]'.")


class Session:
    """A classifier exported once from its eager model and run by ONNX Runtime on the CPU."""

    def __init__(self, model: torch.nn.Module, example: tuple[np.ndarray, np.ndarray], int8: bool = False, threads: int | None = None) -> None:
        """``example`` is a padded batch ``(input_ids, attention_mask)``; both its sizes become free in the exported graph."""
        require()
        import onnxruntime

        self.int8 = int8
        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        # Spinning threads slow down everything else on a shared machine and gain about 2 % on a quiet one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        with tempfile.TemporaryDirectory(prefix="goemo-onnx-") as folder:
            path = _export(model, example, Path(folder))
            if int8:
                path = _quantise(path)
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Logits float32 ``[rows, n_labels]`` of one padded batch."""
        return self._session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})[0]

    def describe(self) -> str:
        """One sentence on what runs."""
        return f"ONNX Runtime {self.version}, {'dynamic int8' if self.int8 else 'float32'}, as asked."

    def placement(self) -> dict[str, Any]:
        """Where it runs, in the terms of ``Device.proof``."""
        provider = self._session.get_providers()[0]
        return {"parameters_device": ["cpu"], "output_device": "cpu", "expected": "cpu", "on_device": True, "memory_allocated": None,
                "memory_peak": None, "simulated": False, "provider": provider}


class _Logits(torch.nn.Module):
    """Positional inputs and a bare tensor out, as the exporter wants them.

    The mask goes in as the additive mask that attention uses: transformers' own way from one to the other cannot be traced.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = (1 - attention_mask[:, None, None, :]).to(torch.float32) * torch.finfo(torch.float32).min
        return self.model(input_ids=input_ids, attention_mask=hidden).logits


def _export(model: torch.nn.Module, example: tuple[np.ndarray, np.ndarray], folder: Path) -> Path:
    path = folder / "model.onnx"
    free = {0: "rows", 1: "tokens"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Logits(model).eval(), tuple(torch.from_numpy(array) for array in example), str(path), dynamo=False, opset_version=OPSET,
            input_names=["input_ids", "attention_mask"], output_names=["logits"],
            dynamic_axes={"input_ids": free, "attention_mask": free, "logits": {0: "rows"}})
    return path


def _quantise(path: Path) -> Path:
    """Dynamic int8 of the graph as ONNX Runtime has fused it: products quantised before that stay apart from their GELU and bias."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused, quantised = path.with_name("fused.onnx"), path.with_name("int8.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # The quantiser cannot infer types through fused operators; everything that it quantises here is float32.
    quantize_dynamic(str(fused), str(quantised), weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return quantised
