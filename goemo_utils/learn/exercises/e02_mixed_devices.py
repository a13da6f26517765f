"""Exercise 02: tensors of two devices in one expression, and the way to numpy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn.exercise import Answers, Exercise, Point, called, point

if TYPE_CHECKING:
    import torch

# What is tried, whether it raises, and what a learner overlooks who thinks otherwise.
LINES: dict[str, tuple[bool, str]] = {
    "on_npu + on_cpu": (True, "two whole tensors on two devices can never be added."),
    "torch.cat([on_npu, on_cpu])": (True, "cat makes one tensor, so its parts share a device."),
    "on_npu[index_on_cpu]": (False, "indices may come from the CPU."),
    "on_cpu[index_on_npu]": (True, "an index may come from the CPU, but not from the device."),
    "on_npu * torch.tensor(2.0)": (False, "a tensor without axes on the CPU counts as a number."),
    "on_npu.to('cpu') + on_cpu": (False, "after .to both are on the CPU."),
}
LETTERS = "abcdef"


@dataclass(frozen=True)
class Part:
    """A tensor as the rule sees it: where it is, and how many axes it has."""

    device: str
    axes: int


# What a line does with two tensors: an operator on both, cat of both, or the first indexed by the
# second. Each case is one that the six lines do not show.
CASES: tuple[tuple[str, Part, Part, bool, str], ...] = (
    ("operator", Part("cpu", 0), Part("npu:0", 2), False, "it does not matter which comes first."),
    (
        "operator",
        Part("npu:0", 0),
        Part("cpu", 1),
        True,
        "a number on the device is no CPU number.",
    ),
    ("operator", Part("npu:1", 0), Part("npu:0", 1), True, "two devices are two devices."),
    ("operator", Part("npu:0", 1), Part("npu:1", 1), True, "two NPUs are two devices."),
    ("operator", Part("npu:1", 1), Part("npu:1", 2), False, "both lie on one device."),
    ("operator", Part("npu:0", 0), Part("cpu", 0), False, "two numbers may always be mixed so."),
    ("operator", Part("npu:0", 2), Part("cpu", 1), True, "a tensor with axes is no number."),
    ("cat", Part("npu:0", 1), Part("npu:1", 1), True, "cat makes one tensor on one device."),
    ("cat", Part("cpu", 1), Part("npu:0", 1), True, "the order of the parts does not help cat."),
    ("cat", Part("npu:1", 2), Part("npu:1", 2), False, "both lie on one device."),
    ("index", Part("npu:1", 2), Part("cpu", 1), False, "any device reads an index of the CPU."),
    ("index", Part("npu:0", 1), Part("npu:1", 1), True, "an index of another NPU is not read."),
    ("index", Part("cpu", 2), Part("npu:1", 1), True, "the CPU reads no index of a device."),
    ("index", Part("npu:0", 2), Part("npu:0", 1), False, "both lie on one device."),
)


def material(seed: int) -> dict[str, tuple[str, Callable[[], torch.Tensor]]]:
    """The six lines under letters: each with its text and a function that runs it."""
    names = _names()
    return {letter: (line, _running(line, names)) for letter, line in _lettered(seed).items()}


def _lettered(seed: int) -> dict[str, str]:
    lines = random.Random(seed).sample(list(LINES), len(LINES))
    return dict(zip(LETTERS, lines, strict=True))


def _names() -> dict[str, Any]:
    import torch

    on_cpu, index = torch.arange(3.0), torch.tensor([0, 2])
    return {
        "torch": torch,
        "on_cpu": on_cpu,
        "on_npu": on_cpu.to("npu:0"),
        "index_on_cpu": index,
        "index_on_npu": index.to("npu:0"),
    }


def _running(line: str, names: dict[str, Any]) -> Callable[[], torch.Tensor]:
    return eval(f"lambda: {line}", names)  # type: ignore[no-any-return]  # one of LINES


def judge(answers: Answers, seed: int) -> list[Point]:
    """Judge the letters that raise, and two functions on hidden tensors."""
    return [
        point(
            "raising",
            lambda: _wrong_letters(answers["raising"], seed),
            "numbers and indices may come from the CPU; everything else has to be moved.",
            redraws=True,
        ),
        point(
            "raises",
            lambda: _wrong_rule(answers["raises"], seed),
            "that is the rule, for cases that no line showed.",
        ),
        point(
            "mean_of_real",
            lambda: _wrong_mean(answers["mean_of_real"], seed),
            "what a function makes, it makes on the device of what it was given.",
        ),
        point(
            "to_numpy",
            lambda: _wrong_array(answers["to_numpy"]),
            "it cuts the graph, copies to the CPU, and widens only what numpy does not know.",
        ),
    ]


def _wrong_letters(letters: Any, seed: int) -> str | None:
    kinds = (str, set, frozenset, list, tuple)
    if not isinstance(letters, kinds) or not set(letters) <= set(LETTERS):
        raise ParamsError("a set of letters was expected, such as {'a', 'b'}.")
    given = set(letters)
    for letter, line in _lettered(seed).items():
        raises, hint = LINES[line]
        if (letter in given) != raises:
            return f"at least one of the six was judged wrongly. Remember: {hint}"
    return None


def _wrong_rule(raises: Any, seed: int) -> str | None:
    """What is wrong with the rule, on cases in an order of the learner's own."""
    for what, one, other, truth, hint in random.Random(seed).sample(CASES, len(CASES)):
        answer = called(raises, what, one, other)
        if not isinstance(answer, bool):
            return "True or False was expected, for each of operator, cat and index."
        if answer != truth:
            shown = f"{what} of {one.device} with {one.axes} axes and {other.device} with"
            return f"{shown} {other.axes} was judged wrongly: {hint}"
    return None


