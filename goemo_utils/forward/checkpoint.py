"""The folder of a checkpoint: where it is, its configuration and tokenizer, the names of its
weights, and what is wrong with one that is no classifier.

Only safetensors are read, and no code that comes with a checkpoint is run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goemo_utils.errors import ModelError
from goemo_utils.forward.foreign import ADAPTER, adapter, check_fetched, held_instead
from goemo_utils.forward.stated import check_plain, wrongly_stated
from goemo_utils.records.step import EMBEDDED
from goemo_utils.records.weights import INDEX, SINGLE, check_folder, stated_in, weights_of

# How the last layer of transformers' classes is called.
HEAD_ENDS = ("classifier.weight", "out_proj.weight", "score.weight", "logits_proj.weight")
# Classes of tokenizers that read nothing but tokenizer.json.
OF_TOKENIZER_JSON = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Packages that read a vocabulary which is not in tokenizer.json.
READERS = {
    ".model": ("sentencepiece", "google.protobuf"),
    ".tiktoken": ("tiktoken",),
}


def locate(model: str, revision: str | None = None) -> tuple[str, Path, str | None]:
    """Where a checkpoint is: (source, folder, commit) with source embedded, local or hub;
    ``random:`` in front is ignored here.

    Raises ModelError when the folder is missing or the hub cannot give it.
    """
    name = model.removeprefix("random:")
    if name == "embedded":
        return "embedded", EMBEDDED, None

    folder = Path(name).expanduser()
    if not name.strip():
        raise ModelError(
            f"`model` is {model!r}; expected embedded, a hub id, a local folder, or random: before"
            " one of them."
        )
    if folder.is_dir():
        return "local", folder.resolve(), None
    if folder.is_file():
        raise ModelError(
            f"`model` names the file '{name}'; expected the folder that it lies in, with"
            f" config.json, a tokenizer and weights. Give '{folder.parent}'."
        )
    if name.startswith((".", "/", "~")):
        raise ModelError(
            f"Model folder '{name}' does not exist. Expected a folder with config.json, a tokenizer"
            " and .safetensors weights."
        )

    path = _from_hub(name, revision)

    return "hub", path, path.name


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # offline, no such name or revision, gated: a class for each
        raise ModelError(
            f"Model '{name}' (revision {revision or 'main'}) could not be fetched from the hub"
            f" ({type(error).__name__}). Check the name and the network, set HF_ENDPOINT to a"
            " mirror, or give `model` a local folder."
        ) from None


def check_weights(folder: Path) -> None:
    """Raise ModelError where the folder holds no safetensors of a whole model, and say what it
    holds instead.
    """
    if (folder / ADAPTER).is_file():
        raise ModelError(adapter(folder))

    check_folder(folder)
    named = _named_weights(folder)
    if named:
        raise ModelError(
            f"{folder}/config.json has transformers read the weights {named!r}; expected the usual"
            f" names, {SINGLE} or {INDEX}, which are what is hashed. Rename the file and remove"
            " transformers_weights."
        )
    found = weights_of(folder)
    for path in found.files:
        check_fetched(path)
    if not found.files and found.unread:
        raise ModelError(
            f"{folder} holds {', '.join(found.unread[:3])}, and neither {SINGLE} nor {INDEX}, which"
            " are the names that are read. Rename the file, or save the model again with"
            " save_pretrained()."
        )
    if not found.files:
        raise ModelError(f"{folder} has no .safetensors weights{held_instead(folder)}.")


def _named_weights(folder: Path) -> Any:
    """The file that config.json names by ``transformers_weights``, which transformers prefers."""
    path = folder / "config.json"
    stated = stated_in(path) if path.is_file() else {}
    return stated.get("transformers_weights") if isinstance(stated, dict) else None


def _told(error: Exception) -> str:
    """All lines of a message as one, cut: transformers names the value below its first line."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:297]}..."


