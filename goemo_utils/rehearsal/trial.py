"""One operator of PyTorch's own operator database, tried on the simulated device against the CPU.

Meant to run in a child process (see ``operators``), so that a crash is seen and harms nobody.
"""

import functools
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

DTYPES = ("float32", "int64")
DEVICE = "npu:0"
SEED = 20
TOLERANCE = 1e-5
"""Relative and absolute, as torch.testing's for float32; operators are computed by the same
kernels.
"""
MESSAGE_LENGTH = 220
OTHER_PATH = {"nn.functional.scaled_dot_product_attention": 1e-4}
"""Tolerance where torch itself composes the operator otherwise on an accelerator than on the CPU.
"""
UNINITIALISED = {
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
}
"""Operators whose values mean nothing; only shape and dtype are compared."""


@dataclass
class Trial:
    """What happened: counts of samples, and the first message of each kind.

    ``verdict`` is ``agrees``, ``refused`` (a Python error on the device where the CPU has an
    answer), ``wrong`` (another answer) or ``not on the CPU`` (nothing to compare with).
    ``operators`` adds ``died`` and ``timeout``.
    """

    name: str
    verdict: str = "not on the CPU"
    samples: int = 0
    backwards: int = 0
    refused: int = 0
    wrong: int = 0
    skipped: int = 0
    message: str = ""
    notes: list[str] = field(default_factory=list)


@functools.cache
def database() -> dict[str, Any]:
    """PyTorch's operator database by full name, variants included, such as ``nn.functional.gelu``.

    It imports ``expecttest`` for nothing but a base class, so an absent one is replaced by
    unittest's.
    """
    try:
        import expecttest  # noqa: F401
    except ImportError:
        absent: Any = types.ModuleType("expecttest")
        absent.TestCase = unittest.TestCase
        sys.modules["expecttest"] = absent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

    return {operator.full_name: operator for operator in op_db}


def try_operator(name: str, limit: int, dtypes: Sequence[str] = DTYPES) -> Trial:
    """Run up to ``limit`` samples of each dtype, spread over those the database has, forward and
    where it can backward.

    The simulated device must be on.
    """
    operator, trial = database()[name], Trial(name)
    for dtype in (getattr(torch, name) for name in dtypes):
        if dtype in operator.supported_dtypes("cpu"):
            differentiable = dtype.is_floating_point and operator.supports_autograd
            for sample in _samples(operator, dtype, limit, differentiable):
                _try_sample(operator, sample, dtype, differentiable, trial)

    if trial.wrong:
        trial.verdict = "wrong"
    elif trial.refused:
        trial.verdict = "refused"
    elif trial.samples:
        trial.verdict = "agrees"

    return trial


