"""The one training loop of the lab: any loss, and a kill costs at most the last minutes.

What is random depends on the seed and the step alone (the order of texts, the words hidden,
dropout), so a training that was killed ends with the weights of one that was not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from goemo_utils.forward.inputs import Inputs
from goemo_utils.training.batches import ByLength
from goemo_utils.training.checkpoints import (
    PREFIX,
    discard,
    load_state,
    mark,
    newest,
    save_state,
)
from goemo_utils.training.scratch.loop import MAX_GRADIENT_NORM, rate_at

Network = TypeVar("Network", bound=nn.Module)
Batch = dict[str, torch.Tensor]
# (model, batch, rows of the batch) to a scalar
Loss = Callable[[nn.Module, Batch, torch.Tensor], torch.Tensor]
Say = Callable[[str], None]

SAVE_EVERY = 120.0  # seconds of work that a kill may cost
SAY_EVERY = 20.0
# As in the recipe of the embedded model (training/scratch/loop.py).
BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Plan:
    """How long and how hard is trained.

    ``rate``: peak of a linear warm-up and a cosine. ``word_dropout``: share of words hidden behind
    the mask token. ``averaging``: of the weights, per step; 0 keeps the last ones. ``autocast``:
    none or bfloat16.
    """

    epochs: int = 4
    rate: float = 1e-3
    batch_size: int = 128
    warm_up: float = 0.1
    word_dropout: float = 0.2
    weight_decay: float = 0.05
    averaging: float = 0.995
    autocast: str = "bfloat16"
    seed: int = 0

    def steps(self, n_texts: int) -> int:
        """Optimizer steps in all."""
        return self.epochs * math.ceil(n_texts / self.batch_size)


@dataclass
class _Course:
    """A training under way: what a checkpoint holds."""

    model: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0

    def save(self, folder: Path, digest: str) -> None:
        """Write all of it, then discard older ones."""
        checkpoint = folder / f"{PREFIX}{self.step}"
        discard(checkpoint)
        checkpoint.mkdir(parents=True)
        state = {
            "model": dict(self.model.state_dict()),
            "averaged": dict(self.averaged.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        save_state(checkpoint, "course", state)
        mark(checkpoint, digest)
        for other in folder.glob(f"{PREFIX}*"):
            if other != checkpoint:
                discard(other)

    def load(self, checkpoint: Path) -> None:
        """Go on from what ``save`` wrote."""
        state = load_state(checkpoint, "course")
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def train(
    model: Network,
    rows: list[list[int]],
    loss: Loss,
    plan: Plan,
    inputs: Inputs,
    folder: Path | None = None,
    digest: str = "",
    say: Say = print,
) -> Network:
    """Train ``model`` on the token ids of texts; returns the running average of its weights, ready
    for evaluation.

    With ``folder``, a checkpoint there every two minutes; one of the same ``digest`` (what the job
    is) is resumed from. A parameter without gradient stays as it is. AdamW decays matrices only.
    """
    course = _Course(model, copy.deepcopy(model).eval(), _optimizer(model, plan))
    steps = plan.steps(len(rows))
    checkpoint = newest(folder, digest) if folder else None
    if checkpoint is not None:
        course.load(checkpoint)
        say(f"goes on after step {course.step:,} of {steps:,}")

    model.train()
    saved = told = started = time.monotonic()
    begun, total = course.step, 0.0
    for batch, chosen in _batches(rows, plan, inputs, course.step):
        total += _take(course, batch, chosen, loss, plan, steps, inputs.tokenizer)
        now = time.monotonic()
        if folder and now - saved > SAVE_EVERY:
            course.save(folder, digest)
            saved = time.monotonic()
        if now - told > SAY_EVERY or course.step == steps:
            done = course.step - begun
            left = (now - started) / done * (steps - course.step)
            say(f"step {course.step:,} of {steps:,}, loss {total / done:.4f}, {left:.0f} s left")
            told = now

    if folder:
        course.save(folder, digest)
    return course.averaged  # type: ignore[return-value]  # a copy of model


def _optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.rate, betas=BETAS, fused=True)


def _batches(
    rows: list[list[int]], plan: Plan, inputs: Inputs, done: int
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Padded batches of texts of similar length with their row numbers, without the first
    ``done``.
    """
    sampler = ByLength([len(row) for row in rows], plan.batch_size, plan.seed)
    each = math.ceil(len(rows) / plan.batch_size)
    for epoch in range(done // each, plan.epochs):
        sampler.set_epoch(epoch)
        order = list(sampler)
        first = max(0, done - epoch * each)
        for start in range(first * plan.batch_size, len(order), plan.batch_size):
            chosen = order[start : start + plan.batch_size]
            yield inputs.tensors([rows[i] for i in chosen]), torch.tensor(chosen)


def _take(
    course: _Course,
    batch: Batch,
    chosen: torch.Tensor,
    loss: Loss,
    plan: Plan,
    steps: int,
    tokenizer: Any,
) -> float:
    """One optimizer step; the loss."""
    torch.manual_seed(plan.seed * 1_000_003 + course.step)
    for group in course.optimizer.param_groups:
        group["lr"] = plan.rate * rate_at(course.step, steps, plan.warm_up)

    batch = {**batch, "input_ids": _hidden(batch["input_ids"], plan.word_dropout, tokenizer)}
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.autocast == "bfloat16"):
        value = loss(course.model, batch, chosen)
    course.optimizer.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(course.model.parameters(), MAX_GRADIENT_NORM)
    course.optimizer.step()
    course.step += 1

    # A young average forgets faster, or it would remember the start.
    keep = min(plan.averaging, (1 + course.step) / (10 + course.step)) if plan.averaging else 0.0
    with torch.no_grad():
        torch._foreach_lerp_(
            list(course.averaged.parameters()), list(course.model.parameters()), 1 - keep
        )
    return float(value.detach())


def _hidden(ids: torch.Tensor, share: float, tokenizer: Any) -> torch.Tensor:
    """Token ids with a share of the words behind the mask token; a tokenizer without one hides
    none.
    """
    if not share or tokenizer.mask_token_id is None:
        return ids
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    return ids.masked_fill((torch.rand(ids.shape) < share) & ~special, tokenizer.mask_token_id)


def settings(plan: Plan) -> dict[str, Any]:
    """The plan as a record holds it."""
    return asdict(plan)
