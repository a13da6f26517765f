"""Load a checkpoint and say exactly what was loaded: which files, which hashes, which parts are
untrained.

Only safetensors are read, and no code that comes with a checkpoint is run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import ModelError, first_line
from goemo_utils.forward import thresholds
from goemo_utils.records.record import sha256_file, sha256_json
from goemo_utils.records.step import EMBEDDED, MODEL_FILES

if TYPE_CHECKING:
    import torch

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
    "spm.model",
)
# A matrix drawn with the usual 0.02 gives outputs so quiet that no error shows; spread, it behaves
# like trained weights.
RANDOM_SPREAD = 2.5


@dataclass
class Loaded:
    """A model in evaluation mode on the CPU, its tokenizer, and the facts about both (``info`` goes
    into the records).
    """

    model: torch.nn.Module
    tokenizer: Any
    task: str
    labels: list[str]
    max_length: int
    info: dict[str, Any]


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
    if name.startswith((".", "/", "~")):
        raise ModelError(
            f"Model folder '{name}' does not exist. Expected a folder with config.json, a tokenizer"
            " and .safetensors weights."
        )
    from huggingface_hub import snapshot_download

    try:
        path = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "README.md"],
            )
        )
    except (
        Exception
        # offline, no such repository, no such revision, gated: the hub has a class for each
    ) as error:
        raise ModelError(
            f"Model '{name}' (revision {revision or 'main'}) could not be fetched from the hub"
            f" ({type(error).__name__}). Check the name and the network, set HF_ENDPOINT to a"
            " mirror, or give `model` a local folder."
        ) from None
    return "hub", path, path.name


def load_model(
    model: str,
    revision: str | None = None,
    task: str = "auto",
    dtype: str = "float32",
    attn_implementation: str = "eager",
    seed: int = 0,
) -> Loaded:
    """Load ``model`` on the CPU in ``dtype`` (the dtype its weights are cast to), ready for
    evaluation.

    ``task`` auto becomes multi_label (sigmoid), single_label (softmax) or encoder (last hidden
    state; also when the head is untrained). ``random:<model>`` takes only the architecture, with
    random weights drawn from ``seed``. ``info["thresholds"]`` are the model's own, in label order,
    None without thresholds.json. Raises ModelError in one sentence.
    """
    import torch
    import transformers

    source, folder, commit = locate(model, revision)
    architecture_only = model.startswith("random:")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights and not architecture_only:
        pickled = sorted(p.name for p in folder.glob("*.bin"))
        raise ModelError(
            f"{folder} has no .safetensors weights"
            + (
                f", only {', '.join(pickled)}: pickled weights are never loaded. "
                "Convert them with save_pretrained(safe_serialization=True) in a place you trust."
                if pickled
                else "."
            )
        )
    config = read_config(folder)
    architectures: list[str] = config.architectures or []
    head = any(name.endswith("ForSequenceClassification") for name in architectures)
    chosen = _task(task, config, head or architecture_only, folder)
    kind = (
        transformers.AutoModel
        if chosen == "encoder"
        else transformers.AutoModelForSequenceClassification
    )
    options = {"dtype": getattr(torch, dtype), "attn_implementation": attn_implementation}
    missing, unused = [], []
    with quiet():
        try:
            if architecture_only:
                torch.manual_seed(seed)
                network = kind.from_config(config, **options)  # type: ignore[no-untyped-call]
                _spread(network)
                missing = [name for name, _ in network.named_parameters()]
            else:
                network, told = kind.from_pretrained(
                    folder,
                    config=config,
                    use_safetensors=True,
                    local_files_only=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                    **options,
                )
                missing, unused = sorted(told["missing_keys"]), sorted(told["unexpected_keys"])
        except (
            Exception
            # safetensors, transformers and torch each raise their own for a damaged or mismatched
            # checkpoint
        ) as error:
            if "does not support an attention implementation" in str(error):
                raise ModelError(
                    f"{folder} is a {config.model_type} model, which transformers"
                    f" {transformers.__version__} cannot run with attn_implementation:"
                    f" {attn_implementation}. Use attn_implementation: eager."
                ) from None
            raise ModelError(
                f"{folder} could not be loaded as {kind.__name__} ({type(error).__name__}:"
                f" {first_line(error)}). Check that its weights are complete and belong to its"
                " config.json."
            ) from None
        tokenizer = read_tokenizer(folder)
    if chosen != "encoder" and missing and not architecture_only:
        raise ModelError(
            f"{folder} has no trained classification head: {', '.join(missing)} would be random."
            " Use task: encoder, which judges hidden states."
        )
    limit = length_limit(config, tokenizer)
    labels = (
        [] if chosen == "encoder" else [str(config.id2label[i]) for i in range(config.num_labels)]
    )
    info = _info(
        model,
        "random" if architecture_only else source,
        folder,
        commit,
        revision,
        config,
        network,
        chosen,
        labels,
        limit,
        missing,
        unused,
        dtype,
        attn_implementation,
    )
    info["thresholds"] = None if architecture_only else thresholds.read(folder, labels, chosen)
    return Loaded(network.eval(), tokenizer, chosen, labels, limit, info)


def read_config(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"{folder} has no usable config.json ({type(error).__name__}: {first_line(error)})."
            " Expected a model type that transformers knows; code that comes with a checkpoint is"
            " not run."
        ) from None


def read_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, use_fast=True
        )
    except Exception as error:
        raise ModelError(
            f"{folder} has no usable tokenizer ({type(error).__name__}: {first_line(error)})."
            " Expected tokenizer.json or the vocabulary files beside config.json."
        ) from None
    if len(tokenizer) <= len(
        set(tokenizer.all_special_ids)
    ):  # transformers makes up a vocabulary of special tokens where it finds no file
        raise ModelError(
            f"The tokenizer in {folder} knows {len(tokenizer)} tokens, all of them special, so"
            " every text would be empty. Expected its vocabulary in tokenizer.json or its own"
            " files (vocab.json, vocab.txt, *.model) beside config.json. Fetch the checkpoint"
            " again."
        )
    if tokenizer.pad_token is None:
        raise ModelError(
            f"The tokenizer in {folder} has no padding token, so texts cannot be batched. Set"
            " pad_token in its tokenizer_config.json."
        )
    return tokenizer


def _task(asked: str, config: Any, head: bool, folder: Path) -> str:
    """multi_label | single_label | encoder, and a ModelError when what was asked contradicts the
    checkpoint.
    """
    if asked == "encoder" or (asked == "auto" and not head):
        return "encoder"
    declared = {
        "multi_label_classification": "multi_label",
        "single_label_classification": "single_label",
        None: None,
    }.get(config.problem_type, "regression")
    if declared == "regression" or (
        config.num_labels < 2 and "multi_label" not in (asked, declared)
    ):
        raise ModelError(
            f"{folder} declares problem_type '{config.problem_type}' with {config.num_labels}"
            " label(s): goemo ports classifiers. Use task: encoder to compare its hidden states."
        )
    if asked != "auto" and declared and asked != declared:
        raise ModelError(
            f"task: {asked} contradicts {folder}/config.json, whose problem_type is"
            f" '{config.problem_type}'. Use task: auto."
        )
    return asked if asked != "auto" else declared or "single_label"


def length_limit(config: Any, tokenizer: Any) -> int:
    """Longest input in tokens. RoBERTa-like position tables begin after the padding index, which
    costs pad_token_id + 1 places.
    """
    places = getattr(config, "max_position_embeddings", None) or 512
    if config.model_type in (
        "roberta",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "longformer",
        "mpnet",
        "roberta-prelayernorm",
        "xmod",
        "data2vec-text",
    ):
        places -= (config.pad_token_id or 0) + 1
    return int(min(places, tokenizer.model_max_length))


def _spread(network: torch.nn.Module) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 2 and "embedding" not in name:
                parameter.mul_(RANDOM_SPREAD)


def _info(
    model: str,
    source: str,
    folder: Path,
    commit: str | None,
    revision: str | None,
    config: Any,
    network: torch.nn.Module,
    task: str,
    labels: list[str],
    limit: int,
    missing: list[str],
    unused: list[str],
    dtype: str,
    attention: str,
) -> dict[str, Any]:
    files = [
        {"name": p.name, "bytes": p.stat().st_size, "sha256": sha256_file(p)}
        for p in sorted(folder.iterdir())
        if p.suffix in MODEL_FILES
    ]
    hashes = {str(f["name"]): f["sha256"] for f in files}
    weights = {name: value for name, value in hashes.items() if name.endswith(".safetensors")}
    random = source == "random"
    places = {
        "random": None,
        "local": str(folder),
        "hub": f"{model}@{commit or revision or 'main'}",
        "embedded": "goemo_utils/embedded",
    }
    stored = next(iter(weights.values())) if len(weights) == 1 else sha256_json(weights)
    # A few kilobytes of the parameters themselves, so that packs of random weights can be told
    # apart by more than their seed.
    drawn = (
        sha256_json([p.detach().flatten()[:64].double().tolist() for p in network.parameters()])
        if random
        else None
    )
    return {
        "id": model,
        "source": source,
        "path": str(folder) if source == "local" else None,
        "revision": commit or revision,
        "architecture": type(network).__name__,
        "model_type": config.model_type,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "n_layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": getattr(config, "hidden_size", None),
        "labels": labels,
        "n_labels": len(labels),
        "problem_type": config.problem_type,
        "task": task,
        "max_length": limit,
        "files": files,
        "weights_sha256": drawn or stored,
        "tokenizer_sha256": sha256_json({n: hashes[n] for n in TOKENIZER_FILES if n in hashes}),
        "config_sha256": hashes.get("config.json"),
        "untrained": missing,
        "unused": unused,
        "pretrained_used": not random,
        "local_weight_used": source in ("local", "embedded") and not random,
        "weight_path": places[source],
        "activation": getattr(config, "hidden_act", getattr(config, "activation", None)),
        "dtype": dtype,
        "attn_implementation": attention,
        "license": _license(folder),
    }


def _license(folder: Path) -> str | None:
    """The licence that the checkpoint's model card declares in its front matter, as the hubs write
    it.
    """
    import yaml

    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
        front = yaml.safe_load(card.split("---")[1]) if card.startswith("---") else None
    except (OSError, UnicodeError, IndexError, yaml.YAMLError):
        return None
    declared = front.get("license") if isinstance(front, dict) else None
    return declared if isinstance(declared, str) else None


class quiet:
    """transformers reports every untrained parameter by log lines and a bar; the record says it
    better.
    """

    def __enter__(self) -> None:
        from transformers.utils import logging as noise

        self.level, self.bars = noise.get_verbosity(), noise.is_progress_bar_enabled()
        noise.set_verbosity_error()
        noise.disable_progress_bar()
        logging.captureWarnings(True)

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging as noise

        noise.set_verbosity(self.level)
        if self.bars:
            noise.enable_progress_bar()
        logging.captureWarnings(False)
