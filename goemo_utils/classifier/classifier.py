"""The classifier: texts in, labels with probabilities out, in input order, fast on a CPU and the
same on every device.

    from goemo_utils import GoEmotionsClassifier
    results, probs = GoEmotionsClassifier().predict(["I am so happy today!"])

Texts are tokenised in chunks, sorted by length inside a chunk, and run in batches limited by a
budget of tokens, so that padding costs little; on a CPU the linear layers are packed for oneDNN
after a self-check (``backend_used``, ``backend_reason``), and batches run side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch

from goemo_utils.classifier import batching, int8, onnx_runtime, packed, spread
from goemo_utils.classifier.unpadded import FORMS, Unpadded
from goemo_utils.errors import DeviceError, ModelError, ParamsError, first_line
from goemo_utils.forward import thresholds
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.model import Loaded, load_model
from goemo_utils.texts.builtin import BUILTIN, strings

BACKENDS = ("auto", "eager", "packed", "onnxruntime")
DTYPES = ("float32", "float16", "bfloat16", "int8")
# Tokens (rows × longest row) a batch: on a CPU small batches stay in its caches and, with padding,
# hold less of it; a device is fed more at a time.
BATCH_TOKENS = {"cpu": 512, "rehearsal": 512, "cuda": 16384, "npu": 16384}
BATCH_TOKENS_UNPADDED = 2048


class Prediction(NamedTuple):
    """The answer for one text of a stream.

    ``labels`` are (label, probability) above the threshold, most probable first; ``probabilities``
    float32 ``[n_labels]``, None for an empty text that was skipped.
    """

    index: int  # type: ignore[assignment]  # a public name, which hides the tuple's own method
    text: str
    labels: list[tuple[str, float]]
    probabilities: np.ndarray | None
    truncated: bool
    empty: bool


class GoEmotionsClassifier:
    """A text classifier on one device.

    ``model_path``: "embedded", a local folder (str or Path), a hub id, or "random:<one of those>"
    (architecture only). ``device``: "cpu", "npu", "npu:0", "cuda:0" or "rehearsal", or a Device
    that is already open; an absent device raises DeviceError and is never replaced by the CPU.
    ``threshold``: a label is given when its probability is above this number, or above its own of
    one a label; None takes the model's own, else 0.3. ``dtype``: None means float32; reduced
    precision runs only when asked: "bfloat16", "float16", or "int8" (dynamic, on a CPU).
    ``backend``: "auto" packs the linear layers on a CPU where a self-check allows it; "eager",
    "packed" and "onnxruntime" insist. ``batch_tokens``: tokens a batch; None takes 2048 on a CPU
    without padding, 512 with it, and more on an accelerator. ``max_length`` is cut to the model's
    limit.

    After construction: ``labels``, ``threshold`` (in use: a number, or one a label), ``task``,
    ``info`` (what was loaded), ``placement`` (proof of where it ran), ``backend_used``,
    ``backend_reason``, ``padded`` (whether batches are); ``truncated`` counts the over-long texts
    that were cut since construction. Threads may share one classifier. Raises ParamsError,
    DeviceError or ModelError in one sentence.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] = "embedded",
        device: str | Device = "cpu",
        threshold: float | Sequence[float] | None = None,
        dtype: str | None = None,
        attn_implementation: str = "eager",
        backend: str = "auto",
        batch_tokens: int | None = None,
        max_length: int = 512,
        revision: str | None = None,
        seed: int = 0,
    ) -> None:
        _check(threshold, batch_tokens, max_length, dtype, backend)
        self.dtype = dtype or "float32"
        kind = device.kind if isinstance(device, Device) else str(device).partition(":")[0]
        _check_combination(backend, self.dtype, kind)
        if backend == "onnxruntime":
            onnx_runtime.require()
        self.device = device if isinstance(device, Device) else open_device(str(device))
        loaded = load_model(
            os.fspath(model_path),
            revision=revision,
            attn_implementation=attn_implementation,
            seed=seed,
        )
        _refuse_without_head(loaded)
        self.labels = list(loaded.labels)
        self.task = loaded.task
        self.info = {**loaded.info, "dtype": self.dtype}
        self.threshold = thresholds.effective(threshold, self.info)
        self.max_length = tokens_at_most(max_length, loaded)
        self.truncated = 0

        self._tokenizer = loaded.tokenizer
        # A fast tokenizer keeps its truncation as state and refuses a second thread; the tokens are
        # counted under the same lock.
        self._tokenising = Lock()
        self._pad_id = loaded.tokenizer.pad_token_id
        self._session: onnx_runtime.Session | None = None

        # Every dtype starts from the same float32 weights: random ones drawn in another dtype would
        # be other ones.
        weights = getattr(torch, "float32" if self.dtype == "int8" else self.dtype)
        self._model = loaded.model.to(weights).to(self.device.torch_device).eval()
        if self.device.simulated:
            from goemo_utils import rehearsal

            rehearsal.attach(self._model)
        try:
            self._start(backend)
        except (
            ValueError,
            IndexError,
            TypeError,
        ) as error:  # what transformers' models raise for an input that they were not made for
            raise ModelError(
                f"'{loaded.info['id']}' fails on its first batch of texts ({type(error).__name__}:"
                f" {first_line(error)}). Check that config.json and the tokenizer belong to its"
                " weights."
            ) from error
        self.padded = not isinstance(self._model, Unpadded)
        self.batch_tokens = batch_tokens or (
            BATCH_TOKENS[self.device.kind] if self.padded else BATCH_TOKENS_UNPADDED
        )

    def predict(self, texts: Sequence[str]) -> tuple[list[list[tuple[str, float]]], np.ndarray]:
        """Classify a list of texts: ``(results, probs)``.

        ``results``: per text, (label, probability) pairs with probability > threshold (the label's
        own), most probable first; the list may be empty. ``probs``: float32 ``[n_texts,
        n_labels]``, sigmoid for multi_label, softmax for single_label, columns as ``labels``. No
        texts give ``([], array of shape (0, n_labels))``. An empty text is classified as the model
        sees it: only its special tokens. Texts longer than ``max_length`` tokens are cut there and
        counted. Raises NotTexts (a TextsError and a TypeError) for a single string or for items
        that are not strings.
        """
        parts = [self._classify(chunk)[0] for chunk in batching.chunks(strings(texts))]
        probs = (
            np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), dtype=np.float32)
        )
        return self._above(probs), probs

    def predict_stream(
        self, texts: Iterable[str], skip_empty: bool = False
    ) -> Iterator[Prediction]:
        """Classify any number of texts in constant memory, in input order: one Prediction per text.

        With ``skip_empty`` a text of nothing but white space is not shown to the model: no labels,
        ``empty`` set.
        """
        index = 0
        for chunk in batching.chunks(strings(texts)):
            asked = [i for i, text in enumerate(chunk) if text.strip() or not skip_empty]
            probs, cut = self._classify([chunk[i] for i in asked])
            answers = dict(
                zip(asked, zip(self._above(probs), probs, cut, strict=True), strict=True)
            )

            for i, text in enumerate(chunk):
                labels, row, truncated = answers.get(i, ([], None, False))
                yield Prediction(index, text, labels, row, truncated, not text.strip())
                index += 1

    def batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """The batches, as positions, in which texts of so many tokens run."""
        if self.padded:
            return batching.token_budget_batches(lengths, self.batch_tokens)
        return batching.end_to_end_batches(lengths, self.batch_tokens, spread.workers(sum(lengths)))

    @property
    def side_by_side(self) -> bool:
        """Whether batches run on several cores at once: only what is known to be safe from several
        threads does.
        """
        return self._session is not None or isinstance(self._model, Unpadded)

    def logits(self, ids: Sequence[list[int]]) -> np.ndarray:
        """Logits float32 ``[n_texts, n_labels]`` of tokenised texts, in the classifier's own
        batches, in input order.
        """
        batches = self.batches([len(i) for i in ids])
        if self.side_by_side:
            rows = spread.each(lambda batch: _numpy(self._run([ids[i] for i in batch])), batches)
        else:
            # Results are fetched after every batch has been queued, so that a device is never
            # waited for in between.
            rows = [
                _numpy(output)
                for output in [self._run([ids[i] for i in batch]) for batch in batches]
            ]
        return batching.scatter(batches, rows, len(ids), len(self.labels))

    def tokenise(self, texts: list[str]) -> tuple[list[list[int]], list[bool]]:
        """Token ids of each text, cut at ``max_length``, and which texts were cut."""
        with self._tokenising:
            ids = self._tokenise(texts)
            return ids, self._cut(texts, ids)

    def probabilities(self, ids: Sequence[list[int]]) -> np.ndarray:
        """Probabilities float32 ``[n_texts, n_labels]`` of tokenised texts, in input order."""
        return self._activate(self.logits(ids))

    def width(self, longest: int) -> int:
        """The width to which a batch is padded whose longest text has ``longest`` tokens; never
        beyond the limit of the model.
        """
        return max(longest, min(batching.width(longest), self.max_length))

    def _start(self, backend: str) -> None:
        """Choose the backend on a real batch and prove where it ran."""
        batch = self._tokenise(list(BUILTIN))
        if backend == "onnxruntime":
            # A long text too: attention within a window, as ModernBERT has it, shows only in texts
            # longer than the window.
            example = self._padded(self._tokenise([*BUILTIN[:2], " ".join(BUILTIN * 2)]))
            self._session = onnx_runtime.Session(
                self._model, example, self._activate, int8=self.dtype == "int8"
            )
            self.backend_used, self.backend_reason = "onnxruntime", self._session.describe()
            self.placement = self._session.placement()
            self._model = (
                torch.nn.Identity()
            )  # the eager model is let go: the graph holds the weights
            return
        self.backend_used, self.backend_reason = (
            "eager",
            f"Eager, as asked with backend='{backend}'.",
        )
        if backend != "eager" and self.device.kind == "cpu":
            choose = int8.choose if self.dtype == "int8" else packed.choose
            choice = choose(
                self._model,
                lambda model: self._activate(_numpy(self._forward(batch, model))),
                FORMS,
            )
            if self.dtype == "int8" and choice.backend != "packed":
                raise ModelError(
                    f"dtype='int8' cannot be had: {choice.reason} Use dtype='float32', or"
                    " backend='onnxruntime' for ONNX Runtime's int8."
                )
            if backend == "packed" and choice.backend != "packed":
                raise ModelError(
                    f"backend='packed' was asked and cannot be had: {choice.reason} Use"
                    " backend='auto' to accept eager."
                )
            # The eager model is let go here: only one copy of the weights stays in memory.
            self._model, self.backend_used, self.backend_reason = (
                choice.model,
                choice.backend,
                choice.reason,
            )
        elif backend == "auto":
            self.backend_reason = (
                f"Eager: packing is for the CPU, and this runs on {self.device.torch_device}."
            )
        self.placement = self.device.proof(self._model, self._forward(batch[:1], self._model))
        if not self.placement["on_device"]:
            raise DeviceError(
                f"The model was to run on {self.device.torch_device}, and its output came from"
                f" {self.placement['output_device']}."
            )

    def _classify(self, texts: list[str]) -> tuple[np.ndarray, list[bool]]:
        """Probabilities float32 ``[n_texts, n_labels]`` of one chunk, and which texts were cut."""
        if not texts:
            return np.zeros((0, len(self.labels)), dtype=np.float32), []
        ids, cut = self.tokenise(texts)
        return self.probabilities(ids), cut

    def _tokenise(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, truncated and not padded: padding here would stay set in the
        tokenizer for its next caller.
        """
        options = {"truncation": True, "max_length": self.max_length}
        ids: list[list[int]]
        try:
            ids = self._tokenizer(texts, **options)["input_ids"]
        except (TypeError, UnicodeError):
            ids = self._tokenizer([_repaired(text) for text in texts], **options)["input_ids"]
        return ids

    def _cut(self, texts: list[str], ids: list[list[int]]) -> list[bool]:
        """Which texts lost tokens. Only those that fill the limit can have, so only they are
        tokenised again, whole.
        """
        full = [i for i, sequence in enumerate(ids) if len(sequence) >= self.max_length]
        cut = [False] * len(texts)
        for i in full:
            whole = self._tokenizer(_repaired(texts[i]), truncation=False, verbose=False)[
                "input_ids"
            ]
            cut[i] = len(whole) > self.max_length
        self.truncated += sum(cut)
        return cut

    def _run(self, ids: list[list[int]]) -> torch.Tensor | np.ndarray:
        return (
            self._session.run(*self._padded(ids))
            if self._session
            else self._forward(ids, self._model)
        )

    def _padded(self, ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        return batching.pad(ids, self._pad_id, self.width(max(map(len, ids))))

    def _forward(self, ids: list[list[int]], model: torch.nn.Module) -> torch.Tensor:
        """Logits ``[n_texts, n_labels]`` of one batch, still on the device."""
        tokens, mask = (
            torch.from_numpy(array).to(self.device.torch_device) for array in self._padded(ids)
        )
        with torch.inference_mode():
            logits: torch.Tensor = model(input_ids=tokens, attention_mask=mask).logits
        return logits

    def _activate(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities in float32, computed on the host: they do not depend on the device."""
        values = torch.from_numpy(logits)
        chances = values.sigmoid() if self.task == "multi_label" else values.softmax(-1)
        return chances.numpy()

    def _above(self, probs: np.ndarray) -> list[list[tuple[str, float]]]:
        """(label, probability) pairs above the threshold, or each above its own, most probable
        first, for every row.
        """
        above = probs > np.asarray(self.threshold)
        order = np.argsort(np.where(above, -probs, 1), axis=1, kind="stable")
        return [
            [(self.labels[j], float(row[j])) for j in ranks[:count]]
            for row, ranks, count in zip(probs, order, above.sum(axis=1), strict=True)
        ]


def tokens_at_most(max_length: int, loaded: Loaded) -> int:
    """The limit in tokens that is in use: the model's own where that is lower.

    Raises ParamsError for one that leaves no room: a limit below the special tokens is ignored by
    the tokenizer, and one that holds nothing else answers every text alike.
    """
    limit, special = (
        min(max_length, loaded.max_length),
        loaded.tokenizer.num_special_tokens_to_add(),
    )
    if limit <= special:
        raise ParamsError(
            f"max_length is {limit} and the tokenizer of '{loaded.info['id']}' adds {special}"
            f" tokens to each text: expected at least {special + 1}."
        )
    return limit


def _repaired(text: str) -> str:
    """The text with U+FFFD for half of a surrogate pair, as wrong decoding leaves them: it is no
    character, and the tokenizer refuses it.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _numpy(output: torch.Tensor | np.ndarray) -> np.ndarray:
    return output if isinstance(output, np.ndarray) else output.float().cpu().numpy()


def _check(
    threshold: Any, batch_tokens: int | None, max_length: int, dtype: str | None, backend: str
) -> None:
    thresholds.effective(threshold, {})
    for name, value in (("batch_tokens", batch_tokens), ("max_length", max_length)):
        if (value is not None or name == "max_length") and (
            isinstance(value, bool) or not isinstance(value, Integral) or value < 1
        ):
            raise ParamsError(
                f"{name} is {value!r}; it must be a whole number of tokens, at least 1."
            )
    if dtype is not None and dtype not in DTYPES:
        raise ParamsError(f"Unknown dtype '{dtype}': expected one of {', '.join(DTYPES)}.")
    if backend not in BACKENDS:
        raise ParamsError(f"Unknown backend '{backend}': expected one of {', '.join(BACKENDS)}.")


def _check_combination(backend: str, dtype: str, device: str) -> None:
    if dtype == "int8" and backend == "eager":
        raise ParamsError(
            "dtype='int8' has no eager form and backend='eager' was asked: leave the backend at"
            " 'auto'."
        )
    if dtype == "int8" and device != "cpu":
        raise ParamsError(f"dtype='int8' is for the CPU, and device='{device}' was asked.")
    if backend == "onnxruntime" and dtype in ("float16", "bfloat16"):
        raise ParamsError(
            f"backend='onnxruntime' offers float32 and int8, and dtype='{dtype}' was asked."
        )
    if backend in ("onnxruntime", "packed") and device != "cpu":
        raise ParamsError(f"backend='{backend}' is for the CPU, and device='{device}' was asked.")


def _refuse_without_head(loaded: Loaded) -> None:
    name = loaded.info["id"]
    if loaded.task == "encoder":
        raise ModelError(
            f"'{name}' is an encoder without a trained classification head, so it has no labels to"
            " predict. Use a fine-tuned classifier."
        )
    untrained: list[Any] = loaded.info.get("untrained") or []
    if untrained and loaded.info.get("source") != "random":
        raise ModelError(
            f"'{name}' leaves {', '.join(map(str, untrained))} untrained, so its labels would be"
            " random. Use a fine-tuned classifier."
        )
