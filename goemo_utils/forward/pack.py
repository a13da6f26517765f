"""A pack: what one forward run leaves on disk, as safetensors beside a JSON manifest. Nothing in it
is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goemo_utils.boundary.parts import replacing
from goemo_utils.errors import PackError, RecordError
from goemo_utils.records.record import read_json, sha256_file, write_json

SCHEMA = "goemo.pack/1"
REQUIRED = (
    "schema",
    "role",
    "model",
    "task",
    "texts_digest",
    "input_ids_digest",
    "n_texts",
    "dtype",
    "device",
    "simulated",
    "tensors",
    "sha256",
)


# What a manifest may hold where a judgement reads it; a key that is absent is as good as null,
# where null is allowed.
DTYPES = ("float32", "float16", "bfloat16", "float64")
TASKS = ("multi_label", "single_label", "encoder")
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "n_texts": ("a whole number", lambda v: _whole(v)),
    "n_tokens": ("a whole number or null", lambda v: v is None or _whole(v)),
    "dtype": (f"one of {', '.join(DTYPES)}", lambda v: v in DTYPES),
    "task": (f"one of {', '.join(TASKS)}", lambda v: v in TASKS),
    "role": ("a text", lambda v: isinstance(v, str)),
    "simulated": ("true or false", lambda v: isinstance(v, bool)),
    "model": ("an object", lambda v: isinstance(v, dict)),
    "device": ("an object", lambda v: isinstance(v, dict)),
    "placement": ("an object or null", lambda v: v is None or isinstance(v, dict)),
    "labels": ("a list of texts or null", lambda v: v is None or _list_of(str, v)),
    "fallbacks": ("a list of texts or null", lambda v: v is None or _list_of(str, v)),
    "model.thresholds": (
        "a list of probabilities or null",
        lambda v: v is None or (_list_of(float, v) and all(0 < t < 1 for t in v)),
    ),
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


@dataclass(frozen=True)
class Pack:
    """Tensors by name (numpy arrays on the CPU) and the manifest that says where they come from."""

    tensors: dict[str, np.ndarray]
    manifest: dict[str, Any]
    path: Path

    @property
    def output(self) -> np.ndarray:
        """What is compared: logits [texts, labels], or for an encoder the last hidden state [real
        tokens, width].
        """
        if "logits" in self.tensors:
            return self.tensors["logits"]
        return self.tensors[
            max(
                (n for n in self.tensors if n.startswith("hidden.")),
                key=lambda n: int(n.split(".")[1]),
            )
        ]


def stem(path: Path | str) -> Path:
    """The pack's path without a suffix, however it was named."""
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".json", ".safetensors") else path


def beside(path: Path, suffix: str) -> Path:
    """A file of the pack ``path``, by its suffix. The name may hold dots itself, such as
    ``torch-2.8``, so nothing in it is replaced.
    """
    return path.with_name(path.name + suffix)


def write_pack(path: Path | str, tensors: Mapping[str, Any], manifest: Mapping[str, Any]) -> Path:
    """Write ``<path>.safetensors`` then ``<path>.json``; the manifest comes last and holds the
    tensors' hash, so a half-written pack is refused.
    """
    from safetensors.numpy import save_file

    path = stem(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: np.ascontiguousarray(getattr(value, "numpy", lambda v=value: v)())
        for name, value in tensors.items()
    }
    if not arrays:
        raise PackError(f"The pack {path} would be empty: a forward run produced no tensor.")
    data = beside(path, ".safetensors")
    with replacing(data) as temporary:
        save_file(arrays, temporary)
    shapes = {name: {"shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays.items()}
    write_json(
        beside(path, ".json"),
        {"schema": SCHEMA, **manifest, "tensors": shapes, "sha256": sha256_file(data)},
    )
    return path


def read_pack(path: Path | str) -> Pack:
    """Read a pack and check it against its manifest.

    Raises PackError when it is missing, truncated, altered, or not a pack.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = stem(path)
    data = beside(path, ".safetensors")
    try:
        manifest = read_json(beside(path, ".json"))
    except RecordError as error:
        raise PackError(
            f"There is no readable pack at {path}: {error} Make one with `goemo reference`."
        ) from None
    lacking = [key for key in REQUIRED if not isinstance(manifest, dict) or key not in manifest]
    if lacking or manifest["schema"] != SCHEMA:
        raise PackError(
            f"{path}.json is not the manifest of a pack: expected schema {SCHEMA}"
            + (
                f", and {', '.join(lacking)} is missing."
                if lacking
                else f", received {str(manifest['schema'])[:60]}."
            )
        )
    for key, (expected, good) in KINDS.items():
        first, _, second = key.partition(".")
        value = manifest.get(first) if not second else manifest[first].get(second)
        if not good(value):
            raise PackError(
                f"{path}.json is not the manifest of a pack: {key} is {str(value)[:60]!r}, expected"
                f" {expected}. Copy or make the pack again."
            )
    if not data.is_file():
        raise PackError(
            f"The pack {path} has a manifest but no tensors: {data} does not exist. Copy both"
            " files."
        )
    if (seen := sha256_file(data)) != manifest["sha256"]:
        raise PackError(
            f"{data} was altered or cut short: its hash is {seen}, its manifest says"
            f" {str(manifest['sha256'])[:80]}. Copy or make the pack again."
        )
    try:
        tensors = load_file(data)
    except (SafetensorError, OSError, ValueError) as error:
        raise PackError(
            f"{data} is not a safetensors file ({error}). Copy or make the pack again."
        ) from None
    return Pack(tensors, manifest, path)
