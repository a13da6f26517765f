"""The classifier in ONNX Runtime, float32 or dynamic int8: an optional extra, and a strong CPU
baseline.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from goemo_utils.boundary.parts import Scratch
from goemo_utils.classifier.packed import TOLERANCE, largest_difference
from goemo_utils.errors import ModelError, first_line

Batch = Mapping[str, np.ndarray]
"""A batch by the name of its input, ``attention_mask`` among them: int64 ``[rows, width]``."""

OPSET = 17  # the newest that torch's own exporter writes without the onnxscript package


def missing() -> list[str]:
    """The packages of the extra that are not installed."""
    return [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]


def require() -> None:
    """Raise ModelError in one sentence when the extra is absent."""
    if absent := missing():
        raise ModelError(
            f"ONNX Runtime was asked for and {' and '.join(absent)} cannot be imported. Install the"
            " extra: pip install 'goemo[onnx]'."
        )


class Session:
    """A classifier exported once from its eager model and run by ONNX Runtime on the CPU."""

    def __init__(
        self,
        model: torch.nn.Module,
        examples: Sequence[Batch],
        activate: Callable[[np.ndarray], np.ndarray],
        int8: bool = False,
    ) -> None:
        """``examples`` are batches of several lengths, padded or one a length as the model takes
        them; ``activate`` makes probabilities of logits.

        Both sizes of a batch become free in the exported graph, which must answer the examples like
        the model. Raises ModelError where none does.
        """
        require()
        import onnxruntime

        self.int8 = int8
        self.version = onnxruntime.__version__
        names = list(dict.fromkeys(name for example in examples for name in example))
        examples = [with_all(names, example) for example in examples]
        kept = Scratch("goemo-onnx-")
        weakref.finalize(self, _remove, kept, os.getpid())
        folder = kept.path
        self._building = Lock()
        self._path, session, self.difference = _exact(model, examples, activate, folder)
        self._sessions = {torch.get_num_threads(): session}
        if int8:
            del session
            self._sessions.clear()  # two graphs of one model need not be held at a time
            self._path = _quantise(self._path)
            if not all(np.isfinite(self.run(example)).all() for example in examples):
                raise ModelError(
                    "ONNX Runtime's int8 form of this model gives NaN or infinite answers. Use"
                    " float32, or dtype='bfloat16'."
                )
        for file in folder.glob("*.onnx"):
            if file != self._path:  # other forms of the graph, each as large as the model
                file.unlink()

    def run(self, batch: Batch) -> np.ndarray:
        """Logits float32 ``[rows, n_labels]`` of one padded batch, on as many threads as torch has
        in the calling thread.

        ONNX Runtime fixes the number of threads with the graph, so each number that is met gets a
        graph of its own, while its file is there.
        """
        threads = torch.get_num_threads()
        with self._building:
            if threads not in self._sessions:
                # Programs that clear the folder of temporary files take those that nobody has
                # opened for days.
                self._sessions[threads] = (
                    _session(self._path)
                    if self._path.exists()
                    else next(iter(self._sessions.values()))
                )

        return _run(self._sessions[threads], batch)

    def describe(self) -> str:
        """One sentence on what runs."""
        checked = (
            f"the self-check{' before quantising' if self.int8 else ''} differed by"
            f" {self.difference:.1g}, the limit is {TOLERANCE[torch.float32]:.2g}"
        )
        return (
            f"ONNX Runtime {self.version}, {'dynamic int8' if self.int8 else 'float32'}, as asked;"
            f" {checked}."
        )

    def placement(self) -> dict[str, Any]:
        """Where it runs, in the terms of ``Device.proof``."""
        provider = next(iter(self._sessions.values())).get_providers()[0]
        return {
            "parameters_device": ["cpu"],
            "output_device": "cpu",
            "expected": "cpu",
            "on_device": True,
            "memory_allocated": None,
            "memory_peak": None,
            "simulated": False,
            "provider": provider,
        }


def _remove(folder: Scratch, owner: int) -> None:
    """Delete the folder, in the process that made it: a forked one ends earlier."""
    if os.getpid() == owner:
        folder.close()


def _session(path: Path) -> Any:
    """A session on as many threads as torch has here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Spinning threads slow down everything else on a shared machine and gain about 2 % on a quiet
    # one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what a graph does wrong comes as an exception
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: Any, batch: Batch) -> np.ndarray:
    # The exporter leaves out an input that the model does not read, such as FNet's mask.
    given = with_all([put.name for put in session.get_inputs()], batch)
    outputs = session.run(None, given)
    logits: np.ndarray = outputs[0]
    return logits


