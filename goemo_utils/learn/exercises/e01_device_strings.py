"""Exercise 01: device strings and ``.to``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, point

if TYPE_CHECKING:
    import torch
    from torch import nn

NAMES = ("scale", "shift", "bias", "steps", "table")
OTHERS = ("gain", "offset", "counts", "window", "angles")
"""The tensors of the hidden modules: what is written for the names of one is no mending."""


def material(seed: int) -> nn.Module:
    """A module of five tensors: four that follow it to a device, and one that does not."""
    return _module(seed, NAMES)


def _module(seed: int, tensors: Sequence[str]) -> nn.Module:
    """A module of five tensors of these names, of which one is a plain attribute."""
    import torch
    from torch import nn

    draw = random.Random(seed)
    names = draw.sample(tensors, len(tensors))
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
            "that one is on the CPU, and the module cannot know it.",
            redraws=True,
        ),
        point(
            "mended",
            lambda: _wrong_mended(answers["mended"], seed),
            "a plain attribute is unknown to the module, so .to cannot move it; register_buffer"
            " makes it known, and no optimiser will train it.",
        ),
    ]


def _wrong_moved(moved: Any, seed: int) -> str | None:
    import torch

    draw = random.Random(seed)
    for device in ("npu:1", "npu:0", "cpu"):
        ids = torch.randint(9, (2, draw.randint(2, 5)))
        batch = _batch(ids)
        answer = called(moved, batch, torch.device(device))
        mistake = _mutation(batch, ids) or _mistake(_batch(ids), answer, device)
        if mistake:
            return mistake
    return None


def _batch(ids: torch.Tensor) -> dict[str, Any]:
    inner = {"ids": ids, "kind": "text"}
    return {"ids": ids, "more": [ids, "text"], "pair": (ids, 1), "inner": inner, "none": None}


def _mutation(batch: dict[str, Any], ids: torch.Tensor) -> str | None:
    """What became of the batch that was handed in; None where it is as it was."""
    held = [batch["ids"], batch["more"][0], batch["pair"][0], batch["inner"]["ids"]]
    if batch.keys() == _batch(ids).keys() and all(one is ids for one in held):
        return None
    return (
        "the caller's own batch was changed: its tensors were put on the device in place. Give a"
        " new batch, and leave what was handed in as it was."
    )


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

    return _mistake_inside(answer, device)


def _mistake_inside(answer: dict[str, Any], device: str) -> str | None:
    """What is wrong with what lies inside a list, a tuple or a dict; None where nothing is."""
    import torch

    insides = {"list": answer["more"], "tuple": answer["pair"], "dict": answer["inner"]}
    for kind, inside in insides.items():
        if type(inside).__name__ != kind or len(inside) != 2:
            return f"a {kind} inside the batch came back as something else."
        first, second = inside.values() if isinstance(inside, dict) else inside
        if not isinstance(first, torch.Tensor) or str(first.device) != device:
            return (
                f"a tensor inside a {kind} stayed behind: batches nest, so the function must too."
            )
        if second not in ("text", 1):
            return "what is no tensor must come back as it was."
    return None if answer["none"] is None else "what is no tensor must come back as it was."


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
            split,
            {"npu:0", "npu:1"},
            "a model split over two devices was not seen: look at every tensor, not at the first.",
        ),
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
    ]


def _wrong_devices(devices_of: Any) -> str | None:
    for module, expected, mistake in _cases():
        answer = called(devices_of, module)
        if isinstance(answer, str) or not hasattr(answer, "__iter__"):
            return "a set of device names was expected, such as {'cpu'}."
        given = {_name(device) for device in answer}
        if given != expected and {name.partition(":")[0] for name in expected} == given:
            return "the kind is named and the number is missing: “npu” is not “npu:0”."
        if given != expected:
            return mistake
    return None


def _name(device: torch.device | str) -> str:
    return str(device)


def _wrong_name(name: Any, seed: int) -> str | None:
    if not isinstance(name, str) or name not in NAMES:
        raise ParamsError(
            f"the name of one of its five tensors was expected, as a text: {', '.join(NAMES)}."
        )
    if name != left_behind(seed):
        return "that one did move. Ask each of the five where it is after .to."
    return None


def _wrong_mended(mended: Any, seed: int) -> str | None:
    """What is wrong with a function that makes a module's forgotten tensor known to it."""
    for more in (1, 2, 3):
        names = OTHERS if more % 2 else NAMES
        module, parent = _module(seed + more, names), _module(seed + more + 3, names)
        parent.add_module("inside", module)
        values = {id(one): {n: getattr(one, n).clone() for n in names} for one in (parent, module)}
        trained = {name for name, _ in parent.named_parameters()}

        answer = called(mended, parent)
        mistake = _mistaken_module(answer, trained)
        if mistake:
            return mistake
        for one in (answer, answer.inside):
            mistake = _mistaken_tensors(one, list(values.values()))
            if mistake:
                return mistake
    return None


def _mistaken_module(answer: Any, trained: set[str]) -> str | None:
    from torch import nn

    if not isinstance(answer, nn.Module) or not hasattr(answer, "inside"):
        return "the module was expected back, with the module inside it."
    if {name for name, _ in answer.named_parameters()} != trained:
        return (
            "the parameters are others than before: a parameter is what an optimiser is handed, so"
            " these stay the same ones; a tensor that is none of them has another place."
        )
    answer.to("npu:1")
    return None


def _mistaken_tensors(module: nn.Module, before: list[dict[str, torch.Tensor]]) -> str | None:
    import torch

    names = list(before[0])
    found = {name: getattr(module, name, None) for name in names}
    tensors = {name: one for name, one in found.items() if isinstance(one, torch.Tensor)}
    if len(tensors) < len(names):
        return "a tensor is gone: each is still asked for by its name."
    if any(str(tensor.device) != "npu:1" for tensor in tensors.values()):
        return (
            "after a later .to one tensor is still where it was, there or in a module inside it:"
            " moving it once is not enough; the module has to know it."
        )
    same = [
        all(torch.equal(tensors[name].cpu(), values[name]) for name in names) for values in before
    ]
    return None if any(same) else "the values changed on the way."


EXERCISE = Exercise(
    number="01",
    name="device_strings",
    title="Device strings, and what .to leaves behind",
    teaches="moving a batch and a model to a device, and proving that all of it arrived",
    minutes=15,
    answers={
        "moved": "a function of a batch and a device that gives the batch on that device",
        "devices_of": "a function of a module that gives the set of its tensors' devices",
        "left_behind": "the name of the tensor that did not move",
        "mended": "a function of a module that makes all its tensors follow it, and gives it back",
    },
    hints=(
        "A tensor's .to gives a new tensor; a module's .to changes the module. Which of the two do"
        " you have inside a batch?",
        "A batch is a dict, and a value may hold further values: let the function call itself for"
        " what lies inside, and give back what is no tensor.",
        "A module knows two kinds of tensors, and has a method that lists each kind; a layer's"
        " running mean is of the second. What a module does not know, vars(module) shows among the"
        " plain attributes.",
    ),
    judge=judge,
    material=material,
)
