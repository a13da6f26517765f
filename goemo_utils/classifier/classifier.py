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
from contextlib import nullcontext
from threading import Lock
from typing import NamedTuple, cast

import numpy as np
import torch

from goemo_utils.classifier import batching, checks, int8, onnx_runtime, packed, spread
from goemo_utils.classifier.ahead import one_ahead
from goemo_utils.classifier.unpadded import FORMS, Unpadded
from goemo_utils.errors import DeviceError, ModelError, first_line
from goemo_utils.forward import thresholds
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.inputs import beside_of
from goemo_utils.forward.model import Loaded, load_model
from goemo_utils.forward.threads import on_one_thread
from goemo_utils.records.pairs import joined
from goemo_utils.texts.builtin import BUILTIN, strings

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
    (architecture only); or a model that is loaded already, in the dtype that it shall have.
    ``device``: "cpu", "npu", "npu:0", "cuda:0" or "rehearsal", or a Device that is already open; an
    absent device raises DeviceError and is never replaced by the CPU.
    ``threshold``: a label is given when its probability is above this number, or above its own of
    one a label; None takes the model's own, else 0.3. ``dtype``: None means float32; reduced
    precision runs only when asked: "bfloat16", "float16", or "int8" (dynamic, on a CPU).
    ``backend``: "auto" packs the linear layers on a CPU where a self-check allows it; "eager",
    "packed" and "onnxruntime" insist; "unpadded" is for an NPU, and has run on none.
    ``batch_tokens``: tokens a batch; None takes 2048 on a CPU
    without padding, 512 with it, and more on an accelerator. ``max_length`` is cut to the model's
    limit. ``task``: "auto" takes the checkpoint's word, else one label is a sigmoid and several are
    a softmax, as in transformers' pipeline; "multi_label" or "single_label" says what it does not.

    After construction: ``labels``, ``threshold`` (in use: a number, or one a label), ``task``,
    ``info`` (what was loaded), ``placement`` (proof of where it ran), ``backend_used``,
    ``backend_reason``, ``padded`` (whether batches are); ``truncated`` counts the over-long texts
    that were cut since construction. Threads may share one classifier. Raises ParamsError,
    DeviceError or ModelError in one sentence.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | Loaded = "embedded",
        device: str | Device = "cpu",
        threshold: float | Sequence[float] | None = None,
        dtype: str | None = None,
        attn_implementation: str = "eager",
        backend: str = "auto",
        batch_tokens: int | None = None,
        max_length: int = 512,
        revision: str | None = None,
        seed: int = 0,
        task: str = "auto",
    ) -> None:
        checks.settings(threshold, batch_tokens, max_length, dtype, backend)
        self.dtype = dtype or "float32"
        kind = device.kind if isinstance(device, Device) else str(device).partition(":")[0]
        checks.combination(backend, self.dtype, kind)
        if backend == "onnxruntime":
            onnx_runtime.require()
        self.device = device if isinstance(device, Device) else open_device(str(device))
        loaded = (
            model_path
            if isinstance(model_path, Loaded)
            else load_model(
                os.fspath(model_path),
                revision=revision,
                task=task,
                attn_implementation=attn_implementation,
                seed=seed,
            )
        )
        checks.refuse_without_head(loaded)
        self.labels = list(loaded.labels)
        self.task = loaded.task
        self.info = {**loaded.info, "dtype": self.dtype}
        self.threshold = thresholds.effective(threshold, self.info)
        self.max_length = checks.tokens_at_most(max_length, loaded)
        self.truncated = 0

        self.inputs = loaded.inputs
        # A fast tokenizer keeps its truncation as state and refuses a second thread; the tokens are
        # counted under the same lock.
        self._tokenising = Lock()
        self._session: onnx_runtime.Session | None = None

        # Every dtype starts from the same float32 weights: random ones drawn in another dtype would
        # be other ones.
        weights = getattr(torch, "float32" if self.dtype == "int8" else self.dtype)
        self._model = loaded.model.to(weights).to(self.device.torch_device).eval()
        self.device.attach(self._model)
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
        on_cpu = self.device.kind == "cpu"
        self.batch_tokens = batch_tokens or (
            BATCH_TOKENS_UNPADDED if on_cpu and not self.padded else BATCH_TOKENS[self.device.kind]
        )

    def predict(
        self, texts: Sequence[str] | Sequence[tuple[str, str]]
    ) -> tuple[list[list[tuple[str, float]]], np.ndarray]:
        """Classify a list of texts, or of pairs of texts: ``(results, probs)``.

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

    def warm_up(self, texts: Sequence[str] = BUILTIN, rounds: int = 2) -> None:
        """Classify a few texts and forget the answers, so that the first real call is as fast as
        the next: a device compiles its operators, and libraries fill their caches, on first use.
        """
        cut = self.truncated
        for _ in range(rounds):
            self.predict(texts)
        self.truncated = cut
        self.device.synchronize()

    def predict_stream(
        self, texts: Iterable[str], skip_empty: bool = False
    ) -> Iterator[Prediction]:
        """Classify any number of texts in constant memory, in input order: one Prediction per text.

        With ``skip_empty`` a text of nothing but white space is not shown to the model: no labels,
        ``empty`` set.
        """
        for chunk in self.predict_chunks(texts, skip_empty):
            yield from chunk

    def predict_chunks(
        self, texts: Iterable[str], skip_empty: bool = False, first: int = 0
    ) -> Iterator[list[Prediction]]:
        """As ``predict_stream``, in the lists of texts that are batched together.

        Whoever stops after a list and goes on with the texts behind it, ``first`` being how many
        were answered, gets the very answers of an undisturbed run.
        """
        for place, chunk in batching.numbered(batching.chunks(strings(texts)), first):
            yield self._predictions(chunk, skip_empty, place)

    def predict_ahead(
        self, texts: Iterable[str], skip_empty: bool = False, first: int = 0
    ) -> Iterator[list[Prediction]]:
        """As ``predict_chunks``, a list ahead: the next one is read and begun before an answer is
        given, so that it is computed while this one is written. For texts that are there already,
        not for a pipe that may wait.
        """

        def answers(numbered: tuple[int, list[str]]) -> list[Prediction]:
            place, chunk = numbered
            return self._predictions(chunk, skip_empty, place)

        yield from one_ahead(answers, batching.numbered(batching.chunks(strings(texts)), first))

    def _predictions(self, chunk: list[str], skip_empty: bool, first: int) -> list[Prediction]:
        asked = [i for i, text in enumerate(chunk) if text.strip() or not skip_empty]
        probs, cut = self._classify([chunk[i] for i in asked])
        answers = dict(zip(asked, zip(self._above(probs), probs, cut, strict=True), strict=True))

        predictions = []
        for i, text in enumerate(chunk):
            labels, row, truncated = answers.get(i, ([], None, False))
            empty = not text.strip()
            predictions.append(Prediction(first + i, text, labels, row, truncated, empty))
        return predictions

    def batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """The batches, as positions, in which texts of so many tokens run: of one length each
        where padding would change the model's answers.
        """
        if self.padded:
            batches = batching.token_budget_batches(lengths, self.batch_tokens)
            return self.inputs.apart(batches, lengths)
        at_once = spread.workers(sum(lengths)) if self.side_by_side else 1
        return batching.end_to_end_batches(lengths, self.batch_tokens, at_once)

    @property
    def side_by_side(self) -> bool:
        """Whether batches run on several cores at once: only what is known to be safe from several
        threads does.
        """
        whole = isinstance(self._model, Unpadded) and self.device.kind == "cpu"
        return self._session is not None or whole

    def logits(self, ids: Sequence[list[int]]) -> np.ndarray:
        """Logits float32 ``[n_texts, n_labels]`` of tokenised texts, in the classifier's own
        batches, in input order.
        """
        if len(ids) == 1 and self._takes_one(ids[0]):
            return self._one(ids[0])
        groups = self.inputs.alike(ids)
        if len(groups) > 1:
            apart = [self.logits([ids[i] for i in group]) for group in groups]
            return batching.scatter(groups, apart, len(ids), len(self.labels))

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
        if not self.inputs.pads:
            return longest
        return max(longest, min(batching.width(longest), self.max_length))

    def _start(self, backend: str) -> None:
        """Choose the backend on a real batch and prove where it ran."""
        batch = self._tokenise(list(BUILTIN))
        if backend == "onnxruntime":
            # A long text too: attention within a window, as ModernBERT has it, shows only in texts
            # longer than the window.
            # And a pair of texts, which may need an input of its own.
            texts = self._tokenise([*BUILTIN[:2], " ".join(BUILTIN * 2)])
            rows = self.inputs.apart([batching.by_length(texts)], [len(row) for row in texts])
            examples = [self._padded([texts[i] for i in batch]) for batch in rows]
            examples += self._example_of_a_pair()
            self._session = onnx_runtime.Session(
                self._model, examples, self._activate, int8=self.dtype == "int8"
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
            choice = choose(self._model, lambda model: self._probabilities(batch, model), FORMS)
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
        elif backend == "unpadded":
            from goemo_utils.classifier import on_npu

            self.backend_used = "unpadded"
            self._model, self.backend_reason = on_npu.choose(
                self._model, lambda model: self._probabilities(batch, model)
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

    def _example_of_a_pair(self) -> list[dict[str, np.ndarray]]:
        """A pair of texts as a batch, where the model needs more for it than for single texts; none
        where it takes no pair.
        """
        if self.inputs.pair_fields == self.inputs.fields:
            return []
        ids = self._tokenise([joined(*BUILTIN[:2])])
        try:
            self._forward(ids, self._model)
        except IndexError:  # a tokenizer tells halves apart for which the model has no room
            return []
        return [self._padded(ids)]

    def _probabilities(self, ids: list[list[int]], model: torch.nn.Module) -> np.ndarray:
        """``model``'s answers to all of ``ids`` at once, or by length where it is not padded."""
        batches = self.inputs.apart([batching.by_length(ids)], [len(row) for row in ids])
        rows = [_numpy(self._forward([ids[i] for i in batch], model)) for batch in batches]
        return self._activate(batching.scatter(batches, rows, len(ids), len(self.labels)))

    def _classify(self, texts: list[str]) -> tuple[np.ndarray, list[bool]]:
        """Probabilities float32 ``[n_texts, n_labels]`` of one chunk, and which texts were cut."""
        if not texts:
            return np.zeros((0, len(self.labels)), dtype=np.float32), []
        if groups := batching.pairs_apart(texts):
            return self._classify_apart(texts, groups)
        ids, cut = self.tokenise(texts)
        return self.probabilities(ids), cut

    def _classify_apart(
        self, texts: list[str], groups: Sequence[list[int]]
    ) -> tuple[np.ndarray, list[bool]]:
        """As ``_classify``, the groups of positions one after the other."""
        probs = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        cut = [False] * len(texts)
        for group in groups:
            probs[group], lost = self._classify([texts[i] for i in group])
            for i, one in zip(group, lost, strict=True):
                cut[i] = one
        return probs, cut

    def _tokenise(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, truncated and not padded: padding here would stay set in the
        tokenizer for its next caller.
        """
        try:
            return self.inputs.encode(texts, self.max_length)
        except (TypeError, UnicodeError):
            return self.inputs.encode([_repaired(text) for text in texts], self.max_length)

    def _cut(self, texts: list[str], ids: list[list[int]]) -> list[bool]:
        """Which texts lost tokens. Only those that fill the limit can have, so only they are
        tokenised again, whole.
        """
        full = [i for i, sequence in enumerate(ids) if len(sequence) >= self.max_length]
        cut = [False] * len(texts)
        for i in full:
            whole = self.inputs.encode([_repaired(texts[i])], None)[0]
            cut[i] = len(whole) > self.max_length
        self.truncated += sum(cut)
        return cut

    def _run(self, ids: list[list[int]]) -> torch.Tensor | np.ndarray:
        if self._session:
            return self._session.run(self._padded(ids))
        return self._forward(ids, self._model)

    def _takes_one(self, ids: list[int]) -> bool:
        """Whether the model computes one text by its ids alone."""
        alone = type(self._model) is Unpadded and self.device.kind == "cpu"
        return alone and bool(ids) and not beside_of(ids)

    def _one(self, ids: list[int]) -> np.ndarray:
        """Logits float32 ``[1, n_labels]`` of one text; a short one's on one thread."""
        model = cast(Unpadded, self._model)
        number = on_one_thread() if len(ids) <= model.short else nullcontext()
        with number, torch.inference_mode():
            return _numpy(model.alone(ids))

    def _padded(self, ids: list[list[int]]) -> dict[str, np.ndarray]:
        return self.inputs.pad(ids, self.width(max(map(len, ids))))

    def _forward(self, ids: list[list[int]], model: torch.nn.Module) -> torch.Tensor:
        """Logits ``[n_texts, n_labels]`` of one batch, still on the device."""
        if type(model) is Unpadded and not any(map(beside_of, ids)):
            with torch.inference_mode():
                quick = model.end_to_end(ids)
            if quick is not None:
                return quick

        place = self.device.torch_device
        batch = {name: torch.from_numpy(a).to(place) for name, a in self._padded(ids).items()}
        with torch.inference_mode():
            logits: torch.Tensor = model(**batch).logits
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
        rows, columns = np.nonzero(thresholds.above(probs, self.threshold))
        chances = probs[rows, columns]
        # by text, then by probability, then by column
        order = np.lexsort((columns, -chances, rows))

        answers: list[list[tuple[str, float]]] = [[] for _ in probs]
        given = (part[order].tolist() for part in (rows, columns, chances))
        for row, column, chance in zip(*given, strict=True):
            answers[row].append((self.labels[column], chance))
        return answers


def _repaired(text: str) -> str:
    """The text with U+FFFD for half of a surrogate pair, as wrong decoding leaves them: it is no
    character, and the tokenizer refuses it.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _numpy(output: torch.Tensor | np.ndarray) -> np.ndarray:
    return output if isinstance(output, np.ndarray) else output.float().cpu().numpy()