def with_all(names: Sequence[str], batch: Batch) -> Batch:
    """The batch with these inputs and no other: zeros for one that its texts do not need, as single
    texts do without the types of tokens that tell the halves of a pair apart.
    """
    return {
        name: batch[name] if name in batch else np.zeros_like(batch["input_ids"]) for name in names
    }


def _exact(
    model: torch.nn.Module,
    examples: Sequence[Batch],
    activate: Callable[[np.ndarray], np.ndarray],
    folder: Path,
) -> tuple[Path, Any, float]:
    """The exported float32 graph that answers the examples like the model, a session on it, and
    their largest difference of a probability.

    Traced from one text alone and checked on all of them, so that a graph that holds the traced
    shape as a constant is found out.
    """
    expected = []
    for example in examples:
        tensors = {name: torch.from_numpy(array) for name, array in example.items()}
        with torch.inference_mode():
            expected.append(activate(model(**tensors).logits.numpy()))
    traced = shortest(examples)

    refused = []
    for additive in (True, False):
        try:
            path = folder / f"model-{additive}.onnx"
            _export(Logits(model, list(traced), additive), traced, path)
            session = _session(path)
            differences = [
                largest_difference(activate(_run(session, example)), answer)
                for example, answer in zip(examples, expected, strict=True)
            ]
        except Exception as error:  # the model, torch's exporter and ONNX Runtime: their own each
            refused.append(f"{type(error).__name__}: {first_line(error)}")
            continue

        difference = float(np.max(differences))
        if difference < TOLERANCE[torch.float32]:  # written so that NaN fails
            return path, session, difference
        refused.append(
            f"the self-check differed by {difference:.2g}, the limit is"
            f" {TOLERANCE[torch.float32]:.2g}"
        )
    raise ModelError(
        f"{type(model).__name__} cannot be exported for ONNX Runtime"
        f" ({'; '.join(dict.fromkeys(refused))}). Use backend='auto'."
    )


def shortest(examples: Sequence[Batch]) -> Batch:
    """The shortest text of the examples as a batch of its own, without padding."""
    lengths = [
        (int(length), i, row)
        for i, example in enumerate(examples)
        for row, length in enumerate(example["attention_mask"].sum(1))
    ]
    _, i, row = min(lengths)
    real = examples[i]["attention_mask"][row].astype(bool)
    return {name: array[row : row + 1, real] for name, array in examples[i].items()}


class Logits(torch.nn.Module):
    """Positional inputs and a bare tensor out, as the exporter wants them.

    With ``additive`` the mask goes in as attention adds it: transformers' own way from the plain
    one cannot be traced. Some families (DeBERTa, MPNet) make their own of the plain mask, and take
    no other.
    """

    def __init__(self, model: torch.nn.Module, names: Sequence[str], additive: bool) -> None:
        super().__init__()
        self.model, self.names, self.additive = model, names, additive

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        batch = dict(zip(self.names, tensors, strict=True))
        if self.additive:
            # [texts, tokens] -> [texts, 1, 1, tokens]: the same for every head and asking token
            padding = (1 - batch["attention_mask"][:, None, None, :]).to(torch.float32)
            batch["attention_mask"] = padding * torch.finfo(torch.float32).min
        logits: torch.Tensor = self.model(**batch).logits
        return logits


def export(model: torch.nn.Module, example: Batch, path: Path) -> None:
    """Write the float32 graph of a classifier, both sizes of a batch free; nothing is checked."""
    _export(Logits(model, list(example), additive=True), example, path)


def _export(model: torch.nn.Module, example: Batch, path: Path) -> None:
    names = list(example)
    free = {0: "rows", 1: "tokens"}

    with warnings.catch_warnings(), torch.no_grad(), _silent():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            tuple(torch.from_numpy(array) for array in example.values()),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={**dict.fromkeys(names, free), "logits": {0: "rows"}},
        )


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard output: torch prints the whole graph there, from C++, where it refuses a
    model.
    """
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _quantise(path: Path) -> Path:
    """Dynamic int8 of the graph as ONNX Runtime has fused it: products quantised before that stay
    apart from their GELU and bias.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused, quantised = path.with_name("fused.onnx"), path.with_name("int8.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # The quantiser cannot infer types through fused operators; everything that it quantises here is
    # float32.
    with _quiet_root_logger():
        quantize_dynamic(
            str(fused),
            str(quantised),
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    return quantised


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """The quantiser advises through the root logger, which would also be set up by that for good in
    a program that has not done so.
    """
    root, handler = logging.getLogger(), logging.NullHandler()

    def refuse(record: logging.LogRecord) -> bool:
        return record.levelno > logging.WARNING

    root.addHandler(handler)
    root.addFilter(refuse)
    try:
        yield
    finally:
        root.removeFilter(refuse)
        root.removeHandler(handler)
