"""What a checkpoint's config.json states by which it cannot be loaded, in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goemo_utils.errors import ModelError
from goemo_utils.forward.task import DECLARED
from goemo_utils.records.weights import stated_in


def check_plain(folder: Path) -> None:
    """Raise ModelError for a folder without config.json, for a model that needs code of its own,
    and for one whose weights are quantised.
    """
    from transformers import CONFIG_MAPPING

    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"{folder} has no config.json: expected it beside the weights, as save_pretrained()"
            " writes it. Fetch the checkpoint again."
        )
    stated = stated_in(path)
    if not isinstance(stated, dict):
        return
    kind = stated.get("model_type")
    if stated.get("auto_map") and kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{path} says model_type {kind!r} and names code of its own (auto_map), which is never"
            " run here; expected a model type that transformers knows. Where transformers has the"
            " same architecture, save the model as that type."
        )
    quantised = stated.get("quantization_config")
    if isinstance(quantised, dict):
        by = quantised.get("quant_method") or "a quantiser"
        raise ModelError(
            f"{path} says that the weights are quantised (quantization_config, {by}); expected"
            " plain weights in float32, float16 or bfloat16. Give the model that was quantised."
        )


def wrongly_stated(folder: Path) -> str | None:
    """A sentence on what in a config.json is no configuration, after transformers refused it; None
    where nothing known is.
    """
    path = folder / "config.json"
    stated = stated_in(path)
    if not isinstance(stated, dict):
        return f"{path} holds no object; expected one of settings, such as model_type. Correct it."

    found = (
        _model_type(stated)
        or _dtype(stated)
        or _labels(stated)
        or _number_of_labels(stated)
        or _problem_type(stated)
    )
    return f"{path} {found} Correct it." if found else None


def _model_type(stated: dict[str, Any]) -> str | None:
    import transformers

    kind = stated.get("model_type")
    if kind is None:
        return 'names no model_type; expected one that transformers knows, such as "bert".'
    if kind not in transformers.CONFIG_MAPPING:
        return (
            f"says model_type {kind!r}, which transformers {transformers.__version__} does not"
            " know; expected one that it knows. Where a newer transformers does, update it, else:"
        )
    return None


def _dtype(stated: dict[str, Any]) -> str | None:
    import torch

    for key in ("dtype", "torch_dtype"):
        word = stated.get(key)
        if isinstance(word, str) and not isinstance(getattr(torch, word, None), torch.dtype):
            return f"says {key} {word!r}; expected float32, float16 or bfloat16."
    return None


def _labels(stated: dict[str, Any]) -> str | None:
    names = stated.get("id2label")
    if names is None:
        return None
    if not isinstance(names, dict):
        return f"gives id2label as {_kind(names)}; expected an object of number to name."
    numbered = all(str(key).strip().isdigit() for key in names)
    if not numbered:
        key = next(key for key in names if not str(key).strip().isdigit())
        return f"has {key!r} as a key of id2label; expected the numbers 0 to {len(names) - 1}."
    value = next((name for name in names.values() if not isinstance(name, str)), None)
    if value is not None or None in names.values():
        return f'names a label {value!r} in id2label; expected text in quotes, such as "{value}".'
    return None


def _number_of_labels(stated: dict[str, Any]) -> str | None:
    if stated.get("problem_type") == "single_label_classification" and _outputs(stated) == 1:
        return (
            "declares single_label_classification with one label; expected two labels or more, or"
            " multi_label_classification, whose sigmoid one label can have."
        )
    return None


def _outputs(stated: dict[str, Any]) -> int | None:
    names = stated.get("id2label")
    return len(names) if isinstance(names, dict) else stated.get("num_labels")


def _problem_type(stated: dict[str, Any]) -> str | None:
    given = stated.get("problem_type")
    if given in (*DECLARED, "regression"):
        return None
    known = ", ".join(name for name in DECLARED if name)
    return f"says problem_type {given!r}; expected {known}, or none."


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "text", int: "a number", bool: "true or false"}
    return kinds.get(type(value), f"a {type(value).__name__}")
