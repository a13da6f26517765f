"""Asks a model a few short texts, and notes which tables it looks its inputs up in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from goemo_utils.errors import ModelError, first_line
from goemo_utils.forward.inputs import PLAIN, Inputs
from goemo_utils.forward.state import accepted
from goemo_utils.records.pairs import PAIR

SHORT = "I am so happy today!"
LONG = (
    "Why does the second draft cost more than the first? I don't get it, and nobody has told me"
    " what the meeting on Thursday at ten is going to be about."
)
# Lengths of the longer probe that are tried, in tokens: a model of few places takes a shorter one.
# Odd ones: a model that works in blocks of tokens pads them inside.
LENGTHS = (23, 13, 9)
SHORTER = 7


class Watch(TorchFunctionMode):
    """Notes which tables are looked up, and by which indices."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is torch.nn.functional.embedding:
            indices = given.get("input", args[0] if args else None)
            weight = given.get("weight", args[1] if len(args) > 1 else None)
            if indices is not None and weight is not None:
                self.lookups.append((weight, indices.detach().clone()))
        return func(*args, **given)

    def rows_for(self, row: Sequence[int]) -> int | None:
        """Rows of the table in which these tokens were looked up."""
        for weight, indices in self.lookups:
            if indices.flatten().tolist() == list(row):
                return len(weight)
        return None


@dataclass(frozen=True)
class Asked:
    """A text that was asked alone: its tokens, the answer, and the tables that were looked up."""

    row: list[int]
    answer: list[torch.Tensor]
    watch: Watch


@dataclass(frozen=True)
class Probe:
    """A short text and a longer one."""

    short: Asked
    long: Asked


class Asker:
    """Runs the model on rows of tokens."""

    def __init__(self, model: nn.Module, tokenizer: Any, folder: Path) -> None:
        self.model, self.tokenizer, self.folder = model, tokenizer, folder

    def fields(self, text: str) -> tuple[str, ...]:
        """What the tokenizer gives beside ids and mask, for such a text, and the model takes."""
        first, pair, second = text.partition(PAIR)
        given = self.tokenizer(first, second) if pair else self.tokenizer(first)
        takes = accepted(self.model)
        names = [name for name in given if name not in PLAIN]
        return tuple(name for name in names if takes is None or name in takes)

    def needs(self, fields: tuple[str, ...], row: list[int]) -> bool:
        """Whether the fields change an answer. Types of nothing but zeros are what BERT's kin
        assume without them, and plain ids are faster; XLM's look them up as words.
        """
        with_fields = self.answer(Inputs(self.tokenizer, fields), [row])
        without = self.answer(Inputs(self.tokenizer), [list(row)])
        return any(not torch.equal(a, b) for a, b in zip(with_fields, without, strict=True))

    def probe(self, inputs: Inputs) -> Probe:
        """Ask a short and a longer text; the longer is as long as the model allows."""
        error: Exception = ValueError("no length was tried")
        for length in LENGTHS:
            short = inputs.encode([SHORT + " " + LONG], min(SHORTER, length - 2))[0]
            long = inputs.encode([LONG + " " + LONG], length)[0]
            watch, of_long = Watch(), Watch()
            try:
                asked = self.watched(inputs, short, watch)
                return Probe(asked, self.watched(inputs, long, of_long))
            except Exception as failed:  # each family raises its own
                error = failed
            check_vocabulary(self.folder, self.tokenizer, watch.rows_for(short))

        raise ModelError(
            f"{self.folder} fails on its first text ({type(error).__name__}: {first_line(error)})."
            " Check that config.json and the tokenizer belong to its weights, and that it needs"
            " nothing but text."
        )

    def watched(self, inputs: Inputs, row: list[int], watch: Watch) -> Asked:
        """Ask a text of ``row``'s tokens, and let ``watch`` note what is looked up meanwhile."""
        with watch:
            return Asked(row, self.answer(inputs, [row]), watch)

    def answer(
        self, inputs: Inputs, rows: Sequence[Sequence[int]], to: int = 0
    ) -> list[torch.Tensor]:
        """The logits ``[texts, labels]``, or, of a model without a head, the hidden states of each
        text's real tokens, averaged: ``[texts, features]``.
        """
        batch = inputs.tensors(rows, to)
        with torch.no_grad():
            output = self.model(**batch)

        if "logits" in output:
            return [output.logits.float()]

        states = output.last_hidden_state.float()
        if states.shape[:2] != batch["attention_mask"].shape:
            return [states.mean(1)]

        mask = batch["attention_mask"][..., None].float()

        return [(states * mask).sum(1) / mask.sum(1).clamp(min=1)]


def check_vocabulary(folder: Path, tokenizer: Any, rows: int | None) -> None:
    """Raise ModelError where the tokenizer knows tokens beyond the ``rows`` of the model's table.

    Tokens are added to a tokenizer in one line, and the table is resized in another.
    """
    added = getattr(tokenizer, "added_tokens_decoder", None) or {}
    tokens = max([len(tokenizer), *(number + 1 for number in added)])
    if rows is not None and tokens > rows:
        raise ModelError(
            f"The tokenizer in {folder} knows {tokens} tokens and the model's table holds {rows}:"
            " a text with one of the others would fail. Resize the embeddings where the tokens"
            " were added (resize_token_embeddings) and save again, or take the tokenizer that"
            " belongs to the weights."
        )
