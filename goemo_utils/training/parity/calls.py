"""Where a training goes wrong: every call of the first step, forward and backward, repeated on the
device with the reference's own inputs.

Gradients of parameters say little about a place: an error of one call runs through every earlier
layer. So each call's own backward is asked: it gets the reference's inputs and the gradient that
reached the reference's output, and its gradients are compared with float64 under the arithmetic
that the device's forward calls were found to have.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from goemo_utils.parity.calls import IN_PLACE, MOVES
from goemo_utils.parity.cause import local_attribution
from goemo_utils.parity.emulate import PLAIN, Claim, Emulate
from goemo_utils.parity.error import Error, compare
from goemo_utils.parity.place import faults, locate, worst_ratios
from goemo_utils.parity.probe import probe
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import Twins
from goemo_utils.parity.wide import wide
from goemo_utils.training import losses
from goemo_utils.training.parity.batches import read_batches
from goemo_utils.training.parity.gates import LIMITS

TEXTS = 16
"""Texts of the first batch that are repeated call by call, in float64 too: enough for a mean, few
enough for a model of base size.
"""


def examine(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """The worker job: ``claim`` (the arithmetic of the device's calls: operand rounding and GELU),
    ``families`` (how it was found), ``forward`` and ``backward`` (faults, calls covered and not
    covered, the worst ratios)."""
    progress("training parity: one call after another")
    torch.manual_seed(job["seed"])
    folder = Path(job["folder"])
    twins = Twins.load({**job, "model": str(folder / "start")})
    features, targets = read_batches(folder)[0]
    batch, targets = {name: values[:TEXTS] for name, values in features.items()}, targets[:TEXTS]

    with torch.no_grad():
        claim, families = local_attribution(
            twins, [batch], probe(twins.device.torch_device, torch.float32)
        )
        forward = locate(twins, [batch], claim)

    rows, skipped = replay(twins, batch, targets, claim, job["smoothing"])
    backward = {
        "covered": len(rows),
        "faults": backward_faults(rows),
        "worst": worst_ratios(rows),
        "not_covered": [
            {"operator": o, "calls": n, "why": why} for (o, why), n in sorted(skipped.items())
        ],
    }

    kept = ("covered", "faults", "worst", "not_covered")
    return {
        "claim": [claim.matmul, claim.tanh_gelu],
        "causes": claim.causes,
        "families": families,
        "n_texts": len(targets),
        "forward": {name: forward[name] for name in kept},
        "backward": backward,
    }


def backward_faults(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The addresses whose gradients are at fault, worst first, as goemo_utils.parity.place has them
    but with the limits of a backward.
    """

    def over(value: Any, limit: float) -> bool:
        return (
            not isinstance(value, (int, float)) or not value <= limit
        )  # a word stands for NaN and infinity

    return [
        f
        for f in faults(rows)
        if over(f["ratio_rms"], LIMITS.backward_rms) or over(f["ratio_max"], LIMITS.backward_max)
    ]


class Recorder(TorchFunctionMode):
    """Around a forward with gradients: each call that makes a new float tensor, with the gradient
    that later reaches that tensor.

    ``calls`` are [module, name, function, arguments, gradient]. Nothing is computed here: a call is
    judged when the backward pass is over.
    """

    def __init__(self, path: list[str]) -> None:
        super().__init__()
        self.path = path
        self.calls: list[list[Any]] = []
        self.skipped: Counter[tuple[str, str]] = Counter()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", str(func))
        given = [a for a in tree_leaves((args, kwargs)) if isinstance(a, Tensor)]

        if (
            name in MOVES
            or not isinstance(result, Tensor)
            or not result.requires_grad
            or not any(a.requires_grad for a in given)
        ):
            return result

        if (
            name in IN_PLACE
            or (name.endswith("_") and not name.endswith("__"))
            or (kwargs or {}).get("out") is not None
        ):
            self.skipped[name, "it works in place, so its inputs are gone"] += 1
        elif result.untyped_storage().data_ptr() not in {
            a.untyped_storage().data_ptr() for a in given
        }:
            call = [self.path[-1], name, func, (args, kwargs or {}), None]
            self.calls.append(call)
            result.register_hook(lambda gradient: call.__setitem__(4, gradient))

        return result


def replay(
    twins: Twins, batch: dict[str, Tensor], targets: Tensor, claim: Claim, smoothing: float
) -> tuple[list[Row], Counter[tuple[str, str]]]:
    """Rows of every call's gradients in one training step of the reference under ``claim``, and
    what could not be repeated.
    """
    path, handles = [""], []
    for name, module in twins.reference.named_modules():
        handles.append(module.register_forward_pre_hook(lambda m, a, n=name: path.append(n)))
        handles.append(module.register_forward_hook(lambda m, a, o: _leave(path), always_call=True))

    claimed = Emulate(claim) if claim != PLAIN else nullcontext()
    recorder = Recorder(path)

    try:
        with torch.enable_grad(), claimed:
            with recorder:
                task = cast(losses.Task, twins.loaded.task)  # a head was trained for it
                loss = losses.loss(twins.reference(**batch).logits, targets, task, smoothing)
            loss.backward()
    finally:
        for handle in handles:
            handle.remove()
        twins.reference.zero_grad(set_to_none=True)

    rows, skipped = [], recorder.skipped
    judge = Judge(twins, claim)

    while recorder.calls:
        module, name, func, given, gradient = recorder.calls.pop()
        if gradient is None:
            continue  # nothing of the loss depends on it

        try:
            rows += judge(module, name, func, given, gradient)
        except (
            Exception
        ) as error:  # a kernel may be missing, or a call may refuse float64: counted, never hidden
            skipped[
                name, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
            ] += 1

    return rows[::-1], skipped


def _leave(path: list[str]) -> None:
    """A hook that returns a value would replace the module's output."""
    path.pop()


class Judge:
    """Repeats the backward of one call on the device, on the CPU and in float64, and compares the
    gradients of its inputs.
    """

    def __init__(self, twins: Twins, claim: Claim) -> None:
        self.claim, self.place = claim, twins.device.torch_device
        named = [dict(m.named_parameters()) for m in (twins.reference, twins.candidate, twins.gold)]
        self.resident: dict[int, tuple[Any, ...]] = {
            id(r): (n, *(side[n].detach() for side in named[:2]), wide(named[2][n]))
            for n, r in named[0].items()
        }

    def __call__(
        self, module: str, name: str, func: Any, given: Any, gradient: Tensor
    ) -> list[Row]:
        asked = [a for a in tree_leaves(given) if isinstance(a, Tensor) and a.requires_grad]
        with Emulate(self.claim) if self.claim != PLAIN else nullcontext():
            reference = self._gradients(func, given, gradient, 0)
            gold = self._gradients(func, given, gradient, 2)

        candidate = self._gradients(func, given, gradient, 1)
        rows = []

        for number, (tensor, c, r, g) in enumerate(
            zip(asked, candidate, reference, gold, strict=True)
        ):
            if g is None or r is None:
                continue
            # The largest element of a gradient that is zero everywhere is judged too: nothing
            # may come of nothing.
            absent = Error(math.inf, math.inf, math.nan)
            error = compare(c, r, g, None) if c is not None else absent
            what = self._name(tensor, number if len(asked) > 1 else None)
            call = f"{name}, gradient of its {what}"
            rows.append(Row(module, call, self.claim, error.rms, error.max, error.gain))

        return rows

    def _name(self, tensor: Tensor, number: int | None) -> str:
        """A parameter's own name, or which of the call's inputs it is."""
        if id(tensor) in self.resident:
            return str(self.resident[id(tensor)][0]).rpartition(".")[2]
        return "input" if number is None else f"input {number}"

    def _gradients(
        self, func: Any, given: Any, gradient: Tensor, side: int
    ) -> Sequence[Tensor | None]:
        """Gradients of the call's inputs; side 0 is the reference, 1 the device, 2 float64."""
        asked: list[Tensor] = []

        def moved(value: Any) -> Any:
            if isinstance(value, torch.device):
                return torch.device(self.place) if side == 1 else value
            if isinstance(value, torch.dtype):
                return torch.float64 if side == 2 and value.is_floating_point else value
            if not isinstance(value, Tensor):
                return value

            placed = (
                self.resident[id(value)][side + 1]
                if id(value) in self.resident
                else self._sent(value.detach(), side)
            )
            if value.requires_grad:
                placed = placed.detach().requires_grad_()
                asked.append(placed)

            return placed

        with torch.enable_grad():
            args, kwargs = tree_map(moved, given)
            result = func(*args, **kwargs)
            return torch.autograd.grad(
                result, asked, self._sent(gradient, side).to(result.dtype), allow_unused=True
            )

    def _sent(self, value: Tensor, side: int) -> Tensor:
        if side == 1:
            return value.to(self.place, copy=True)
        return value.double() if side == 2 and value.is_floating_point() else value.clone()
