"""Load a checkpoint and say exactly what was loaded: which files, which hashes, which parts are
untrained.

Only safetensors are read, and no code that comes with a checkpoint is run.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.regular import read_regular
from goemo_utils.errors import ModelError, PackageError, first_line
from goemo_utils.forward import thresholds, versions
from goemo_utils.forward.checkpoint import (
    check_weights,
    head_on_disk,
    locate,
    other_head,
    other_shape,
    other_size,
    read_config,
    read_tokenizer,
    tensor_names,
)
from goemo_utils.forward.foreign import strange_weights
from goemo_utils.forward.inputs import Inputs
from goemo_utils.forward.lean import import_transformers, undrawn
from goemo_utils.forward.sizes import check_finite, check_room, check_sizes, check_used
from goemo_utils.forward.task import labels_of, task_of
from goemo_utils.records.digests import digests
from goemo_utils.records.record import sha256_json
from goemo_utils.records.weights import used_files, weights_of

if TYPE_CHECKING:
    import torch

    from goemo_utils.forward.seen import Seen

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
LONGEST_CARD = 256 * 1024  # bytes of a model card that are looked at
# Tokens that count as no limit: the largest max_length that a run may ask for.
MOST = 8192


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
    inputs: Inputs = field(default_factory=lambda: Inputs(None))

    def __post_init__(self) -> None:
        if self.inputs.tokenizer is None:
            self.inputs = Inputs(self.tokenizer)


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
    from goemo_utils.forward.guard import ADDRESS
    from goemo_utils.forward.threads import for_short_texts

    if ADDRESS in os.environ:  # a kernel of the chain, which is a process of goemo's own
        import_transformers()
    versions.check()
    for note in versions.notes():
        warnings.warn(note, stacklevel=2)
    source, folder, commit = locate(model, revision)
    random = model.startswith("random:")
    if not random:
        check_weights(folder)
    check_sizes(folder, {} if random else tensor_names(folder))
    config = read_config(folder)
    chosen = task_of(task, config, random or head_on_disk(folder, config), folder)
    labels = [] if chosen == "encoder" else labels_of(config, folder)

    with quiet():
        drawn_from = seed if random else None
        network, told = build(folder, config, chosen, dtype, attn_implementation, drawn_from)
        tokenizer = read_tokenizer(folder)
    if not random:
        check_loaded(folder, config, network, told, chosen)

    with for_short_texts(network):
        if not random:
            check_finite(folder, network, dtype)
        found = _seen(network.eval(), tokenizer, folder, config, random)
        inputs, limit = found.traits.inputs(tokenizer), found.limit
    info = _info(
        model,
        "random" if random else source,
        folder,
        commit,
        revision,
        config,
        network,
        chosen,
        labels,
        limit,
        told.missing,
        told.unused,
        dtype,
        attn_implementation,
    )
    info["thresholds"] = None if random else thresholds.read(folder, labels, chosen)
    info["padding"] = inputs.why
    return Loaded(network, tokenizer, chosen, labels, limit, info, inputs)


def _seen(
    network: torch.nn.Module, tokenizer: Any, folder: Path, config: Any, random: bool
) -> Seen:
    """What the network does, as an earlier load of this chain told it, or as a few forwards show;
    random weights are looked at each time.
    """
    from goemo_utils.forward.lengths import longest
    from goemo_utils.forward.seen import Seen
    from goemo_utils.forward.traits import look

    known = None if random else Seen.told(folder, network)
    if known is not None:
        return known
    traits = look(network, tokenizer, folder)
    stated = length_limit(config, tokenizer, traits.places)
    inputs = traits.inputs(tokenizer)
    seen = Seen(traits, longest(network, inputs, stated) if stated < MOST else stated)
    if not random:
        seen.tell(folder, network)
    return seen


@dataclass(frozen=True)
class Report:
    """What loading says of the weights: those of the model that the files lack, and those of the
    files that the model does not take.
    """

    missing: list[str]
    unused: list[str]


def build(
    folder: Path, config: Any, task: str, dtype: str, attention: str, seed: int | None
) -> tuple[torch.nn.Module, Report]:
    """The network for ``task`` with the folder's weights; with a ``seed``, drawn from it instead.

    Raises ModelError where files and configuration do not make one.
    """
    import torch
    import transformers

    encoder = task == "encoder"
    auto = transformers.AutoModel if encoder else transformers.AutoModelForSequenceClassification
    options = {"dtype": getattr(torch, dtype), "attn_implementation": attention}
    try:
        check_room(folder, config, auto, tensor_names(folder) if seed is None else {})
        if seed is not None:
            torch.manual_seed(seed)
            network = auto.from_config(config, **options)  # type: ignore[no-untyped-call]
            _spread(network)
            return network, Report([name for name, _ in network.named_parameters()], [])
        with undrawn():
            network, told = auto.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
    except ModelError:
        raise
    except ImportError as error:
        raise PackageError(
            f"{folder} could not be loaded, because a package that transformers imports failed"
            f" ({type(error).__name__}: {first_line(error)}). The weights are not the cause. Run"
            " `goemo doctor`, and look for the package in the message."
        ) from None
    except Exception as error:  # safetensors, transformers and torch each raise their own
        if "does not support an attention implementation" in str(error):
            raise ModelError(
                f"{folder} is a {config.model_type} model, which transformers"
                f" {transformers.__version__} cannot run with attn_implementation: {attention}."
                " Use attn_implementation: eager."
            ) from None
        shapes = tensor_names(folder)
        if named := other_size(shapes, config) or other_shape(shapes, config, auto):
            raise ModelError(f"{folder}/config.json {named}") from None
        raise ModelError(
            f"{folder} could not be loaded as {auto.__name__} ({type(error).__name__}:"
            f" {first_line(error)}). Check that its weights are complete and belong to its"
            " config.json."
        ) from None
    return network, Report(sorted(told["missing_keys"]), sorted(told["unexpected_keys"]))


def check_loaded(
    folder: Path, config: Any, network: torch.nn.Module, told: Report, task: str
) -> None:
    """Raise ModelError where what was loaded is not the model that was asked for, and name the
    cause.
    """
    stored = tensor_names(folder)
    base = str(getattr(network, "base_model_prefix", ""))
    if told.missing and (cause := strange_weights(stored, network.state_dict(), base)):
        raise ModelError(f"The weights in {folder} are not read by transformers: {cause}.")
    if task != "encoder" and told.missing:
        names = ", ".join(told.missing[:4]) + (", …" if len(told.missing) > 4 else "")
        if lacking(told.missing, stored, network):
            raise ModelError(
                f"{folder} lacks {len(told.missing)} of the {len(network.state_dict())} weights"
                f" that its config.json describes: {names} would be random. Fetch the checkpoint"
                " again, or correct config.json."
            )
        raise ModelError(
            f"{folder} has no trained classification head: {names} would be random. Use task:"
            f" encoder, which judges hidden states.{other_head(stored, config.num_labels)}"
        )

    check_used(folder, told.unused, network)


def lacking(missing: list[str], stored: Mapping[str, Any], network: Any) -> bool:
    """Whether the files lack more than a whole head: a part of one, or of the encoder."""
    inside = f"{network.base_model_prefix}."
    if any(name.startswith(inside) for name in missing):
        return bool(stored.keys() & network.state_dict().keys())
    parts = {name.rpartition(".")[0] for name in missing}
    return any(name.rpartition(".")[0] in parts for name in stored)


def length_limit(config: Any, tokenizer: Any, places: int | None) -> int:
    """Longest input in tokens: the smallest of what the tokenizer says, what config.json says, and
    the ``places`` that the model's own table of positions holds (None without one).

    A number below 1, as XLNet's -1, or a tokenizer's 10^30, is no limit; without any it is MOST.
    """
    stated = (
        getattr(config, "max_position_embeddings", None),
        getattr(tokenizer, "model_max_length", None),
        places,
        MOST,
    )
    numbers = [n for n in stated if isinstance(n, int | float) and not isinstance(n, bool)]
    return int(min(n for n in numbers if 1 <= n < math.inf))


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
    random = source == "random"
    used = used_files(folder, weights=not random)
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(used, digests(used), strict=True)
    ]
    hashes = {str(f["name"]): f["sha256"] for f in files}
    weights = {name: value for name, value in hashes.items() if name.endswith(".safetensors")}
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
        "unread": [] if random else list(weights_of(folder).unread),
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
    try:
        card = read_regular(folder / "README.md", LONGEST_CARD).decode("utf-8", "replace")
    except OSError:
        return None
    # One line of it is wanted: whatever else a stranger's front matter holds is not parsed.
    front = card.split("---")[1] if card.startswith("---") else ""
    declared = re.search(
        r"^license:[ \t]*(['\"]?)([\w.+-]+)\1[ \t]*(#.*)?\r?$", front, re.MULTILINE
    )
    return declared[2] if declared else None


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
