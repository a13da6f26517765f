"""The losses of fine-tuning: smoothed cross-entropy, and R-Drop over two passes of the same texts.

R-Drop (arXiv 2106.14448) runs every text twice with different dropout and pulls the two answers
together. The paper's equation is (CE₁ + CE₂) + α · ½[KL(1‖2) + KL(2‖1)]; the authors' code
(github.com/dropreg/R-Drop) takes the mean of the cross-entropies instead, ½(CE₁ + CE₂) + α ·
½[KL(1‖2) + KL(2‖1)], and so does this module: a loss with α = 0 is the plain loss. Half of the
paper's loss is ours with half its α, so an α here is worth 2α there. The authors' code sums the
divergence over a batch; here it is a mean over texts like the rest, so that α does not depend on
the batch size.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, log_softmax

Task = Literal["single_label", "multi_label"]


def loss(
    logits: torch.Tensor, targets: torch.Tensor, task: Task, smoothing: float = 0.0
) -> torch.Tensor:
    """The task's loss, a scalar, from logits and targets in 0…1, both [n_texts, n_labels]; half
    precision is widened to float32 first.

    single_label: cross-entropy, mean over texts, with targets y(1-e) + e/n_labels for a smoothing
    e, as torch has it (arXiv 1512.00567). multi_label: binary cross-entropy, mean over texts and
    labels as in transformers, with targets y(1-e) + e/2.
    """
    logits, targets = _wide(logits), targets.to(_wide(logits).dtype)
    if task == "single_label":
        return cross_entropy(logits, targets, label_smoothing=smoothing)

    return binary_cross_entropy_with_logits(
        logits, targets * (1 - smoothing) + smoothing / 2 if smoothing else targets
    )


def divergence(logits_a: torch.Tensor, logits_b: torch.Tensor, task: Task) -> torch.Tensor:
    """½[KL(a‖b) + KL(b‖a)], a scalar ≥ 0: of the label distributions, mean over texts
    (single_label), or of the labels' Bernoulli distributions, mean over texts and labels
    (multi_label).

    Both directions together are Σ(p - q)(log p - log q), and for one Bernoulli variable with logits
    a and b that is (p - q)(a - b): no logarithm of a probability that has run to 0.
    """
    a, b = _wide(logits_a), _wide(logits_b)
    if task == "single_label":
        a, b = log_softmax(a, -1), log_softmax(b, -1)
        return 0.5 * ((a.exp() - b.exp()) * (a - b)).sum(-1).mean()
    return 0.5 * ((torch.sigmoid(a) - torch.sigmoid(b)) * (a - b)).mean()


def r_drop(
    logits_a: torch.Tensor,
    logits_b: torch.Tensor,
    targets: torch.Tensor,
    task: Task,
    alpha: float,
    smoothing: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """R-Drop of two passes over the same texts: (loss, task loss, divergence), scalars with loss =
    task loss + alpha · divergence.

    The task loss is the mean of both passes'. ``alpha`` is the authors' code's, half of the paper's
    (see the module).
    """
    tasked = 0.5 * (
        loss(logits_a, targets, task, smoothing) + loss(logits_b, targets, task, smoothing)
    )
    apart = divergence(logits_a, logits_b, task)

    return tasked + alpha * apart, tasked, apart


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
