"""The files of a checkpoint's folder: which of them a load reads, which it leaves alone, and what
may not lie there. What is vouched for is what was loaded, so loading, hashing, resuming and
publishing all ask here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.boundary.regular import what_is
from goemo_utils.errors import ModelError, RecordError
from goemo_utils.records.record import read_json

MODEL_FILES = {".json", ".safetensors", ".txt", ".model"}
# The names that transformers looks for in a folder, the first that is there
# (modeling_utils._get_resolved_checkpoint_files).
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What tells a tokenizer, of every family that the package loads.
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)
# What a load reads beside the weights; nothing else of a folder is ever published.
USED = ("config.json", INDEX, "thresholds.json", *TOKENIZER)


@dataclass(frozen=True)
class Weights:
    """The weights of a folder: the files that a load reads, the index that names them (None for a
    single file), and the names of other .safetensors, which it does not read.
    """

    files: tuple[Path, ...]
    index: Path | None
    unread: tuple[str, ...]


def weights_of(folder: Path) -> Weights:
    """Which weights a load of ``folder`` reads; without any, ``files`` is empty.

    Raises ModelError for an index that is damaged, or that names a file which is not in the folder.
    """
    there = sorted(path.name for path in folder.glob("*.safetensors"))
    index: Path | None = None
    names = [SINGLE] if (folder / SINGLE).is_file() else []
    if not names and (folder / INDEX).is_file():
        index = folder / INDEX
        names = _shards(index)

    files = tuple(folder / name for name in names)
    return Weights(files, index, tuple(name for name in there if name not in names))


def _shards(index: Path) -> list[str]:
    """The files that an index names, each once, each a regular file in the index's own folder."""
    names = sorted({str(name) for name in _weight_map(index).values()})
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise ModelError(
                f"{index} names the weights {name!r}; expected the name of a .safetensors file in"
                " the same folder, without a path. Save the checkpoint again with"
                " save_pretrained(), or move the file there and correct the index."
            )
        shard = index.parent / name
        if not shard.is_file():
            raise ModelError(
                f"{index} names the weights {name!r}, and {index.parent} holds no such file."
                " Expected every file that the index names. Fetch the checkpoint again."
            )
        if leaves(shard):
            raise ModelError(
                f"{index} names the weights {name!r}, which is a link to {shard.resolve()}, outside"
                " the folder; expected a file inside it. Put the file itself there."
            )

    return names


def stated_in(path: Path) -> Any:
    """What a JSON file of a checkpoint states; ModelError when it cannot be read."""
    try:
        return read_json(path)
    except RecordError as error:
        reason = str(error).removeprefix(str(path)).split(" Delete it")[0].strip().rstrip(".")
        raise ModelError(
            f"{path} {reason}. Expected JSON as it came with the checkpoint. Fetch the checkpoint"
            " again."
        ) from None


def _weight_map(index: Path) -> dict[str, Any]:
    found = stated_in(index)
    named = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(named, dict) or not named:
        raise ModelError(
            f"{index} names no weights; expected an object weight_map of tensor to file. Fetch the"
            " checkpoint again."
        )
    return named


def leaves(path: Path) -> bool:
    """Whether a path is a link that leads out of its folder.

    The hub's cache is built of such links, ``snapshots/<commit>/x`` to ``blobs/<digest>`` of the
    same repository, and those do not count.
    """
    folder, target = path.parent.resolve(), path.resolve()
    if target.is_relative_to(folder):
        return False
    repository = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return not (in_cache and target.is_relative_to(repository / "blobs"))


def check_folder(folder: Path) -> None:
    """Raise ModelError for whatever would hang a load: a model's file that is no regular file."""
    for path in sorted(folder.iterdir()):
        lies = what_is(path)
        named_like_one = path.suffix in MODEL_FILES or path.name == "README.md"
        if named_like_one and lies not in ("a regular file", "a folder"):
            raise ModelError(
                f"{path} is {lies}; expected a regular file. Put the file itself into the model's"
                " folder, or remove the entry."
            )


def read_files(folder: Path) -> list[Path]:
    """The files of a folder that a load may read, sorted by name: the weights that it does read,
    and every other model's file that is no weight. Raises ModelError as the functions above.
    """
    check_folder(folder)
    weights = set(weights_of(folder).files)
    others = {
        path
        for path in folder.iterdir()
        if path.suffix in MODEL_FILES - {".safetensors"} and path.is_file()
    }
    return sorted(weights | others)


def used_files(folder: Path, weights: bool = True) -> list[Path]:
    """The files of a folder that a load uses, sorted by name: the allow-list of what is recorded
    as loaded and may be published. Without ``weights`` only what describes the model.
    """
    check_folder(folder)
    read = weights_of(folder) if weights else Weights((), None, ())
    beside = [folder / name for name in USED if weights or name != INDEX]
    unused = {folder / INDEX} - {read.index}
    return sorted({path for path in beside if path.is_file()} - unused | set(read.files))