def _samples(operator: Any, dtype: torch.dtype, limit: int, differentiable: bool) -> Iterator[Any]:
    torch.manual_seed(SEED)
    try:
        everything = list(operator.sample_inputs("cpu", dtype, requires_grad=differentiable))
    except Exception:
        return
    step = max(1, -(-len(everything) // limit))
    yield from everything[::step]


def _try_sample(
    operator: Any, sample: Any, dtype: torch.dtype, differentiable: bool, trial: Trial
) -> None:
    try:
        expected, gradients = _evaluate(operator, sample, "cpu", differentiable)
    except Exception:
        trial.skipped += 1
        return

    trial.samples += 1
    try:
        received, device_gradients = _evaluate(operator, sample, DEVICE, gradients is not None)
    except Exception as error:
        trial.refused += 1
        trial.message = trial.message or _first_line(f"{type(error).__name__}: {error}")
        return

    problem = _difference(expected, received, trial)
    if problem is None and gradients is not None:
        trial.backwards += 1
        problem = _difference(gradients, device_gradients, trial)
        problem = problem and f"backward: {problem}"
    if problem:
        trial.wrong += 1
        trial.message = trial.message or _first_line(f"{dtype}: {problem}")


def _first_line(text: str) -> str:
    return text.splitlines()[0][:MESSAGE_LENGTH]


def _evaluate(operator: Any, sample: Any, where: str, differentiate: bool) -> tuple[Any, Any]:
    """Outputs and gradients on ``where``; gradients are None where the CPU cannot compute them
    either.
    """
    leaves: list[Tensor] = []

    def place(value: Tensor) -> Tensor:
        moved = value.detach().clone() if where == "cpu" else value.detach().to(where)
        if differentiate and value.requires_grad:
            moved.requires_grad_()
            leaves.append(moved)
        return moved

    arguments = [_move(value, place, where) for value in (sample.input, *sample.args)]
    options = {key: _move(value, place, where) for key, value in sample.kwargs.items()}
    torch.manual_seed(SEED)
    # An operator without tensor arguments, such as arange(5), makes its result on the default
    # device.
    with torch.device(where) if not list(_tensors([*arguments, options])) else nullcontext():
        outputs = operator(*arguments, **options)
    if sample.output_process_fn_grad is not None and differentiate:
        outputs = sample.output_process_fn_grad(outputs)
    if not differentiate:
        return outputs, None
    sources = [
        output
        for output in _tensors(outputs)
        if output.is_floating_point() and output.requires_grad
    ]
    if not sources or not leaves:
        return outputs, None
    try:
        cotangents = [
            torch.linspace(0.5, 1.5, output.numel()).reshape(output.shape).to(output)
            for output in sources
        ]
        return outputs, torch.autograd.grad(sources, leaves, cotangents, allow_unused=True)
    except Exception:
        if where == "cpu":
            return outputs, None
        raise


def _move(value: Any, place: Callable[[Tensor], Tensor], where: str) -> Any:
    if isinstance(value, Tensor):
        return place(value)
    if isinstance(value, (list, tuple)):
        moved = [_move(item, place, where) for item in value]
        return type(value)(*moved) if hasattr(value, "_fields") else type(value)(moved)
    if isinstance(value, dict):
        return {key: _move(item, place, where) for key, item in value.items()}
    if value == "cpu" or (isinstance(value, torch.device) and value.type == "cpu"):
        return torch.device(where)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _difference(expected: Any, received: Any, trial: Trial) -> str | None:
    """None if both structures hold the same values; else what differs."""
    if isinstance(expected, Tensor):
        return _tensor_difference(expected, received, trial)
    if isinstance(expected, (list, tuple)):
        if len(expected) != len(received):
            return f"{len(received)} results, expected {len(expected)}"
        pairs = (
            _difference(one, other, trial) for one, other in zip(expected, received, strict=True)
        )
        return next((problem for problem in pairs if problem), None)
    if isinstance(expected, float) and expected != expected:
        return None if received != received else f"{received!r}, expected nan"
    if isinstance(expected, (int, float, bool, str, torch.dtype)) or expected is None:
        return None if expected == received else f"{received!r}, expected {expected!r}"

    return None


def _tensor_difference(expected: Tensor, received: Any, trial: Trial) -> str | None:
    if not isinstance(received, Tensor):
        return f"a {type(received).__name__}, expected a tensor"
    if received.device.type != "npu" and expected.dim():
        return f"the result is on {received.device}, expected {DEVICE}"

    actual = received.detach().cpu()
    if expected.dtype == torch.float64 and actual.dtype == torch.float32:
        note = "float32 for float64, as torch_npu does"
        trial.notes += [] if note in trial.notes else [note]
        expected = expected.to(torch.float32)

    try:
        if trial.name in UNINITIALISED:
            actual, expected = torch.zeros_like(actual), torch.zeros_like(expected)
        tolerance = OTHER_PATH.get(trial.name, TOLERANCE)
        torch.testing.assert_close(
            actual, expected.detach(), equal_nan=True, rtol=tolerance, atol=tolerance
        )
    except AssertionError as error:
        return " ".join(str(error).split())[:200]

    return None
