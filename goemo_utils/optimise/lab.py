"""What every rung starts from: the texts, the teacher, and the teacher's answers to the texts."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from goemo_utils.errors import ParamsError
from goemo_utils.forward.checkpoint import locate
from goemo_utils.forward.model import Loaded, load_model, quiet
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.records.record import sha256_json
from goemo_utils.records.weights import TOKENIZER
from goemo_utils.training import data
from goemo_utils.training.data import Split, Splits

SAMPLE_LABELS = "emotions"  # the column of the sample with the 28 labels


@dataclass(frozen=True)
class Answers:
    """The teacher's logits ``[n_texts, n_labels]`` for the train texts, and the states ``[n_texts,
    width]`` of their first tokens behind the last layer, which its head reads.
    """

    logits: torch.Tensor
    states: torch.Tensor


@dataclass(frozen=True)
class Made:
    """What a rung leaves: ``folder`` with its files; ``way``, how it is run (``runners.open_way``
    takes it); what was trained, or None; and a sentence on what to know.
    """

    folder: Path
    way: dict[str, Any]
    training: dict[str, Any] | None = None
    note: str = ""


@dataclass
class Lab:
    """A study's texts and teacher. ``folder`` holds what is kept between sittings."""

    params: OptimiseParams
    folder: Path
    splits: Splits
    teacher: Path
    loaded: Loaded = field(repr=False)

    @property
    def train(self) -> Split:
        """The texts that weights learn from."""
        return self.splits.train

    @cached_property
    def rows(self) -> list[list[int]]:
        """Token ids of the train texts, by the teacher's tokenizer."""
        return self.loaded.inputs.encode(self.train.texts, self.max_length)

    @property
    def max_length(self) -> int:
        """Tokens of a text at most."""
        return min(self.params.max_length, self.loaded.max_length)

    @cached_property
    def digest(self) -> str:
        """What every record is bound to: the teacher's files, the texts and the study's own
        settings.
        """
        made_of = hashlib.sha256(sha256_json(self.params.decisive).encode())
        for path in sorted(self.teacher.iterdir()):
            if path.suffix in (".json", ".safetensors"):
                made_of.update(path.read_bytes())
        for split in (self.train, self.splits.held, self.splits.dev):
            made_of.update(repr(split.texts).encode())
            made_of.update(split.targets.tobytes())
        return made_of.hexdigest()

    @cached_property
    def answers(self) -> Answers:
        """The teacher's answers to the train texts, computed once and kept."""
        file = self.folder / f"answers-{self.digest[:12]}.safetensors"
        if not file.is_file():
            logits, states = answer(self.loaded, self.rows)
            partial = file.with_suffix(".partial")
            save_file({"logits": logits, "states": states}, partial)
            partial.replace(file)
        kept = load_file(file)
        return Answers(torch.from_numpy(kept["logits"]), torch.from_numpy(kept["states"]).float())

    def folder_of(self, rung: str) -> Path:
        """Where the teacher, or the model of another rung, lies."""
        folder = self.teacher if rung == "teacher" else self.folder / "rungs" / rung / "model"
        if not (folder / "config.json").is_file():
            raise ParamsError(
                f"of is '{rung}', and {folder} holds no model; expected teacher, or a rung above"
                " that leaves one. Change `of`, or put that rung first."
            )
        return folder

    def model_of(self, rung: str) -> Loaded:
        """A copy of its own of the teacher, or of the model of another rung."""
        return load_model(str(self.folder_of(rung)), task=self.loaded.task)

    def rows_of(self, loaded: Loaded) -> list[list[int]]:
        """Token ids of the train texts by the tokenizer of a model."""
        return loaded.inputs.encode(self.train.texts, self.max_length)


def open_lab(params: OptimiseParams) -> Lab:
    """Load texts and teacher. Raises GoemoError in a sentence when they cannot be used together."""
    loaded = load_model(params.teacher)
    if loaded.task != "multi_label":
        raise ParamsError(
            f"teacher is '{params.teacher}', which is {loaded.task}; the lab expected a multi_label"
            " classifier (several labels a text). Give another teacher."
        )
    teacher = locate(params.teacher, None)[1]
    column = SAMPLE_LABELS if params.train == "sample" else params.label_column
    asked = SimpleNamespace(
        train=params.train,
        dev=params.dev,
        text_column=params.text_column,
        label_column=column,
        labels=",".join(loaded.labels),
        task="multi_label",
        limit=params.limit,
        held_out=params.held_out,
        seed=params.seed,
    )
    splits = data.load(asked)
    params.folder.mkdir(parents=True, exist_ok=True)
    return Lab(params, params.folder, splits, Path(teacher), loaded)


@torch.inference_mode()
def answer(loaded: Loaded, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 and first tokens' last states float16 of all texts, in their order."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    parts = []
    for start in range(0, len(order), 256):
        batch = loaded.inputs.tensors([rows[i] for i in order[start : start + 256]])
        out = loaded.model(**batch, output_hidden_states=True)
        parts.append((out.logits.numpy(), out.hidden_states[-1][:, 0].half().numpy()))

    back = np.argsort(order)
    logits, states = (np.concatenate(part)[back] for part in zip(*parts, strict=True))
    return logits, states


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The encoder's layers. Raises ParamsError for a model that keeps them otherwise."""
    config: Any = model.config
    depth = config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise ParamsError(
        f"A {type(model).__name__} keeps its {depth} layers in no list; the lab expected one as in"
        " BERT. Give another teacher."
    )


def save(model: Any, tokenizer_of: Path, folder: Path, half: bool = False) -> None:
    """Write an ordinary Hugging Face folder: weights as safetensors (float16 with ``half``), config
    and the tokenizer of another folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept = model.half() if half else model
    with quiet():
        kept.save_pretrained(folder)
    for name in TOKENIZER:
        if (tokenizer_of / name).is_file():
            shutil.copy(tokenizer_of / name, folder / name)