def _wrong_mean(mean_of_real: Any, seed: int) -> str | None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    lengths = random.Random(seed).sample(range(1, 7), 3)
    hidden = torch.randn(3, 7, 4, generator=generator)
    expected = torch.stack(
        [row[:length].mean(0) for row, length in zip(hidden, lengths, strict=True)]
    )
    for device in ("cpu", "npu:0", "npu:1"):
        there = hidden.to(device)
        with left_device() as copied:
            answer = called(mean_of_real, there, lengths)
        mistake = _mistaken_mean(answer, device, expected, hidden)
        if mistake is None and copied:
            mistake = (
                "the result is right and on its device, and on the way values were brought to the"
                " CPU: the device waits, and the CPU does its work."
            )
        if mistake:
            return mistake

    return _wrong_with_nan(mean_of_real, hidden, lengths, expected) or _wrong_dtype(
        mean_of_real, hidden, lengths, expected
    )


def _wrong_with_nan(
    mean_of_real: Any, hidden: torch.Tensor, lengths: list[int], expected: torch.Tensor
) -> str | None:
    """What is wrong where the padding holds NaN, and where a real token does."""
    import torch

    garbage = hidden.clone()
    for row, length in zip(garbage, lengths, strict=True):
        row[length:] = torch.nan

    given = garbage.to("npu:0")
    answer = called(mean_of_real, given, lengths)
    if not torch.allclose(answer.cpu(), expected, atol=1e-5):
        return "padding that holds NaN reached the mean: NaN times 0 is NaN, so cut it out."
    if not torch.equal(given.cpu().nan_to_num(9.0), garbage.nan_to_num(9.0)):
        return "hidden itself was changed: it is the caller's, and others will read it."

    broken = hidden.clone()
    broken[1, 0, 2] = torch.nan
    answer = called(mean_of_real, broken.to("npu:0"), lengths).cpu()
    if not answer[1, 2].isnan():
        return (
            "a real token held NaN, and its mean is a number: a device that is broken was hidden."
            " Only padding is to be left out."
        )
    return None


def _wrong_dtype(
    mean_of_real: Any, hidden: torch.Tensor, lengths: list[int], expected: torch.Tensor
) -> str | None:
    import torch

    answer = called(mean_of_real, hidden.bfloat16().to("npu:0"), lengths)
    if answer.dtype != torch.bfloat16:
        return f"hidden was in torch.bfloat16 and the mean is in {answer.dtype}: it follows hidden."
    if not torch.allclose(answer.cpu().float(), expected, atol=0.05):
        return "in bfloat16 the values differ from the mean by more than it rounds."
    return None


