"""Exercise 01: device strings and ``.to``."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from goemo_utils.learn.exercise import Answers, Exercise, Point, called, point

if TYPE_CHECKING:
    import torch
    from torch import nn

NAMES = ("scale", "shift", "bias", "steps", "table")


def material(seed: int) -> nn.Module:
    """A module of five tensors: four that follow it to a device, and one that does not."""
    import torch
    from torch import nn

    draw = random.Random(seed)
    names = draw.sample(NAMES, len(NAMES))
    module = nn.Module()
    for name in names[1:3]:
        module.register_parameter(name, nn.Parameter(torch.randn(4)))
    for name in names[3:]:
        module.register_buffer(name, torch.randn(4))
    setattr(module, names[0], torch.randn(4))
    return module


def left_behind(seed: int) -> str:
    """The name of the tensor that stays where it was made."""
    return random.Random(seed).sample(NAMES, len(NAMES))[0]


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the two functions on hidden cases, and the name of the tensor left behind."""
    return [
        point(
            "moved",
            lambda: _wrong_moved(answers["moved"], seed),
            "it moves what is a tensor, to whatever device is asked for, and keeps the rest.",
        ),
        point(
            "devices_of",
            lambda: _wrong_devices(answers["devices_of"]),
            "it tells every device that parameters and buffers lie on: a proof, not a hope.",
        ),
        point(
            "left_behind",
            lambda: _wrong_name(answers["left_behind"], seed),
            "a plain attribute is unknown to the module, so .to cannot move it; register_buffer"
            " makes it known.",
            redraws=True,
        ),
    ]


def _wrong_moved(moved: Any, seed: int) -> str | None:
    import torch

    draw = random.Random(seed)
    for device in ("npu:1", "npu:0", "cpu"):
        ids = torch.randint(9, (2, draw.randint(2, 5)))
        batch: dict[str, Any] = {"ids": ids, "more": [ids + 1, "text"], "n": 3, "none": None}
        own = batch | {"more": list(batch["more"])}
        answer = called(moved, own, torch.device(device))
        if own["ids"] is not ids or own["more"][0] is not batch["more"][0]:
            return "the caller's own batch was changed: give a new one, and leave the old as it is."
        mistake = _mistake(batch, answer, device)
        if mistake:
            return mistake
    return None


def _mistake(batch: dict[str, Any], answer: Any, device: str) -> str | None:
    """What is wrong with a batch that should have been moved; None where nothing is."""
    import torch

    if not isinstance(answer, dict) or answer.keys() != batch.keys():
        return "a dict with the same keys was expected back."
    ids = answer["ids"]
    if not isinstance(ids, torch.Tensor) or ids.device.type == "cpu" != device[:3]:
        return "the tensors are where they were: .to of a tensor gives a new one, so use its value."
    if str(ids.device) != device:
        return f"asked for {device}, got {ids.device}: is a device written into the function?"
    if not torch.equal(ids.cpu(), batch["ids"]):
        return "the values changed on the way; only the device may."

    more = answer["more"]
    if not isinstance(more, list) or len(more) != 2 or not isinstance(more[0], torch.Tensor):
        return "a list inside the batch came back as something else."
    if str(more[0].device) != device:
        return "a tensor inside a list stayed behind: batches nest, so the function must too."
    if (more[1], answer["n"], answer["none"]) != ("text", 3, None):
        return "what is no tensor must come back as it was."
    return None


def _cases() -> list[tuple[nn.Module, set[str], str]]:
    """Modules, the devices that their tensors lie on, and the mistake that misses one."""
    import torch
    from torch import nn

    whole = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to("npu:0")

    forgotten = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to("npu:0")
    forgotten[1].running_mean = torch.zeros(2)

    unsaved = nn.Linear(2, 2).to("npu:0")
    unsaved.register_buffer("positions", torch.zeros(2), persistent=False)

    split = nn.Sequential(nn.Linear(2, 2).to("npu:0"), nn.Linear(2, 2).to("npu:1"))

    return [
        (whole, {"npu:0"}, "all of one model is on one device, and the answer names another."),
        (
            forgotten,
            {"npu:0", "cpu"},
            "a model whose running mean lies on the CPU passed as whole: a buffer is no parameter.",
        ),
        (
            unsaved,
            {"npu:0", "cpu"},
            "a buffer that is not saved lies on the CPU, and state_dict does not list it.",
        ),
        (
            split,
            {"npu:0", "npu:1"},
            "a model split over two devices was not seen: look at every tensor, not at the first.",
        ),
    ]


def _wrong_devices(devices_of: Any) -> str | None:
    for module, expected, mistake in _cases():
        answer = called(devices_of, module)
        if isinstance(answer, str) or not hasattr(answer, "__iter__"):
            return "a set of device names was expected, such as {'cpu'}."
        if {_name(device) for device in answer} != expected:
            return mistake
    return None


def _name(device: torch.device | str) -> str:
    return str(device)


def _wrong_name(name: Any, seed: int) -> str | None:
    if not isinstance(name, str) or name not in NAMES:
        return f"the name of one of its five tensors was expected: {', '.join(NAMES)}."
    if name != left_behind(seed):
        return "that one did move. Ask each of the five where it is after .to."
    return None


EXERCISE = Exercise(
    number="01",
    name="device_strings",
    title="Device strings, and what .to leaves behind",
    teaches="moving a batch and a model to a device, and proving that all of it arrived",
    minutes=20,
    answers={
        "moved": "a function of a batch and a device that gives the batch on that device",
        "devices_of": "a function of a module that gives the set of its tensors' devices",
        "left_behind": "the name of the tensor that did not move",
    },
    hints=(
        "A tensor's .to gives a new tensor; a module's .to changes the module. Which of the two do"
        " you have inside a batch?",
        "A batch is a dict, and a value may be a list of further values: let the function call"
        " itself for what lies inside, and give back what is no tensor.",
        "A module knows two kinds of tensors, and has a method that lists each kind. What it does"
        " not know, vars(module) shows among the plain attributes.",
    ),
    judge=judge,
    material=material,
)
