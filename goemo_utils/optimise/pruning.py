"""Pruning: single weights, units of the feed-forward layers, or heads of attention.

``weights``: the smallest by magnitude over all products of the encoder become zero (Han et al.
2015, arXiv 1506.02626; torch.nn.utils.prune.global_unstructured does the same). The file and the
products keep their shapes, so without sparse kernels nothing gets smaller or faster: the rung shows
it. ``units`` and ``heads``: those go whose activation times its gradient is smallest on train texts
(Molchanov et al. 2019, arXiv 1906.10771, for units; Michel et al. 2019, arXiv 1905.10650, equation
3, for heads). Units go in equal number from each layer, so that one ``intermediate_size`` describes
the model and transformers loads it. A config of these families has no fewer heads at the same
width: pruned heads stay in the file as zeros, and gain nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from goemo_utils.classifier.unpadded import PLAIN
from goemo_utils.errors import ParamsError
from goemo_utils.forward.model import Loaded
from goemo_utils.optimise.distil import answers_loss, teach
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, layers_of, save
from goemo_utils.optimise.settings import Trained

SOURCE = (
    "weights: Han et al. 2015 (arXiv 1506.02626); units: arXiv 1906.10771; heads: arXiv 1905.10650"
)
# Places in a family's list of names (classifier/unpadded.py).
PROJECTION, INNER, OUTPUT = 3, 5, 7
JUDGED = 2048  # train texts whose gradients say what matters


class Settings(Trained):
    """What is pruned, and which ``part`` of it."""

    form: Literal["weights", "units", "heads"]
    part: float = Field(gt=0.0, lt=1.0)
    epochs: int | None = Field(0, ge=0)


def smallest(model: nn.Module, part: float) -> None:
    """Set the ``part`` of the encoder's weights with the smallest magnitude to zero."""
    weights = [
        module.weight for module in layers_of(model).modules() if isinstance(module, nn.Linear)
    ]
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    cut = magnitudes.kthvalue(max(1, round(part * len(magnitudes)))).values
    with torch.no_grad():
        for weight in weights:
            weight.masked_fill_(weight.abs() <= cut, 0.0)


def named(layer: nn.Module, model: Any, place: int) -> nn.Linear:
    """A product of a layer. Raises ParamsError for a family that was not read."""
    names = PLAIN.get(model.config.model_type)
    if names is None:
        raise ParamsError(
            f"kind pruning knows {', '.join(PLAIN)}, and the model is"
            f" {model.config.model_type}. Use form weights."
        )
    product = layer.get_submodule(names[place])
    assert isinstance(product, nn.Linear)
    return product


def worth(lab: Lab, base: Loaded, place: int, groups: int | None) -> list[torch.Tensor]:
    """How much each input of a product matters, a tensor a layer: the mean over train texts of
    abs(activation × gradient), summed over a text's tokens, and within each of ``groups``.
    """
    model: Any = base.model
    products = [named(layer, model, place) for layer in layers_of(model)]
    held: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            given[0].retain_grad()
            held[number] = given[0]

        return hook

    hooks = [product.register_forward_pre_hook(keep(i)) for i, product in enumerate(products)]
    totals = [torch.zeros(groups or product.in_features) for product in products]
    loss = answers_loss(lab, 1.0, 0.0)
    rows = lab.rows_of(base)[:JUDGED]
    for start in range(0, len(rows), 64):
        chosen = torch.arange(start, min(start + 64, len(rows)))
        batch = base.inputs.tensors([rows[i] for i in chosen.tolist()])
        model.zero_grad()
        loss(_Alone(model), batch, chosen).backward()
        for number, states in held.items():
            assert states.grad is not None
            # [texts, tokens, features] -> [texts, features]
            effect = (states.detach() * states.grad).sum(1)
            if groups:
                # [texts, groups, features of a group] -> [texts, groups]
                effect = effect.view(len(effect), groups, -1).sum(2)
            totals[number] += effect.abs().sum(0)

    for hook in hooks:
        hook.remove()
    model.zero_grad()
    return [total / len(rows) for total in totals]


