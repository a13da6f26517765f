"""Devices and faults to prove the parity study on: random models of several kinds, imitated
arithmetic, and faults in chosen calls.

Everything here runs on the rehearsal device and says nothing about a real one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.forward.device import open_device
from goemo_utils.forward.model import Loaded
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import Twins, rms
from goemo_utils.rehearsal import parse_numerics
from goemo_utils.rehearsal.numerics import handlers
from goemo_utils.rehearsal.state import STATE

LABELS, VOCABULARY, PADDING_ID = 28, 500, 1
ARCHITECTURES = ("roberta", "bert", "electra", "distilbert", "deberta-v2", "xlm-roberta")


def network(
    architecture: str,
    layers: int = 2,
    width: int = 64,
    spread: float = 3.0,
    attention: str = "eager",
    seed: int = 0,
    vocabulary: int = VOCABULARY,
    heads: int = 4,
) -> nn.Module:
    """A classifier of random weights, spread until its answers differ from text to text."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 2 * width,
        "embedding_size": width,
    }
    if architecture == "distilbert":
        sizes = {"dim": width, "n_layers": layers, "n_heads": 4, "hidden_dim": 2 * width}
    if (
        architecture == "deberta-v2"
    ):  # relative positions with shared projections, as the published checkpoints have them
        sizes |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 32,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        }
    config = AutoConfig.for_model(
        architecture,
        vocab_size=vocabulary,
        max_position_embeddings=130,
        num_labels=LABELS,
        pad_token_id=PADDING_ID,
        problem_type="multi_label_classification",
        **sizes,
    )
    torch.manual_seed(seed)
    auto: Any = AutoModelForSequenceClassification
    model: nn.Module = auto.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embeddings" not in name:
                parameter.mul_(spread)
    return model


def twins(model: nn.Module) -> Twins:
    """A model on the rehearsal device, beside its reference and gold; it takes token ids, so it
    needs no tokenizer.
    """
    loaded = Loaded(
        model,
        None,
        "multi_label",
        [str(i) for i in range(LABELS)],
        128,
        {"id": "imitated", "source": "random", "labels": []},
    )
    return Twins.of(loaded, open_device("rehearsal"), "float32")


def embedded() -> Twins:
    """The embedded model on the rehearsal device."""
    return Twins.load({"model": "embedded", "device": "rehearsal"})


def batch(
    sizes: Sequence[int], seed: int, vocabulary: int = VOCABULARY, padding: int = PADDING_ID
) -> dict[str, Tensor]:
    """One padded batch of random token ids, a text per entry of ``sizes``."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.full((len(sizes), max(sizes)), padding)
    mask = torch.zeros_like(ids)
    for row, n in enumerate(sizes):
        ids[row, :n] = torch.randint(5, vocabulary, (n,), generator=g)
        mask[row, :n] = 1
    return {"input_ids": ids, "attention_mask": mask}


def random_batches(
    of: Twins, rng: random.Random, texts: int | None = None
) -> list[dict[str, Tensor]]:
    """Random texts, lengths and batch sizes: up to three batches of 1 to 24 texts, or one of
    ``texts``.
    """
    config: Any = of.loaded.model.config
    sizes = (
        [texts]
        if texts
        else [rng.choice((1, 2, 3, 5, 8, 16, 24)) for _ in range(rng.randint(1, 3))]
    )

    return [
        batch(
            [rng.randint(4, 40) for _ in range(n)],
            rng.randrange(10**6),
            config.vocab_size,
            config.pad_token_id or 0,
        )
        for n in sizes
    ]


@contextmanager
def arithmetic(numerics: str, seed: int = 0) -> Iterator[Claim]:
    """The rehearsal device computes as ``numerics`` says; gives the claim that a right attribution
    arrives at.
    """
    settings = parse_numerics(numerics)
    before = STATE.arithmetic
    STATE.arithmetic = handlers(settings, seed)
    try:
        yield Claim(settings.matmul, settings.tanh_gelu)
    finally:
        STATE.arithmetic = before


ATEN = {
    "layer_norm": "native_layer_norm",
    "gelu": "gelu",
    "softmax": "_softmax",
    "linear": "addmm",
    "embedding": "index_select",
    "tanh": "tanh",
    "add": "add",
    "matmul": "bmm",
}
"""How a call reaches the device."""


@dataclass(frozen=True)
class Site:
    """One address: a call ``operator`` in ``module``."""

    module: str
    operator: str


def sites(rows: Sequence[Row], per_operator: int = 2) -> list[Site]:
    """First and last place of every operator in a clean replay; the mask's own addition is left to
    the mask fault.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        masking = row.operator == "add" and row.module.endswith((".self", ".attention"))
        if (
            row.operator in ATEN
            and not masking
            and row.module not in found.setdefault(row.operator, [])
        ):
            found[row.operator].append(row.module)

    chosen = []
    for operator, modules in found.items():
        places = (
            range(len(modules))
            if len(modules) <= per_operator
            else {round(i * (len(modules) - 1) / (per_operator - 1)) for i in range(per_operator)}
        )
        chosen += [Site(modules[i], operator) for i in sorted(places)]

    return chosen


