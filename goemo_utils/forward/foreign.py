"""Folders and files of other makes: what they hold instead of safetensors of a whole model, and by
whose names; each as a sentence with what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from goemo_utils.errors import ModelError, RecordError
from goemo_utils.records.record import read_json
from goemo_utils.records.weights import SINGLE

# What puts a name of its own before every weight, by that name.
WRAPPERS = {
    "_orig_mod": "torch.compile (save model._orig_mod instead)",
    "module": "DataParallel or DistributedDataParallel (save model.module instead)",
    "_fsdp_wrapped_module": "FullyShardedDataParallel (save its full state dict)",
    "_forward_module": "a Lightning strategy (save the model inside it)",
}
ADAPTER = "adapter_config.json"
_SAVE = "give the folder that it was made from, or save the model with save_pretrained()"
# Other forms of a model, by the files that show them: what they are, and what to do.
OTHER_FORMATS = {
    "*.onnx": ("a graph for ONNX Runtime", _SAVE),
    "onnx/*.onnx": ("a graph for ONNX Runtime", _SAVE),
    "*.gguf": ("a model quantised for llama.cpp", _SAVE),
    "tf_model.h5": ("TensorFlow's weights", "convert them with a transformers 4 that has from_tf"),
    "*.ckpt.index": ("a checkpoint of TensorFlow 1", _SAVE),
    "saved_model.pb": ("TensorFlow's SavedModel", _SAVE),
    "saved_model/*/saved_model.pb": ("TensorFlow's SavedModel", _SAVE),
    "*.keras": ("a model of Keras", _SAVE),
    "flax_model.msgpack": (
        "Flax's weights",
        "convert them with a transformers 4 that has from_flax",
    ),
    "openvino_model.xml": ("a graph for OpenVINO", _SAVE),
    "openvino/*.xml": ("a graph for OpenVINO", _SAVE),
    "*.tflite": ("a model for TensorFlow Lite", _SAVE),
    "*.mlpackage": ("a model for Core ML", _SAVE),
    "coreml/*": ("a model for Core ML", _SAVE),
    "rust_model.ot": ("weights for rust-bert", _SAVE),
    "*.engine": ("an engine of TensorRT", _SAVE),
    "*.om": ("an offline model for Ascend", _SAVE),
    "config.cfg": ("a pipeline of spaCy", "give a model that transformers saved"),
    "*/model.safetensors": ("a folder inside that does", "give that one"),
    "*/model.safetensors.index.json": ("a folder inside that does", "give that one"),
}
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.joblib")
LFS = b"version https://git-lfs"


def held_instead(folder: Path) -> str:
    """What a folder without safetensors holds, and what to do, as the end of a sentence."""
    for pattern, (kind, advice) in OTHER_FORMATS.items():
        files = sorted(str(path.relative_to(folder)) for path in folder.glob(pattern))
        if files:
            return f", but {kind} ({files[0]}): {advice}"
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        return (
            f", only {', '.join(pickled[:3])}: pickled weights are never loaded. Convert them with"
            " save_pretrained(safe_serialization=True) in a place you trust"
        )
    return f". Expected {SINGLE}, or shards with their index, beside config.json"


def check_fetched(path: Path) -> None:
    """Raise ModelError for a pointer of Git LFS in the place of a file."""
    with path.open("rb") as file:
        pointer = file.read(len(LFS)) == LFS
    if pointer:
        raise ModelError(
            f"{path} is a pointer of Git LFS, and not the file that it stands for; expected the"
            " weights themselves. Run `git lfs pull` in the clone, or fetch the file again."
        )


def adapter(folder: Path) -> str:
    """The sentence on a folder that holds an adapter."""
    try:
        given = read_json(folder / ADAPTER)
    except RecordError:
        given = {}
    described = given if isinstance(given, dict) else {}
    kind = str(described.get("peft_type") or "").replace("LORA", "LoRA") or "PEFT"
    base = described.get("base_model_name_or_path") or described.get("model_name")
    of = f" for '{base}'" if base else ""
    if (folder / SINGLE).is_file():
        return (
            f"{folder} holds a {kind} adapter{of} ({ADAPTER}) beside {SINGLE}, and which of them is"
            " the model is not said: expected one. Remove the adapter's files where it is merged,"
            " or merge it first (in PEFT: merge_and_unload(), then save_pretrained)."
        )
    return (
        f"{folder} holds a {kind} adapter{of} ({ADAPTER}), not a whole model: merge it into its"
        " base model (in PEFT: merge_and_unload(), then save_pretrained) and give that folder."
    )


def pickled_head(folder: Path) -> str:
    """A clause on a head that SetFit keeps as a pickle beside its encoder; empty without one."""
    heads = [name for name in ("model_head.pkl", "model_head.joblib") if (folder / name).is_file()]
    if not heads:
        return ""
    return (
        f" Its head is SetFit's, in {heads[0]}: pickled, and never loaded; train a classifier with"
        " `goemo finetune` on the same texts."
    )


def strange_weights(stored: Iterable[str], expected: Iterable[str], base: str) -> str | None:
    """Why the weights on disk do not fit the model by their names, as the end of a sentence; None
    where most do.

    Names: those of the files, those of the model, and ``base``, under which classes for a task
    have the encoder.
    """
    stored, wanted = set(stored), set(expected)
    wanted |= {f"{base}.{name}" for name in wanted}  # transformers reads an encoder of either
    inside = {name.removeprefix(f"{base}.") for name in wanted}
    if not stored or len(stored & (inside | wanted)) * 2 >= len(stored):
        return None
    if any(".lora_" in name or name.startswith("base_model.model.") for name in stored):
        return (
            "they are those of a LoRA adapter or of a model inside PEFT: merge it into its base"
            " model (merge_and_unload(), then save_pretrained) and give that folder"
        )

    prefix = _prefix(stored, inside | wanted)
    if prefix is None:
        return None

    begun = [name for name in stored if name.startswith(prefix)]
    rest = {name.removeprefix(prefix) for name in begun}
    if len(rest & wanted) < len(rest & inside) and len(begun) < len(stored):
        return (
            f"those of its encoder begin with '{prefix}', as a class of your own names them, and"
            f" transformers has them under '{base}.': rename them"
        )

    wrappers = [WRAPPERS[part] for part in prefix.split(".") if part in WRAPPERS]
    by = " in ".join(wrappers) or "a class that holds the model inside (save that model instead)"
    some = "every name begins" if len(begun) == len(stored) else "most names begin"
    return f"{some} with '{prefix}', as {by} leaves them"


def _prefix(stored: set[str], known: set[str]) -> str | None:
    """What stands before most of the names that would be known without it; None without such."""
    found: Counter[str] = Counter()
    for name in stored:
        parts = name.split(".")
        for length in range(1, min(4, len(parts))):
            if ".".join(parts[length:]) in known:
                found[".".join(parts[:length]) + "."] += 1
    prefix, count = max(found.items(), key=lambda item: item[1], default=("", 0))
    return prefix if count * 2 >= len(stored) else None
