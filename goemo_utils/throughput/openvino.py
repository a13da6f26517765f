"""A classifier in OpenVINO on the CPU, as a row to be compared with: float32, bfloat16, or int8 by
NNCF's quantisation after training. An optional extra.

The graph comes from the model itself and never through ONNX Runtime's optimiser, whose fused nodes
OpenVINO computes with another activation (findings/openvino-fusedgemm-activation.sh). Batches run
side by side, as many streams as the classifier has, with OpenVINO's hint for throughput.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch

from goemo_utils.classifier import spread
from goemo_utils.classifier.onnx_runtime import Logits, shortest, with_all
from goemo_utils.classifier.packed import TOLERANCE, largest_difference
from goemo_utils.errors import GoemoError, first_line
from goemo_utils.forward.model import Loaded

Batch = Mapping[str, np.ndarray]
# What OpenVINO calls the arithmetic of a row; int8 says it in the graph.
PRECISION = {"float32": "f32", "int8": "f32", "bfloat16": "bf16"}


class NoGraph(GoemoError):
    """OpenVINO cannot compute this model as it is; the message says why."""


def missing(dtype: str) -> list[str]:
    """The packages of the extra that a row in ``dtype`` needs and that are not installed."""
    needed = ("openvino", "nncf") if dtype == "int8" else ("openvino",)
    return [name for name in needed if importlib.util.find_spec(name) is None]


class Graph:
    """A classifier converted once from its eager model; ``version`` is OpenVINO's."""

    def __init__(self, loaded: Loaded, dtype: str, texts: Sequence[str], limit: int) -> None:
        """``texts`` check the float32 graph and calibrate an int8 one. Raises NoGraph where no
        converted graph answers them like the model.
        """
        import openvino

        self.version = str(openvino.__version__).partition("-")[0]
        rows = sorted(loaded.inputs.encode(texts, limit), key=len)
        batches = loaded.inputs.apart([list(range(len(rows)))], [len(row) for row in rows])
        padded = [loaded.inputs.pad([rows[i] for i in batch]) for batch in batches]
        # Pairs of texts may need an input that single texts do without.
        self._names = list(dict.fromkeys([*padded[0], *loaded.inputs.pair_fields]))
        examples = [with_all(self._names, batch) for batch in padded]

        graph, self.difference = _exact(loaded.model, examples)
        if dtype == "int8":
            singles = [with_all(self._names, loaded.inputs.pad([row])) for row in rows]
            graph = _quantised(graph, singles)
        self._compiled = _compiled(graph, PRECISION[dtype])
        self._streams = spread.at_once()

    def logits(self, batches: Sequence[Batch]) -> list[np.ndarray]:
        """Logits ``[rows, labels]`` of each batch, as many at once as there are streams."""
        import openvino

        answers: list[np.ndarray] = [np.empty(0)] * len(batches)

        def keep(request: Any, place: int) -> None:
            answers[place] = request.get_output_tensor(0).data.copy()

        queue = openvino.AsyncInferQueue(self._compiled, self._streams)
        queue.set_callback(keep)
        for place, batch in enumerate(batches):
            queue.start_async(list(with_all(self._names, batch).values()), place)
        queue.wait_all()
        return answers


def _compiled(graph: Any, precision: str) -> Any:
    import openvino

    return openvino.Core().compile_model(
        graph,
        "CPU",
        {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(spread.at_once()),
            "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
            "INFERENCE_PRECISION_HINT": precision,
        },
    )


def _exact(model: torch.nn.Module, examples: Sequence[Batch]) -> tuple[Any, float]:
    """The graph that answers the examples like the model, and the largest difference of a logit.

    Traced from one text alone, as for ONNX Runtime, so that a shape that it holds as a constant is
    found out.
    """
    expected = []
    for example in examples:
        tensors = {name: torch.from_numpy(array) for name, array in example.items()}
        with torch.inference_mode():
            expected.append(model(**tensors).logits.numpy())
    traced = shortest(examples)

    refused = []
    for additive in (True, False):
        try:
            graph = _converted(Logits(model, list(traced), additive), traced)
            request = _compiled(graph, PRECISION["float32"])
            got = [request(list(example.values()))[0] for example in examples]
        except Exception as error:  # the model, torch's tracer and OpenVINO: their own each
            refused.append(f"{type(error).__name__}: {first_line(error)}")
            continue

        pairs = zip(got, expected, strict=True)
        difference = max(largest_difference(_chances(a), _chances(b)) for a, b in pairs)
        if difference < TOLERANCE[torch.float32]:  # written so that NaN fails
            return graph, difference
        refused.append(f"its answers differ by {difference:.2g}")
    raise NoGraph(f"OpenVINO cannot have this model ({'; '.join(dict.fromkeys(refused))})")


def _chances(logits: np.ndarray) -> np.ndarray:
    chances: np.ndarray = torch.from_numpy(logits).sigmoid().numpy()
    return chances


def _converted(model: torch.nn.Module, example: Batch) -> Any:
    import openvino

    tensors = tuple(torch.from_numpy(array) for array in example.values())
    with warnings.catch_warnings(), torch.no_grad(), _quiet():
        warnings.simplefilter("ignore")
        free = openvino.PartialShape([-1, -1])
        return openvino.convert_model(
            model.eval(), example_input=tensors, input=[free for _ in tensors]
        )


def _quantised(graph: Any, calibration: Sequence[Batch]) -> Any:
    """NNCF's quantisation for transformers: weights and activations in int8, ranges by the
    calibration texts.
    """
    import nncf

    given = [list(batch.values()) for batch in calibration]
    with _quiet():
        return nncf.quantize(
            graph,
            nncf.Dataset(given),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(given),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own words on the way."""
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):  # bars of progress
            yield
    finally:
        logging.disable(kept)
