"""How a rung is run: from its folder and its record to a function of texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import GoemoError
from goemo_utils.optimise import early_exit, lexicon, towers

Probabilities = Callable[[list[str]], np.ndarray]
# What gives logits [n_texts, n_labels] of a padded batch, and how an engine opens a file for it
# with the names of its inputs.
Answer = Callable[[dict[str, np.ndarray]], np.ndarray]
Engine = Callable[[Path], tuple[Answer, set[str]]]


def open_way(folder: Path, way: dict[str, Any], max_length: int) -> Probabilities:
    """What gives probabilities float32 [n_texts, n_labels] of texts, with the classifier's own
    threads. ``way`` is what a rung's ``Made`` says.
    """
    settings = {name: value for name, value in way.items() if name not in ("kind", "file")}
    kind = way["kind"]
    if kind in ENGINES:
        return _static(folder, way["file"], max_length, ENGINES[kind])
    openers: dict[str, Callable[..., Any]] = {
        "classifier": GoEmotionsClassifier,
        "early_exit": early_exit.open_exits,
        "lexicon": lexicon.open_beside,
        "towers": towers.open_towers,
    }
    if kind not in openers:
        raise GoemoError(f"{folder}: unknown way '{kind}'; expected one of {', '.join(openers)}.")
    opened = openers[kind](folder, max_length=max_length, **settings)
    if kind == "lexicon":
        return lambda texts: opened.predict(texts)
    return lambda texts: opened.predict(texts)[1]


def _static(folder: Path, file: str, max_length: int, engine: Engine) -> Probabilities:
    """The folder's classifier, whose batches an engine answers from a graph on disk."""
    answer, names = engine(folder / file)
    classifier = GoEmotionsClassifier(folder, max_length=max_length, backend="eager")

    def run(ids: list[list[int]], model: torch.nn.Module) -> torch.Tensor:
        batch = {k: v for k, v in classifier._padded(ids).items() if k in names}
        return torch.from_numpy(answer(batch))

    classifier._forward = run  # type: ignore[method-assign]  # the graph in the model's place
    return lambda texts: classifier.predict(texts)[1]


def _onnx_runtime(file: Path) -> tuple[Answer, set[str]]:
    """ONNX Runtime on the study's threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, batch)[0], {put.name for put in session.get_inputs()}


def _openvino(file: Path) -> tuple[Answer, set[str]]:
    """OpenVINO on the study's threads."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda batch: compiled(batch)[0], {put.any_name for put in compiled.inputs}


ENGINES: dict[str, Engine] = {"onnx-static": _onnx_runtime, "openvino-static": _openvino}
