"""The training loop both stages share."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from goemo_utils.training.scratch import batches
from goemo_utils.training.scratch.recipe import Stage
from goemo_utils.training.scratch.tokenizer import MASK_ID

Logits = Callable[[nn.Module, torch.Tensor], torch.Tensor]
Network = TypeVar("Network", bound=nn.Module)
MAX_GRADIENT_NORM = 1.0
# The rate ends at this share of its peak, as a cosine that reached zero would waste the last
# batches.
FINAL_SHARE = 0.02


def rate_at(step: int, n_steps: int, warm_up: float) -> float:
    """The learning rate's share of its peak: a linear warm-up over the first share of steps, then a
    cosine to ``FINAL_SHARE``.
    """
    n_warm = max(1, round(warm_up * n_steps))
    if step < n_warm:
        return (step + 1) / n_warm
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (
        1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm))
    )


def train(
    model: Network,
    logits: Logits,
    rows: list[list[int]],
    targets: np.ndarray,
    stage: Stage,
    batch_size: int,
    warm_up: float,
    autocast: str,
    rng: np.random.Generator,
    say: Callable[[str], None] = print,
) -> Network:
    """Train ``model`` on token ids and targets in 0…1 [n_texts, n_labels]; returns the running
    average of its weights.

    The loss is binary cross-entropy summed over labels. Word dropout hides words behind <mask>.
    AdamW decays matrices only.
    """
    averaged = copy.deepcopy(model).eval()
    if not stage.epochs:
        return averaged
    goal = torch.from_numpy(targets)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": stage.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=stage.rate,
        betas=(0.9, 0.98),
        fused=True,
    )

    n_steps, step = stage.epochs * batches.count(len(rows), batch_size), 0
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: rate_at(at, n_steps, warm_up)
    )
    model.train()

    for epoch in range(stage.epochs):
        total = 0.0
        for chosen, ids in batches.shuffled(rows, batch_size, rng):
            hidden = (torch.rand(ids.shape) < stage.word_dropout) & (ids > MASK_ID)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast == "bfloat16"):
                given = logits(model, ids.masked_fill(hidden, MASK_ID))
            loss = (
                binary_cross_entropy_with_logits(given.float(), goal[chosen], reduction="none")
                .sum(1)
                .mean()
            )

            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            step += 1

            # A young average forgets faster, or it would remember the random start.
            keep = min(stage.averaging, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(
                    list(averaged.parameters()), list(model.parameters()), 1 - keep
                )

            total += loss.item() * len(chosen)

        say(f"epoch {epoch + 1} of {stage.epochs}: loss {total / len(rows):.4f}")

    return averaged


@torch.no_grad()
def probabilities(
    model: nn.Module, logits: Logits, rows: list[list[int]], n_labels: int, batch_size: int = 256
) -> np.ndarray:
    """Sigmoid probabilities float32 [n_texts, n_labels] in the order of ``rows``."""
    model.eval()
    answers = np.zeros((len(rows), n_labels), np.float32)
    for chosen, ids in batches.in_order(rows, batch_size):
        answers[chosen] = torch.sigmoid(logits(model, ids).float()).numpy()
    return answers
