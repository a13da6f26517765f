"""Exercise 03: ``.double()`` that is not, and a gold that is."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from goemo_utils.learn.exercise import (
    Answers,
    Exercise,
    Point,
    as_number,
    called,
    number_near,
    point,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

WITHIN = 0.05


def material(seed: int) -> torch.Tensor:
    """Losses on the device, float32: a large one, and many too small to be seen beside it."""
    import torch

    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    power = draw.randint(12, 15)
    unseen = 2.0 ** (power - 24)  # half the distance to the next float32
    count, share = draw.randint(800, 2000), draw.uniform(0.2, 0.95)
    small = torch.rand(count, generator=generator) * (unseen * share)
    return torch.cat([torch.tensor([2.0**power]), small]).to("npu:0")


def summed(losses: torch.Tensor) -> float:
    """The losses added one after another in float32, as a training loop does. (torch's ``cumsum``
    on a CPU keeps its total in float64, and so does the rehearsal device, which computes by it.)
    """
    import numpy as np

    return float(np.cumsum(losses.cpu().numpy(), dtype=np.float32)[-1])


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the size of the error, and two functions on hidden tensors and models."""
    return [
        point(
            "relative_error",
            lambda: _wrong_error(answers["relative_error"], seed),
            "float32 adds a small number to a large total and loses most of it; the device's"
            " “double” lost exactly as much.",
            guessable=True,
        ),
        point(
            "widened",
            lambda: _wrong_widened(answers["widened"]),
            "first to the CPU, then wider: the other way round there is nothing to widen into.",
        ),
        point(
            "gold_of",
            lambda: _wrong_gold(answers["gold_of"], seed),
            "a gold in float64, and the model that serves users is where and what it was.",
        ),
    ]


def _wrong_error(answer: Any, seed: int) -> str | None:
    answer = as_number(answer)
    losses = material(seed)
    exact = float(losses.cpu().double().sum())
    signed = (summed(losses) - exact) / exact

    if abs(answer) < 1e-12:
        return (
            "an error of nothing: both totals were made in the same precision. Ask the dtype of"
            " what you call exact."
        )
    if number_near(answer, abs(signed) * exact, WITHIN):
        return "that is the difference itself; divide it by the exact total."
    if number_near(answer, abs(signed) * 100, WITHIN):
        return "that is the error in per cent; a share was asked for."
    if number_near(answer, -abs(signed), WITHIN):
        return "that is the signed difference; give its size."
    if not number_near(answer, abs(signed), WITHIN):
        return (
            "that is not the running total's error against the exact one. The running total is"
            " made on the device, the exact one where float64 is what it says."
        )
    return None


def _wrong_widened(widened: Any) -> str | None:
    import torch

    for device in ("npu:0", "cpu"):
        tensor = torch.tensor([0.1, 2.0**-30], device=device)
        answer = called(widened, tensor)
        if not isinstance(answer, torch.Tensor):
            return f"a tensor was expected, and {type(answer).__name__} came."
        if answer.dtype != torch.float64:
            return (
                f"the dtype is {answer.dtype}. On this device .double() gives float32 and says so"
                " where nobody looks; what comes after it cannot bring the bits back."
            )
        if not torch.equal(answer, tensor.cpu().double()):
            return "the values differ from the tensor's own; only the dtype may change."

    count = torch.tensor([2**24 + 1], device="npu:0")
    answer = called(widened, count)
    if answer.dtype != torch.float64:
        return f"whole numbers came back as {answer.dtype}: float64 was asked for these too."
    if int(answer[0]) != 2**24 + 1:
        return (
            "16777217, a whole number on the device, came back as another: it went through the"
            " device's float32 on the way. The order of the two steps matters."
        )
    return None


def _wrong_gold(gold_of: Any, seed: int) -> str | None:
    import torch

    torch.manual_seed(seed % 1000)
    ids = torch.tensor([[3, 1], [5, 0]])
    numbers = torch.randn(5, 16)
    cases = [(_of_numbers(), numbers, "npu:0"), (_of_tokens(), ids, "npu:0")]
    cases += [(_half_frozen(), numbers, "npu:1"), (_of_tokens().eval(), ids, "npu:1")]
    for model, inputs, device in cases:
        with torch.no_grad():
            twin = copy.deepcopy(model).double().eval()
            expected = twin(inputs if inputs.dtype == torch.int64 else inputs.double())
        before = State(model.to(device))
        answer = called(gold_of, model, inputs.to(device))
        mistake = before.mistake(model) or _mistaken_gold(answer, expected)
        if mistake:
            return mistake
    return None


class State:
    """A model in use: where its tensors are, and the mode of each of its modules."""

    def __init__(self, model: nn.Module) -> None:
        self.device = next(model.parameters()).device
        self.places = [one.data_ptr() for one in model.state_dict().values()]
        self.modes = [module.training for module in model.modules()]

    def mistake(self, model: nn.Module) -> str | None:
        """What has become of the model; None where it is where it was, and what it was."""
        if next(model.parameters()).device.type == "cpu":
            return "the model itself has left the device: .cpu() of a module works in place."
        if [module.training for module in model.modules()] != self.modes:
            return (
                "a module of the model was in training and is not any more, or the other way round:"
                " .eval() and .train() of a module work in place."
            )
        if [one.data_ptr() for one in model.state_dict().values()] != self.places:
            return (
                "the model was taken apart and put back: while it is in use, somebody else asks it"
                " in between. Leave it alone."
            )
        return None


def _half_frozen() -> nn.Module:
    """A model in training whose normalisation has a history and is frozen."""
    import torch
    from torch import nn

    norm = nn.BatchNorm1d(8).eval()
    norm.register_buffer("running_mean", torch.full((8,), 0.3))
    return nn.Sequential(nn.Linear(16, 8), norm, nn.Dropout(0.5), nn.Linear(8, 4))


def _of_numbers() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.5), nn.Linear(32, 4))


def _of_tokens() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Embedding(7, 6), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 4))


def _mistaken_gold(answer: Any, expected: torch.Tensor) -> str | None:
    import torch

    if not isinstance(answer, torch.Tensor) or answer.shape != expected.shape:
        return "the model's output was expected, one row a text."
    if answer.dtype != torch.float64:
        return f"the output is {answer.dtype}: somewhere on the way it was computed in float32."

    error = float((answer.detach().cpu() - expected).abs().max())
    if error > 1e-3:
        return (
            f"the output is float64 and off by {error:.0e}, far more than rounding: an answer that"
            " users get has no dropout in it."
        )
    if error > 1e-10:
        return (
            f"the output is float64 and off by {error:.0e}, as float32 is: it was computed in"
            " float32 and widened afterwards."
        )
    return None


EXERCISE = Exercise(
    number="03",
    name="double",
    title="A .double() that is not",
    teaches="what the device makes of float64, and how to get a gold that deserves the name",
    minutes=15,
    answers={
        "relative_error": "the relative error of the running total on the device",
        "widened": "a function of a tensor that gives it in float64",
        "gold_of": "a function of a model and its inputs that gives the output in float64",
    },
    hints=(
        "Look at the dtype of a tensor after .double() on the device, before you look at any"
        " value.",
        "float64 lives on the CPU only. Which of the two steps has to come first, the copy or the"
        " widening?",
        "A module's .cpu() and .double() change the module itself. Whoever needs the model as it"
        " is works on a copy of it (the standard library has a module for copies).",
    ),
    judge=judge,
    material=material,
)
