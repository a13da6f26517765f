"""What is refused before a classifier is made: settings that are wrong or contradict each other,
and models without a trained head.
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

from goemo_utils.errors import ModelError, ParamsError
from goemo_utils.forward import thresholds
from goemo_utils.forward.foreign import pickled_head
from goemo_utils.forward.model import Loaded

BACKENDS = ("auto", "eager", "packed", "unpadded", "onnxruntime")
DTYPES = ("float32", "float16", "bfloat16", "int8")


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


def settings(
    threshold: Any, batch_tokens: int | None, max_length: int, dtype: str | None, backend: str
) -> None:
    """Raise ParamsError for a setting of the wrong kind or out of range."""
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


def combination(backend: str, dtype: str, device: str) -> None:
    """Raise ParamsError for settings that contradict each other."""
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
    if backend == "unpadded" and device != "npu":
        raise ParamsError(
            f"backend='unpadded' is for an NPU, and device='{device}' was asked: on a CPU leave the"
            " backend at 'auto', which computes no padding where it can."
        )
    if backend in ("onnxruntime", "packed") and device != "cpu":
        raise ParamsError(f"backend='{backend}' is for the CPU, and device='{device}' was asked.")


def refuse_without_head(loaded: Loaded) -> None:
    """Raise ModelError for a model that has no labels to predict."""
    name = loaded.info["id"]
    if loaded.task == "encoder":
        path = loaded.info.get("path")
        head = pickled_head(Path(path)) if path else ""
        raise ModelError(
            f"'{name}' is an encoder without a trained classification head, so it has no labels to"
            f" predict. Use a fine-tuned classifier.{head}"
        )
    untrained: list[Any] = loaded.info.get("untrained") or []
    if untrained and loaded.info.get("source") != "random":
        raise ModelError(
            f"'{name}' leaves {', '.join(map(str, untrained))} untrained, so its labels would be"
            " random. Use a fine-tuned classifier."
        )