Change = Callable[[Tensor], None]


def _element(value: float) -> Change:
    def change(output: Tensor) -> None:
        output[(0,) * (output.dim() - 2) + (1, 3)] += value

    return change


def _nan(output: Tensor) -> None:
    output[(0,) * (output.dim() - 2) + (1, 3)] = float("nan")


def _row(output: Tensor) -> None:
    output[(0,) * (output.dim() - 2) + (1,)] = 0.0


def _clamp(output: Tensor) -> None:
    half = float(output.abs().max()) / 2
    output.clamp_(-half, half)


def _scale(by: float) -> Change:
    def change(output: Tensor) -> None:
        output.mul_(1 + by)

    return change


def _add(value: float) -> Change:
    def change(output: Tensor) -> None:
        output.add_(value)

    return change


FAULTS: dict[str, Change] = {
    **{f"scale 1e-{e}": _scale(10.0**-e) for e in (2, 3, 4, 5, 6)},
    **{f"add 1e-{e}": _add(10.0**-e) for e in (3, 4, 5, 6)},
    "one element +1e-3": _element(1e-3),
    "one element +1e-5": _element(1e-5),
    "one row zeroed": _row,
    "one NaN": _nan,
    "clamp to half": _clamp,
}
FLOOR = 1e-5
"""Relative change of an output below which a fault that changes an argument is not demanded either.
"""

BELOW = frozenset({"scale 1e-6", "add 1e-5", "add 1e-6", "one element +1e-5"})
"""Faults below the floor of this study (relative 1e-5, additive 1e-4): they are shown and not
demanded.
"""


class Path:
    """Which module of which model is running: the address at which a fault strikes."""

    def __init__(self, of: Twins) -> None:
        self.names = [""]
        for model in (of.reference, of.candidate):
            for name, module in model.named_modules():
                module.register_forward_pre_hook(lambda m, a, n=name: self.names.append(n))
                module.register_forward_hook(lambda m, a, o: self._leave(), always_call=True)

    def _leave(self) -> None:
        self.names.pop()


@contextmanager
def fault(
    path: Path,
    aten: str,
    module: str,
    change: Change,
    arguments: Callable[[list[Any]], list[Any]] | None = None,
) -> Iterator[list[float]]:
    """While active, ``aten`` inside ``module`` gives a changed output, or gets changed
    ``arguments``.

    Yields [calls struck, calls changed, largest relative change of an output (rms)].
    """
    name, hits = f"aten::{aten}", [0, 0, 0.0]
    before = STATE.arithmetic
    inner = before.get(name)

    def faulty(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        def compute(given: list[Any]) -> Any:
            return inner(operator, given, kwargs) if inner else operator(*given, **kwargs)

        if path.names[-1] != module:
            return compute(args)
        right, result = compute(args), compute(arguments(list(args)) if arguments else args)
        old, output = (r[0] if isinstance(r, tuple) else r for r in (right, result))
        change(output)
        hits[0] += 1
        hits[1] += not torch.equal(old, output)
        hits[2] = max(hits[2], rms(old, output) / max(rms(old), 1e-300))
        return result

    STATE.arithmetic = {**before, name: faulty}
    try:
        yield hits
    finally:
        STATE.arithmetic = before


def nothing(output: Tensor) -> None:
    """No change of the output: for faults that change an argument."""


def unmask(output: Tensor) -> None:
    """The padding mask ignored: masked scores come back as if the token were real."""
    output[output < -1e30] = 0.0


def other_eps(eps: float) -> Callable[[list[Any]], list[Any]]:
    """LayerNorm with another eps than the model's."""
    return lambda args: [*args[:4], eps]