def read_config(folder: Path) -> Any:
    """The configuration; raises ModelError in a sentence."""
    from transformers import AutoConfig

    check_folder(folder)
    check_plain(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        if wrong := wrongly_stated(folder):
            raise ModelError(wrong) from None
        raise ModelError(
            f"{folder} has no usable config.json ({type(error).__name__}: {_told(error)})."
            " Expected a model type that transformers knows; code that comes with a checkpoint is"
            " not run."
        ) from None
    # Everything here reads outputs by their names, which a checkpoint may switch off.
    config.return_dict = True
    config.torchscript = False
    return config


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer, checked for a vocabulary; raises ModelError.

    Where it has no token to pad with, config.json's ``pad_token_id`` is taken, as the model looks
    for it; without either there is none.
    """
    from transformers import AutoTokenizer

    check_folder(folder)
    _check_own_files(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, use_fast=True
        )
    except Exception as error:
        raise ModelError(
            f"{folder} has no usable tokenizer ({type(error).__name__}: {_told(error)})."
            f" {_tokenizer_advice(folder)}"
        ) from None
    # transformers makes up a vocabulary of special tokens where it finds no file; a tokenizer of
    # characters (CANINE) has none either, and reads every text.
    words = getattr(tokenizer, "backend_tokenizer", None) is not None
    if words and len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise ModelError(
            f"The tokenizer in {folder} knows {len(tokenizer)} tokens, all of them special, so"
            " every text would be empty. Expected its vocabulary in tokenizer.json or its own"
            " files (vocab.json, vocab.txt, *.model) beside config.json. Fetch the checkpoint"
            " again."
        )
    _check_limit(folder, tokenizer)
    if tokenizer.pad_token is None:
        stated = stated_in(folder / "config.json").get("pad_token_id")
        known = isinstance(stated, int) and 0 <= stated < len(tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(stated) if known else None
    return tokenizer


def _check_limit(folder: Path, tokenizer: Any) -> None:
    """Raise ModelError for a limit of length that is no number, on which every text would fail."""
    limit = tokenizer.model_max_length
    if limit is None or isinstance(limit, int | float):
        return
    raise ModelError(
        f"{folder / 'tokenizer_config.json'} says model_max_length {limit!r}; expected a number of"
        " tokens, without quotes, or none. Correct it."
    )


def _check_own_files(folder: Path) -> None:
    """Raise ModelError for a tokenizer whose configuration sends transformers out of the folder: it
    reads the file that ``tokenizer_file`` names, wherever that lies. A path of another machine, as
    old checkpoints hold it, names nothing here and is left alone.
    """
    path = folder / "tokenizer_config.json"
    stated = stated_in(path) if path.is_file() else {}
    for key, value in stated.items() if isinstance(stated, dict) else ():
        named = key.endswith("_file") and key != "special_tokens_map_file"
        if named and isinstance(value, str) and Path(value).name != value and Path(value).exists():
            raise ModelError(
                f"{path} says {key} {value!r}; expected the name of a file in the same folder. Put"
                " the tokenizer's files there and remove the key."
            )


def _tokenizer_advice(folder: Path) -> str:
    """What to do about a tokenizer that does not load."""
    whole = (folder / "tokenizer.json").exists()
    path = folder / "tokenizer_config.json"
    stated = stated_in(path) if path.is_file() else {}
    kind = stated.get("tokenizer_class") if isinstance(stated, dict) else None
    if not whole:
        for suffix, packages in READERS.items():
            files = sorted(path.name for path in folder.glob(f"*{suffix}"))
            absent = [name for name in packages if not _installed(name)]
            if files and absent:
                names = " ".join(absent).replace("google.protobuf", "protobuf")
                return f"Its vocabulary is in {files[0]}, which needs: pip install {names}."
    if not whole and kind in OF_TOKENIZER_JSON:
        return (
            f"Expected tokenizer.json, which alone {kind} in tokenizer_config.json reads; or name"
            " there the class that reads the files that are here, such as RobertaTokenizer for"
            " vocab.json and merges.txt."
        )
    if whole and kind:
        return (
            f"Check that tokenizer.json is whole, and that tokenizer_class '{kind}' in"
            " tokenizer_config.json belongs to it."
        )
    return "Expected tokenizer.json or the vocabulary files beside config.json."


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def tensor_names(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that a load reads, from the files' headers alone; files that
    cannot be read have none.
    """
    from safetensors import SafetensorError, safe_open

    names: dict[str, tuple[int, ...]] = {}
    for path in weights_of(folder).files:
        try:
            with safe_open(path, "np") as file:
                keys = file.keys()  # the file is no mapping that one could go through
                names |= {key: tuple(file.get_slice(key).get_shape()) for key in keys}
        except (SafetensorError, OSError):
            continue
    return names


def head_on_disk(folder: Path, config: Any) -> bool:
    """Whether the files hold the weights of a classification head, whatever class saved them.

    A class that transformers knows for another task (``…ForTokenClassification``) has a head of the
    same names that is none for texts.
    """
    import transformers

    architectures: list[str] = config.architectures or []
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return True
    head = head_names(config)
    for name in architectures:
        if "For" in name and hasattr(transformers, name):
            head -= _names_beside(getattr(transformers, name), config)
    return bool(head & set(tensor_names(folder)))


def head_names(config: Any) -> set[str]:
    """The names of the weights of transformers' classification head for such a model; none where it
    has no such class.
    """
    import transformers

    return _names_beside(transformers.AutoModelForSequenceClassification.from_config, config)


def _names_beside(build: Callable[[Any], Any], config: Any) -> set[str]:
    """The names of the weights beside its encoder of the network that ``build`` makes; none where
    there is no such class for the model type, or it refuses the configuration.
    """
    import torch

    try:
        with torch.device("meta"):
            network = build(config)
    except Exception:  # each class raises its own
        return set()
    inside = network.base_model_prefix + "."
    return {name for name in network.state_dict() if not name.startswith(inside)}


def other_head(stored: Mapping[str, tuple[int, ...]], labels: int) -> str:
    """A clause on tensors that look like a head of other names: of as many rows as labels; empty
    without one.
    """
    likely = [
        f"{name} {list(shape)}"
        for name, shape in stored.items()
        if len(shape) == 2 and shape[0] == labels and labels > 1
    ]
    if not likely:
        return ""

    return (
        f" Its files hold {', '.join(likely[:2])}, which may be a head of its own: name it as"
        " transformers' class for this model type does."
    )


def other_size(stored: Mapping[str, tuple[int, ...]], config: Any) -> str | None:
    """A sentence on a head with another number of outputs than config.json names labels; None where
    they agree.
    """
    likely = {
        name: shape
        for name, shape in stored.items()
        if name in head_names(config) and name.endswith(HEAD_ENDS) and len(shape) == 2
    }
    unnamed = all(name == f"LABEL_{i}" for i, name in config.id2label.items())
    counted = f"counts {config.num_labels} labels (num_labels, 2 where nothing is said)"
    labels = counted if unnamed else f"names {config.num_labels} labels"
    for name, shape in likely.items():
        if shape[0] != config.num_labels:
            return (
                f"{labels}, and the head {name} has {shape[0]} outputs. Expected {shape[0]} labels"
                " in id2label, numbered from 0. Correct it."
            )
    return None


def other_shape(stored: Mapping[str, tuple[int, ...]], config: Any, auto: Any) -> str | None:
    """A sentence on a weight whose shape in the files is another than config.json makes it; None
    where none is.
    """
    import torch

    try:
        with torch.device("meta"):
            network = auto.from_config(config)
    except Exception:  # each class raises its own
        return None
    for name, tensor in network.state_dict().items():
        on_disk = stored.get(name, stored.get(name.partition(".")[2], tuple(tensor.shape)))
        if tuple(on_disk) != tuple(tensor.shape):
            return (
                f"makes {name} {list(tensor.shape)}, and the files hold {list(on_disk)}. Expected"
                " the sizes of the weights. Fetch the checkpoint's own config.json again."
            )
    return None
