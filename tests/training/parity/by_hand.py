"""One training by hand: a model of one layer, its batches, and a right training to judge it by."""

import functools

import torch
from torch import nn

from goemo_utils.forward.device import Device
from goemo_utils.training.parity import measures, roles
from tests.rehearsal.children import in_child

CPU = Device("cpu", "cpu", "cpu", "CPU")
JOB = {
    "role": "reference",
    "task": "multi_label",
    "smoothing": 0.0,
    "dtype": "float32",
    "learning_rate": 1e-2,
    "warm_up": 0.0,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
}


def apart(test):
    """Run a test in a forked child: autograd counts the devices at its first backward pass, and a
    later test may want to add the rehearsal's.
    """

    @functools.wraps(test)
    def run():
        in_child(test)

    return run


class Tiny(nn.Module):
    """One matrix and one bias, taking features by name and giving logits as a classifier does."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(3, 2)
        with torch.no_grad():
            self.dense.weight.copy_(torch.tensor([[0.5, -0.25, 1.0], [0.125, 0.75, -1.0]]))
            self.dense.bias.copy_(torch.tensor([0.25, -0.5]))

    def forward(self, x):
        return type("Output", (), {"logits": self.dense(x.to(self.dense.weight.dtype))})()


def batches(n=2):
    g = torch.Generator().manual_seed(0)
    return [
        ({"x": torch.randn(4, 3, generator=g)}, (torch.rand(4, 2, generator=g) < 0.5).float())
        for _ in range(n)
    ]


def yardstick(model):
    """Gold, three right trainings, and gold's tensors and masks, which others are compared with."""
    (gold,), trace = roles.trainings(model, batches(4), {**JOB, "role": "gold"}, CPU)
    against = {"gold": (trace.first, trace.final)}
    right, _ = roles.trainings(
        model, batches(4), JOB, CPU, orders=3, against=against, sides=trace.sides
    )
    return gold, right, against, trace.sides


def judged(sides, model):
    gold, right, against, masks = sides
    (found,), _ = roles.trainings(
        model, batches(4), {**JOB, "role": "candidate"}, CPU, against=against, sides=masks
    )
    return measures.against_float64(gold, right, found)