@contextmanager
def left_device() -> Iterator[list[str]]:
    """Note the operators that bring values from the device to the CPU while the block runs."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    copied: list[str] = []

    def kind(value: Any) -> str:
        return value.device.type if isinstance(value, torch.Tensor) else ""

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            read = func is torch.ops.aten._local_scalar_dense.default  # .item() and the like
            if "npu" in map(kind, args) and (read or kind(result) == "cpu"):
                copied.append(str(func))
            return result

    with Watch():  # type: ignore[no-untyped-call]  # torch gives its __init__ no types
        yield copied


def _mistaken_mean(
    answer: Any, device: str, expected: torch.Tensor, hidden: torch.Tensor
) -> str | None:
    import torch

    if not isinstance(answer, torch.Tensor) or answer.shape != expected.shape:
        return "a tensor with one row for each text, as wide as hidden, was expected."
    if str(answer.device) != device:
        return (
            f"hidden was on {device} and the result is on {answer.device}: a copy to and fro at"
            " every call is what a port is there to avoid. Make the positions where hidden is."
        )
    if torch.allclose(answer.cpu(), hidden.mean(1), atol=1e-5):
        return "the padding was averaged too: only the first lengths[i] rows of text i are real."
    if torch.allclose(answer.cpu() * hidden.shape[1], expected * answer.shape[0], atol=1e-5):
        return "the sum is right and the divisor is not: divide by the number of real tokens."
    if not torch.allclose(answer.cpu(), expected, atol=1e-5):
        return "the values differ from the mean of the real tokens; try a text of length 1 first."
    return None


def _arrays() -> list[tuple[torch.Tensor, str]]:
    """Tensors, and what a learner forgot who fails on them."""
    import torch

    others = [torch.tensor([2**24 + 1], dtype=kind) for kind in (torch.int64, torch.int32)]
    others += [torch.tensor([1 + 2.0**-40], dtype=torch.float64), torch.tensor([True, False])]
    others += [torch.tensor([0.5, 2.0], dtype=torch.float16), torch.arange(6.0).view(2, 3).T]
    return [
        (torch.tensor([0.5, 2.0]), ""),
        (torch.tensor([0.5, 2.0], device="npu:0"), "a tensor on the device: numpy reads host"),
        (torch.tensor([0.5], requires_grad=True), "a tensor with a gradient: cut it off first"),
        (torch.tensor([0.5], dtype=torch.bfloat16), "bfloat16, which numpy has not: widen it"),
        (torch.tensor([0.5], dtype=torch.bfloat16, device="npu:0"), "bfloat16 on the device"),
        (torch.tensor(0.5, device="npu:0", requires_grad=True), "a tensor without axes"),
        *((tensor, "") for tensor in others),
        (torch.tensor([2**24 + 1], device="npu:0"), "whole numbers on the device"),
    ]


def _wrong_array(to_numpy: Any) -> str | None:
    import numpy as np
    import torch

    for tensor, forgotten in _arrays():
        try:
            answer = to_numpy(tensor)
        except Exception as error:
            return f"it raised {type(error).__name__} on {forgotten or 'a plain tensor'}."
        if not isinstance(answer, np.ndarray):
            return f"a numpy array was expected, and {type(answer).__name__} came."
        if answer.tolist() != tensor.tolist() and not tensor.is_floating_point():
            return "16777217, a token count, came back changed: float32 cannot hold it. Widen less."
        if answer.tolist() != tensor.tolist():
            return "the values changed on the way."
        expected = "float32" if tensor.dtype == torch.bfloat16 else str(tensor.dtype)[6:]
        if answer.dtype != np.dtype(expected):
            return (
                f"{str(tensor.dtype)[6:]} came back as {answer.dtype}: widen only what numpy does"
                " not know."
            )
    return None


EXERCISE = Exercise(
    number="02",
    name="mixed_devices",
    title="Mixed devices, and the way to numpy",
    teaches="which mixtures raise, writing code that follows its inputs, and leaving the device",
    minutes=20,
    answers={
        "raising": "the set of letters whose lines raise",
        "raises": "a function of what is done and two parts: does it raise?",
        "mean_of_real": "a function of hidden states and lengths",
        "to_numpy": "a function of any tensor that gives a numpy array",
    },
    hints=(
        "Try each line, and read which operator complains. A tensor without axes is a number to"
        " torch, and an index is only read.",
        "torch.arange(n) makes a tensor on the CPU unless it is told another place. What in"
        " your function knows the right one?",
        "Three things stand between a tensor and numpy: the graph, the device, and a dtype that"
        " numpy does not have. Remove the third only where it is there.",
    ),
    judge=judge,
    material=material,
)
