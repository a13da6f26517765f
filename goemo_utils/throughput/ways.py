"""The ways of running one classifier that are timed against each other: what published ports do,
what libraries offer, and this package.

Every way takes texts and gives probabilities on the host (of a model without a head: the last
hidden state of the first token), so that tokenising, transfer and the way back are inside every
timing.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from goemo_utils.classifier import batching, onnx_runtime, spread
from goemo_utils.classifier.checks import tokens_at_most
from goemo_utils.classifier.classifier import BATCH_TOKENS, GoEmotionsClassifier
from goemo_utils.errors import GoemoError
from goemo_utils.forward import thresholds
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.model import Loaded, load_model
from goemo_utils.records.pairs import PAIR, halves
from goemo_utils.texts.builtin import BUILTIN
from goemo_utils.throughput import conditions, openvino


class Unavailable(GoemoError):
    """This way cannot run here; the message is the reason that its row shows."""


@dataclass
class Way:
    """One configuration, built and ready. ``run(texts)`` gives float32 ``[n_texts, width]`` in
    input order.
    """

    id: str
    configuration: str
    device: Device
    dtype: str
    batch_size: int | None
    run: Callable[[Sequence[str]], np.ndarray]
    batches: Callable[[list[int]], list[list[int]]]
    notes: dict[str, Any] = field(default_factory=dict)
    width: Callable[[int], int] = lambda longest: longest
    padded: bool = True


class Bench:
    """One model and the ways to run it. Ways on the CPU in one dtype share their weights."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.batch_size = int(job.get("batch_size") or 16)
        self.dtype = job.get("dtype") or "float32"
        self.attention = job.get("attn_implementation") or "eager"
        # Ways on the CPU share their weights; the keys are dtype and attention.
        self._on_cpu = cache(self._load)

    def build(self, arm: dict[str, Any]) -> Way:
        """Build the way that ``arm`` names: ``{"id", "device", "method", "dtype", "batch_size",
        …}``.

        ``method`` is padded (default) | sorted | classifier | pipeline | onnx | openvino. A device
        of its own gets the job's dtype, the CPU float32 unless ``arm`` says otherwise. Raises
        Unavailable with the reason, or the DeviceError of an absent device.
        """
        device = open_device(
            arm.get("device") or "cpu",
            arm.get("numerics") or "exact",
            arm.get("fault"),
            arm.get("remedy") or "none",
        )
        dtype = arm.get("dtype") or ("float32" if device.kind == "cpu" else self.dtype)
        make: Callable[..., Way] = getattr(self, f"_{arm.get('method') or 'padded'}")

        return make(arm, device, dtype)

    def loaded(self) -> Loaded:
        """The float32 model on the CPU and its tokenizer."""
        return self._on_cpu("float32", self.attention)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Real tokens of each text."""
        return [len(ids) for ids in self.encode(self.loaded(), texts)]

    def _load(self, dtype: str, attention: str) -> Loaded:
        """A model in ``dtype`` on the CPU. Every dtype is cast from the same float32 weights:
        random ones drawn in another would be other ones.
        """
        job = self.job
        loaded = load_model(
            job["model"],
            job.get("revision"),
            job.get("task") or "auto",
            "float32",
            attention,
            int(job.get("seed") or 0),
        )
        loaded.model = loaded.model.to(getattr(torch, dtype))

        return loaded

    def encode(self, loaded: Loaded, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, truncated and not padded."""
        return loaded.inputs.encode(texts, self.limit(loaded))

    def limit(self, loaded: Loaded) -> int:
        """Tokens a text at most."""
        return tokens_at_most(int(self.job.get("max_length") or 512), loaded)

    def _padded(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        size = int(arm.get("batch_size") or self.batch_size)
        return self._torch(
            arm,
            device,
            dtype,
            size,
            f"padded batches of {size}",
            lambda lengths: batching.fixed_batches(len(lengths), size),
        )

    def _sorted(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        size = int(arm.get("batch_size") or self.batch_size)
        return self._torch(
            arm,
            device,
            dtype,
            size,
            f"length-sorted batches of {size}",
            lambda lengths: batching.sorted_batches(lengths, size),
        )

    def _torch(
        self,
        arm: dict[str, Any],
        device: Device,
        dtype: str,
        size: int,
        name: str,
        plan: Callable[[list[int]], list[list[int]]],
    ) -> Way:
        attention = arm.get("attn_implementation") or self.attention
        loaded = (
            self._on_cpu(dtype, attention) if device.kind == "cpu" else self._load(dtype, attention)
        )
        model = loaded.model.to(device.torch_device).eval()
        if arm.get("compile"):
            model = _compiled(model, device)

        def run(texts: Sequence[str]) -> np.ndarray:
            ids = self.encode(loaded, texts)
            lengths = [len(i) for i in ids]
            apart = loaded.inputs.apart(plan(lengths), lengths)
            batches = [run for batch in apart for run in loaded.inputs.neighbours(batch, ids)]
            outputs = [forward(loaded, model, device, [ids[i] for i in batch]) for batch in batches]
            rows = [output.float().cpu().numpy() for output in outputs]
            return activate(
                loaded.task, batching.scatter(batches, rows, len(ids), rows[0].shape[1])
            )

        compiled = ", torch.compile" if arm.get("compile") else ""
        return Way(
            arm["id"],
            f"{name}, {attention}, {dtype}{compiled}{_place(device)}",
            device,
            dtype,
            size,
            run,
            plan,
            {"loaded": loaded},
        )

    def _classifier(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        self._needs_head("The classifier")
        if dtype == "bfloat16" and device.kind == "cpu" and conditions.has_bfloat16() is False:
            raise Unavailable("this CPU has no bfloat16 instructions")
        job = self.job
        one = GoEmotionsClassifier(
            job["model"],
            device=device.requested,
            dtype=dtype,
            backend=arm.get("backend") or "auto",
            batch_tokens=arm.get("batch_tokens"),
            max_length=int(job.get("max_length") or 512),
            attn_implementation=arm.get("attn_implementation") or self.attention,
            revision=job.get("revision"),
            seed=int(job.get("seed") or 0),
            task=job.get("task") or "auto",
        )

        kind = {
            "packed": "packed linear layers" + (", padded" if one.padded else ", no padding"),
            "eager": "eager",
            "onnxruntime": "ONNX Runtime",
        }[one.backend_used]

        if arm.get("attn_implementation") not in (None, self.attention):
            if not one.padded:
                raise Unavailable(
                    "without padding the classifier always attends with sdpa, so this is the rung"
                    " before"
                )
            kind += f", {arm['attn_implementation']}"

        beside = (
            f", up to {spread.at_once()} side by side"
            if one.side_by_side and spread.at_once() > 1
            else ""
        )

        return Way(
            arm["id"],
            f"goemo classifier: {kind}, {one.batch_tokens}-token batches{beside},"
            f" {dtype}{_place(device)}",
            device,
            dtype,
            None,
            lambda texts: one.predict(texts)[1],
            one.batches,
            {
                "backend": one.backend_used,
                "backend_reason": one.backend_reason,
                "logits": one.logits,
            },
            one.width,
            one.padded,
        )

    def _onnx(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        if absent := onnx_runtime.missing():
            raise Unavailable(f"not installed: {' and '.join(absent)} (pip install 'goemo[onnx]')")
        way = self._classifier({**arm, "backend": "onnxruntime"}, device, dtype)
        way.configuration = f"ONNX Runtime, {way.configuration.partition(': ONNX Runtime, ')[2]}"
        return way

    def _openvino(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        self._needs_head("OpenVINO's row")
        if absent := openvino.missing(dtype):
            extra = "pip install 'goemo[openvino]'"
            raise Unavailable(f"not installed: {' and '.join(absent)} ({extra})")
        if dtype == "bfloat16" and conditions.has_bfloat16() is False:
            raise Unavailable("this CPU has no bfloat16 instructions")

        loaded = self._on_cpu("float32", self.attention)
        long = " ".join(BUILTIN * 2)
        graph = openvino.Graph(loaded, dtype, [*BUILTIN, long], self.limit(loaded))
        tokens = int(arm.get("batch_tokens") or BATCH_TOKENS["cpu"])

        def plan(lengths: list[int]) -> list[list[int]]:
            batches = batching.token_budget_batches(lengths, tokens)
            return loaded.inputs.apart(batches, lengths)

        def width(longest: int) -> int:
            most = min(batching.width(longest), self.limit(loaded))
            return max(longest, most) if loaded.inputs.pads else longest

        def run(texts: Sequence[str]) -> np.ndarray:
            ids = self.encode(loaded, texts)
            batches = plan([len(row) for row in ids])
            groups = [[ids[i] for i in batch] for batch in batches]
            rows = graph.logits(
                [loaded.inputs.pad(group, width(max(map(len, group)))) for group in groups]
            )
            logits = batching.scatter(batches, rows, len(ids), len(loaded.labels))
            return activate(loaded.task, logits)

        kind = "int8 by NNCF" if dtype == "int8" else dtype
        return Way(
            arm["id"],
            f"OpenVINO {graph.version}, {tokens}-token batches, up to {spread.at_once()} side by"
            f" side, {kind}",
            device,
            dtype,
            None,
            run,
            plan,
            {},
            width,
        )

    def _pipeline(self, arm: dict[str, Any], device: Device, dtype: str) -> Way:
        from transformers import TextClassificationPipeline

        self._needs_head("transformers.pipeline for text classification")
        size = int(arm.get("batch_size") or self.batch_size)
        loaded = (
            self._on_cpu(dtype, self.attention)
            if device.kind == "cpu"
            else self._load(dtype, self.attention)
        )

        # The pipeline pads with the tokenizer and leaves its padding set, so it gets a tokenizer of
        # its own.
        pipeline = TextClassificationPipeline(
            model=loaded.model.to(device.torch_device),
            tokenizer=copy.deepcopy(loaded.tokenizer),
            device=torch.device(device.torch_device),
        )
        place = {label: i for i, label in enumerate(loaded.labels)}
        limit = self.limit(loaded)
        function = "sigmoid" if loaded.task == "multi_label" else "softmax"

        def run(texts: Sequence[str]) -> np.ndarray:
            out = np.full((len(texts), len(place)), np.nan, dtype=np.float32)
            asked: list[Any] = [_as_pipeline(text) for text in texts]
            answers: Any = pipeline(
                asked,
                batch_size=size,
                top_k=None,
                function_to_apply=function,
                truncation=True,
                max_length=limit,
            )
            for row, answer in enumerate(answers):
                for entry in answer:
                    out[row, place[entry["label"]]] = entry["score"]
            return out

        return Way(
            arm["id"],
            f"transformers.pipeline, batch {size}, {dtype}{_place(device)}",
            device,
            dtype,
            size,
            run,
            lambda lengths: batching.fixed_batches(len(lengths), size),
        )

    def _needs_head(self, what: str) -> None:
        if self.loaded().task == "encoder":
            raise Unavailable(f"{what} needs a classification head, and the model has none")


def _as_pipeline(text: str) -> str | dict[str, str]:
    """A text as transformers' pipeline takes it: both texts of a pair by their names."""
    if PAIR not in text:
        return text
    first, second = halves(text)
    return {"text": first, "text_pair": second}


def _compiled(model: torch.nn.Module, device: Device) -> torch.nn.Module:
    """The model under torch.compile for shapes that change. Raises Unavailable where no compiler
    serves the device.
    """
    if device.simulated:
        raise Unavailable("torch.compile has no code generator for the simulated device")
    if device.kind == "npu" and importlib.util.find_spec("torchair") is None:
        raise Unavailable("torch.compile on an NPU needs torchair, which is not installed")
    # Its type says a callable; of a module it makes a module.
    compiled: torch.nn.Module = torch.compile(model, dynamic=True)  # type: ignore[assignment]
    return compiled


def _place(device: Device) -> str:
    if device.kind == "cpu":
        return ""
    return f" on {device.requested}{' (SIMULATED)' if device.simulated else ''}"


def forward(
    loaded: Loaded, model: torch.nn.Module, device: Device, ids: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Logits of one padded batch, or the first token's last hidden state of a model without a head;
    still on the device.
    """
    batch = loaded.inputs.tensors(ids)
    with torch.inference_mode():
        output = model(**{name: tensor.to(device.torch_device) for name, tensor in batch.items()})
    first: torch.Tensor = (
        output.last_hidden_state[:, 0] if loaded.task == "encoder" else output.logits
    )
    return first


def activate(task: str, values: np.ndarray) -> np.ndarray:
    """Probabilities of logits, on the host in float32; hidden states stay as they are."""
    tensor = torch.from_numpy(values)
    if task == "multi_label":
        return tensor.sigmoid().numpy()
    if task == "single_label":
        return tensor.softmax(-1).numpy()
    return tensor.numpy()


def agreement(
    reference: np.ndarray, answer: np.ndarray, threshold: float | np.ndarray, head: bool = True
) -> dict[str, Any]:
    """How far an answer is from the reference: largest and mean difference, and what it changes in
    decisions.

    ``top1_changed``: texts whose most probable label differs; ``sets_changed``: texts whose set of
    labels above ``threshold`` (one number, or one a label) differs; ``flips``: single decisions
    that differ. None where there are no labels. NaN in either makes the differences NaN, and every
    such text changed.
    """
    difference = np.abs(answer.astype(np.float64) - reference.astype(np.float64))
    told: dict[str, Any] = {
        "n_texts": len(reference),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "top1_changed": None,
        "sets_changed": None,
        "flips": None,
    }

    if head:
        broken = ~np.isfinite(difference).all(axis=1)
        decided = thresholds.above(answer, threshold) != thresholds.above(reference, threshold)
        decided[broken] = True
        told |= {
            "top1_changed": int(((answer.argmax(1) != reference.argmax(1)) | broken).sum()),
            "sets_changed": int(decided.any(axis=1).sum()),
            "flips": int(decided.sum()),
        }

    return told