class _Alone(nn.Module):
    """A model where a loss expects a Pair."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student


def without_units(lab: Lab, base: Loaded, part: float) -> None:
    """Take the same number of units from every layer's feed-forward product."""
    model: Any = base.model
    worths = worth(lab, base, OUTPUT, None)
    width = len(worths[0])
    stay = max(1, round((1 - part) * width))
    for layer, values in zip(layers_of(model), worths, strict=True):
        chosen = values.topk(stay).indices.sort().values
        inner, output = (named(layer, model, place) for place in (INNER, OUTPUT))
        inner.weight = nn.Parameter(inner.weight.detach()[chosen])
        inner.bias = nn.Parameter(inner.bias.detach()[chosen])
        output.weight = nn.Parameter(output.weight.detach()[:, chosen])
        inner.out_features = output.in_features = stay
    key = "hidden_dim" if model.config.model_type == "distilbert" else "intermediate_size"
    setattr(model.config, key, stay)


def useless(lab: Lab, base: Loaded, part: float) -> list[torch.Tensor]:
    """Which heads go, over all layers: bool ``[heads]`` a layer; at least one stays in each."""
    config: Any = base.model.config
    worths = torch.stack(worth(lab, base, PROJECTION, config.num_attention_heads))
    # the best head of a layer stays, or nothing would pass
    worths.scatter_(1, worths.argmax(1, keepdim=True), torch.inf)
    count = min(round(part * worths.numel()), worths.numel() - len(worths))
    gone = torch.zeros(worths.numel(), dtype=torch.bool)
    gone[worths.flatten().topk(count, largest=False).indices] = True
    return list(gone.view_as(worths))


@contextmanager
def silent(base: Loaded, gone: list[torch.Tensor]) -> Iterator[None]:
    """Heads that give nothing while it lasts, and have zero weights behind it."""
    model: Any = base.model
    hooks = []
    for layer, heads in zip(layers_of(model), gone, strict=True):
        product = named(layer, model, PROJECTION)
        lets = (~heads).float().repeat_interleave(product.in_features // len(heads))

        def mask(module: nn.Module, given: Any, lets: torch.Tensor = lets) -> Any:
            return (given[0] * lets,)

        hooks.append((product, lets, product.register_forward_pre_hook(mask)))
    yield
    for product, lets, hook in hooks:
        hook.remove()
        with torch.no_grad():
            product.weight.mul_(lets)


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The pruned model. Raises ParamsError for weights with epochs: training would fill them."""
    if asked.form == "weights" and asked.epochs:
        raise ParamsError(
            f"epochs is {asked.epochs} and form is weights; training on would fill the zeros, so"
            " expected 0. Remove epochs, or prune units."
        )
    base = lab.model_of(asked.of)
    training: dict[str, Any] | None = None
    note = "Pruned at once, not trained on." if not asked.epochs else ""
    if asked.form == "heads":
        with silent(base, useless(lab, base, asked.part)):
            _, training = teach(lab, base.model, asked, folder, say, base)
        note += " Pruned heads are zeros in the file: this family's config has no fewer."
    elif asked.form == "units":
        without_units(lab, base, asked.part)
        _, training = teach(lab, base.model, asked, folder, say, base)
    else:
        smallest(base.model, asked.part)
    save(base.model, lab.folder_of(asked.of), folder / "model")

    if asked.form == "weights":
        weights = (folder / "model" / "model.safetensors").read_bytes()
        note += f" zlib makes the weights {len(zlib.compress(weights)) / 1e6:.1f} MB."
    trained = training if training and training["epochs"] else None
    way = {"kind": "classifier", "dtype": "float32"}
    return Made(folder / "model", way, trained, note.strip())


def title(asked: Settings) -> str:
    """The rung in words."""
    what = {"weights": "weights", "units": "feed-forward units", "heads": "attention heads"}
    after = f", {asked.epochs} epochs after" if asked.epochs else ""
    return f"{asked.part:.0%} of the {what[asked.form]} pruned{after}"
