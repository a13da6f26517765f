"""The sizes that config.json states, compared with the weights before anything of them is built.

A billion layers, or labels, would otherwise be believed: transformers makes room for what the
configuration says, and asks the weights later.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import ModelError
from goemo_utils.forward.lean import undrawn
from goemo_utils.records.weights import stated_in

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]

# The keys by which transformers' configurations say how many and how large; each at least 1.
LAYERS = re.compile(
    r"(num_|n_|num_encoder_|num_decoder_|encoder_|decoder_)?(hidden_)?layers?"
    r"|num_hidden_groups|inner_group_num|num_(local_)?experts|block_sizes"
    r"|(num_|n_|num_key_value_|num_attention_|encoder_attention_|decoder_attention_)heads?"
)
WIDTHS = re.compile(
    r"hidden_size|embedding_size|intermediate_size|vocab_size|num_hash_buckets|hidden_dim|dim"
    r"|d_model|d_inner|d_ff|d_kv|d_head|n_embd|n_inner|ffn_dim|(en|de)coder_ffn_dim"
)
PLACES = re.compile(r"max_position_embeddings|n_positions|type_vocab_size|relative_attention.*")
LABELS = re.compile("num_labels")
MOST_PLACES = 10**7
# A configuration may state more than the files show: layers that share their weights (ALBERT).
FEW, WIDE = 100, 10_000
# How much more than the weights a model may hold: a head that is still untrained.
MORE, SPARE = 2, 10**7


def check_sizes(folder: Path, shapes: Shapes) -> None:
    """Raise ModelError for a size in the folder's config.json that its weights cannot have.

    ``shapes`` are those of the weights, empty where none are read; then the sizes need only be
    such that a machine can hold them.
    """
    path = folder / "config.json"
    if not path.exists():
        return

    stated = stated_in(path)
    widest = max((side for shape in shapes.values() for side in shape), default=0)
    most = {
        LAYERS: max(len(shapes), FEW) if shapes else 10 * FEW,
        LABELS: max(widest, FEW) if shapes else WIDE,
        WIDTHS: max(10 * widest, WIDE) if shapes else 10**6,
        PLACES: MOST_PLACES,
    }

    for key, value in _numbers(stated):
        for pattern, limit in most.items():
            if pattern.fullmatch(key):
                _check(path, key, value, 0 if pattern is PLACES else 1, limit)


def _numbers(stated: Any) -> Iterator[tuple[str, float]]:
    """Every number of a configuration with its key, those of inner configurations and lists too."""
    if not isinstance(stated, dict):
        return
    for key, value in stated.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _numbers(one)
            elif isinstance(one, (int, float)) and not isinstance(one, bool):
                yield str(key), one


def _check(path: Path, key: str, value: float, least: int, most: int) -> None:
    # Places below 1, as XLNet's -1, are no limit and take no room.
    low = value < least and least > 0
    if math.isfinite(value) and not low and value <= most:
        return
    raise ModelError(
        f"{path} states {key} {str(value)[:30]}; expected {least} to {most:,} beside these weights."
        " Fetch the checkpoint's own config.json again."
    )


def check_room(folder: Path, config: Any, auto: Any, shapes: Shapes) -> None:
    """Raise ModelError where the model that ``auto`` makes of a configuration would need far more
    memory than its weights on disk, or than the machine has. It is counted on torch's meta device,
    where nothing takes memory.
    """
    import torch

    try:
        with undrawn(), torch.device("meta"):
            network = auto.from_config(config)
    except Exception:  # what cannot be counted so is told, with its reason, when it is loaded
        return

    asked = sum(parameter.numel() for parameter in network.parameters())
    held = sum(math.prod(shape) for shape in shapes.values())
    if shapes and asked > MORE * held + SPARE:
        raise ModelError(
            f"{folder}/config.json describes a model of {asked:,} parameters and the weights hold"
            f" {held:,}: expected about as many. Fetch the checkpoint's own config.json again."
        )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 4 * asked > memory:
        raise ModelError(
            f"{folder}/config.json describes a model of {asked:,} parameters, {asked * 4 / 1e9:.0f}"
            f" GB in float32, and this machine has {memory / 1e9:.0f} GB of memory: expected one"
            " that fits. Use a machine with more memory."
        )


def check_used(folder: Path, unused: list[str], network: torch.nn.Module) -> None:
    """Raise ModelError where weights of layers on disk were left out because config.json states
    fewer layers: the model would be another one.
    """
    layers = {_layer(name) for name, _ in network.named_parameters()} - {None}
    lists = {layer[0] for layer in layers if layer}
    left = [
        name
        for name in unused
        if (layer := _layer(name))
        if any(_same(layer[0], known) for known in lists)
        if not any(_same(layer[0], known[0]) and layer[1] == known[1] for known in layers if known)
    ]

    if left:
        raise ModelError(
            f"{folder} holds weights of layers that its config.json leaves out, {left[0]} and"
            f" {len(left) - 1} more: expected a layer for each. Fetch the checkpoint's own"
            " config.json again."
        )


def _layer(name: str) -> tuple[str, int] | None:
    """The list of layers that a weight belongs to, by what stands before the first number in its
    name, and that number; None for a weight of no layer.
    """
    parts = re.match(r"(.+?)\.(\d+)\.", name)
    return (parts[1], int(parts[2])) if parts else None


def _same(one: str, other: str) -> bool:
    """Whether two lists are one but for the prefix of the model, which a head's class adds."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def check_finite(folder: Path, network: torch.nn.Module, dtype: str) -> None:
    """Raise ModelError for weights that are NaN or infinite in the dtype they were cast to."""
    broken = [name for name, p in network.named_parameters() if not _finite(p)]
    if broken:
        raise ModelError(
            f"{folder} holds weights that are NaN or infinite in {dtype}: {broken[0]} and"
            f" {len(broken) - 1} more of {sum(1 for _ in network.parameters())}. Fetch the"
            " checkpoint again, or take the one before its training diverged."
        )


def _finite(weight: torch.Tensor) -> bool:
    """Whether all values are numbers: the least and the largest are, since NaN is both where there
    is one. Reads the weight once and makes no other of its size.
    """
    import torch

    if not weight.numel():
        return True
    ends = torch.stack(torch.aminmax(weight.detach()))
    return bool(torch.isfinite(ends).all())
