"""Fewer layers: the first k of the teacher, or every other one, trained on with or without its
answers.

Taking every other layer is DistilBERT's start (Sanh et al. 2019, arXiv 1910.01108, section 3); the
first k layers are what Sun et al. 2019 (PKD, arXiv 1908.09355) start from. ``share: 0`` trains on
the labels alone, ``epochs: 0`` not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import nn

from goemo_utils.errors import ParamsError
from goemo_utils.optimise.distil import teach
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, layers_of, save
from goemo_utils.optimise.settings import Trained

SOURCE = "first k: PKD (arXiv 1908.09355); every other: DistilBERT (arXiv 1910.01108)"


class Settings(Trained):
    """Which layers stay: the ``first`` so many ``layers``, or ``every_other``."""

    keep: Literal["first", "every_other"] = "first"
    layers: int | None = Field(None, ge=1)


def kept(depth: int, asked: Settings) -> list[int]:
    """The numbers of the layers that stay. Raises ParamsError where nothing would go."""
    if asked.keep == "every_other":
        chosen = list(range(0, depth, 2))
    else:
        chosen = list(range(asked.layers or max(1, depth // 2)))
    if len(chosen) >= depth:
        raise ParamsError(
            f"layers is {asked.layers}, and the model has {depth}; expected fewer. Lower layers."
        )
    return chosen


def cut(model: Any, chosen: list[int]) -> None:
    """Leave only the chosen layers in the model and in its config."""
    layers = layers_of(model)
    whole = list(layers)
    del layers[:]
    layers.extend(whole[i] for i in chosen)
    model.config.num_hidden_layers = len(chosen)


def build(lab: Lab, asked: Settings, folder: Path, say: Say) -> Made:
    """The shallower model, trained on where asked."""
    base = lab.model_of(asked.of)
    model: nn.Module = base.model
    cut(model, kept(len(layers_of(model)), asked))
    model, training = teach(lab, model, asked, folder, say, base)
    save(model, lab.folder_of(asked.of), folder / "model")
    trained = training if training["epochs"] else None
    return Made(folder / "model", {"kind": "classifier", "dtype": "float32"}, trained)


def title(asked: Settings) -> str:
    """The rung in words."""
    which = "every other layer" if asked.keep == "every_other" else _first(asked.layers)
    how = "distilled, states too" if asked.hidden else "distilled"
    if not asked.share:
        how = "labels alone"
    return f"{which}, {'untrained' if asked.epochs == 0 else how}"


def _first(number: int | None) -> str:
    if number is None:
        return "first half of the layers"
    return "first layer" if number == 1 else f"first {number} layers"
