"""The path that users run, on the device: the classifier's own ``predict`` in its own batches, and
the loop of the published inference.py, both without hidden states.

What a run compares keeps every hidden state; a device that errs only without them, or only in
predict's batches, is seen here alone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ModelError, ParamsError
from goemo_utils.forward.inputs import real_states
from goemo_utils.forward.run import encode
from goemo_utils.parity.twins import Twins

TEXTS = 512
"""Texts at most that each way answers; packs hold what the run's own way answers to all."""
LOOP_SIZE = 16
"""Batch size of the published inference.py."""


def answers(twins: Twins, job: dict[str, Any], texts: list[str]) -> dict[str, np.ndarray]:
    """Outputs of both ways, float32: logits ``[n_texts, n_labels]``, of an encoder its last hidden
    state ``[n_real_tokens, width]`` by the loop alone.
    """
    asked = texts[:TEXTS]
    max_length = int(job.get("max_length", 512))
    found = {"loop": loop(twins, asked, max_length)}
    if twins.loaded.task != "encoder":
        with suppress(ModelError, ParamsError):  # refused with a sentence: it has no such path
            found["predict"] = predicted(twins, job, asked, max_length)
    twins.attach(twins.candidate)
    return found


@torch.no_grad()
def loop(twins: Twins, texts: list[str], max_length: int) -> np.ndarray:
    """The loop of inference.py: 16 texts at a time, padded by the tokenizer."""
    twins.attach(twins.candidate)
    place, parts = twins.device.torch_device, []
    for batch in twins.batches(texts, max_length, LOOP_SIZE):
        output = twins.candidate(**{name: value.to(place) for name, value in batch.items()})
        if twins.loaded.task == "encoder":
            real = batch["attention_mask"].bool()
            parts.append(real_states(output.last_hidden_state.cpu(), real).float())
        else:
            parts.append(output.logits.cpu().float())
    return torch.cat(parts).numpy()


def predicted(twins: Twins, job: dict[str, Any], texts: list[str], max_length: int) -> np.ndarray:
    """Logits by the classifier itself, in the batches that predict makes."""
    # In another dtype the classifier casts the file's weights itself, which is a part of its way.
    shares = twins.dtype == "float32"
    classifier = GoEmotionsClassifier(
        twins.again() if shares else job["model"],
        twins.device,
        dtype=twins.dtype,
        attn_implementation=job.get("attn_implementation", "eager"),
        max_length=max_length,
        revision=job.get("revision"),
        seed=int(job.get("seed", 0)),
    )
    return np.asarray(classifier.logits(encode(twins.loaded, texts, max_length)), np.float32)
