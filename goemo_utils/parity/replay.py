"""Every call of a reference forward, repeated on the device and in float64 with the reference's
inputs, and judged at once.

With the same inputs an error shows where it is made, not where it has spread; and a rounding of
operands is a fixed function of them, so that the right claim leaves only the last bits. One call is
in memory at a time: four numbers stay.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from goemo_utils.parity.calls import (
    ATTENTION,
    DRAWS,
    IDENTITY_CALLS,
    MOVES,
    PRODUCT_CALLS,
    SUM_CALLS,
    changes_input,
    family,
)
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Emulate, emulated, stay
from goemo_utils.parity.error import Error, Other, Right, clamped_at, is_addend
from goemo_utils.parity.forms import Form, found
from goemo_utils.parity.row import Row, Shape
from goemo_utils.parity.twins import Twins
from goemo_utils.parity.wide import LOOKUP, wide
from goemo_utils.rehearsal.kept import KEPT

FUSED = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)
FUSING = frozenset({ATTENTION, "multi_head_attention_forward"})
"""Calls in which a fused kernel is chosen."""
Skipped = Counter[tuple[str, str, str]]
"""What could not be repeated, by module, operator and reason."""
TRIED = 3
"""Calls at one address on which other forms of the operator are tried."""


@dataclass(frozen=True)
class Call:
    """One call of a reference forward that makes float tensors.

    ``given`` are its arguments as they were before it, ``outputs`` the places of those tensors
    among its results, and ``results`` themselves as the reference has them.
    """

    module: str
    operator: str
    function: Any
    given: Any
    outputs: list[int]
    results: list[Tensor]


class Calls(TorchFunctionMode):
    """Around a forward of the reference: each call that makes a new float tensor is handed to
    ``take``. ``path`` ends with the module that runs; ``wanted`` chooses operators, None all of
    them; ``resident`` are ids of weights, which are never copied.
    """

    def __init__(
        self,
        path: list[str],
        take: Callable[[Call], None],
        wanted: Callable[[str], bool] | None,
        resident: dict[int, Any],
    ) -> None:
        super().__init__()
        self.path, self.take, self.wanted, self.resident = path, take, wanted, resident

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        inputs = [a for a in tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
        ignored = name in MOVES | DRAWS or (self.wanted is not None and not self.wanted(name))
        if ignored or not inputs:
            return func(*args, **kwargs)

        changes = changes_input(name) or kwargs.get("out") is not None
        given = self._snapshot(args, kwargs) if changes else (args, kwargs)
        result = func(*args, **kwargs)
        outputs = _fresh(result, inputs, changes or name in IDENTITY_CALLS)
        if outputs:
            picked = _picked(result, outputs)
            self.take(Call(self.path[-1], name, func, given, outputs, picked))
        return result

    def _snapshot(self, args: Any, kwargs: Any) -> Any:
        """Arguments of a call that overwrites one of them, as they were before it."""
        return tree_map(
            lambda a: a.clone() if isinstance(a, Tensor) and id(a) not in self.resident else a,
            (args, kwargs),
        )


class Judge:
    """Repeats calls on the device and in float64, and judges each under every claim.

    ``claims[0]`` is the arithmetic of the forward that the calls come from. What could not be
    repeated is counted.
    """

    def __init__(self, twins: Twins, claims: Sequence[Claim]) -> None:
        self.twins, self.claims = twins, claims
        self.resident = resident(twins)
        self.real = torch.empty(0, 0, dtype=torch.bool)
        self.rows: list[Row] = []
        self.skipped: Skipped = Counter()
        self.tried: Counter[tuple[str, str]] = Counter()

    def take(self, call: Call) -> None:
        """Judge a call of a batch whose real tokens are ``real`` [texts, tokens]."""
        try:
            with _disable_current_modes():
                self._judge(call)
        except Exception as error:
            # a kernel may be missing, or a call may refuse float64: counted, never hidden
            first = (str(error).splitlines() or [""])[0][:120]
            why = f"{type(error).__name__}: {first}"
            self.skipped[(call.module, call.operator, why)] += 1

    def result(self) -> tuple[list[Row], Skipped]:
        """Rows of all calls in their order, and what could not be repeated."""
        return self.rows, self.skipped

    def _judge(self, call: Call) -> None:
        on_device = self._device_run(call)
        self.twins.device.synchronize()
        for claim in self.claims:
            row = self._row(call, on_device, claim)
            asked = len(self.claims) == 1  # of several, each shows its own ratio
            if asked and row.hot and claim != PLAIN and call.operator in PRODUCT_CALLS:
                # more exact than the arithmetic that was claimed is no fault
                exact = self._row(call, on_device, PLAIN)
                row = row if exact.hot else replace(exact, claim=claim)
            if asked and row.hot:
                row = replace(row, form=self._form(call, on_device))
            self.rows.append(row)

    def _form(self, call: Call, on_device: Sequence[Tensor]) -> Form | None:
        """What the call computes instead, tried on the first calls of its address."""
        address = call.module, call.operator
        self.tried[address] += 1
        if self.tried[address] > TRIED or len(on_device) > 1:
            return None
        given = tree_map(self._in_float64, call.given)
        (gold,) = _picked(call.function(*given[0], **given[1]), call.outputs)
        (right,) = self.right(call, PLAIN)
        given = tree_map(self._in_float64, call.given)  # the call may have changed its own
        return found(call.operator, given, on_device[0], gold, right)

    def _device_run(self, call: Call) -> list[Tensor]:
        """The call on the device, which keeps its own choice of kernel whatever the claim does to
        the reference."""
        place = self.twins.device.torch_device
        args, kwargs = tree_map(lambda v: self._on_device(v, place), call.given)
        kernels = sdpa_kernel(list(FUSED)) if call.operator in FUSING else nullcontext()
        with kernels:
            return [t.detach().cpu() for t in _picked(call.function(*args, **kwargs), call.outputs)]

    def right(self, call: Call, claim: Claim) -> list[Right]:
        """What is right of each output of the call under a claim."""
        within = claim.within_attention() if call.operator == ATTENTION else claim
        on_cpu = call.results
        if claim != self.claims[0]:
            args, kwargs = _copied(call.given)
            with self.twins.as_role("reference"), _as_claimed(within):
                on_cpu = _picked(call.function(*args, **kwargs), call.outputs)
        gold = self._gold(call, within)
        return [Right.of(*each, self.real) for each in zip(on_cpu, gold, strict=True)]

    def _gold(self, call: Call, claim: Claim) -> list[Tensor]:
        """The call's outputs in float64 under a claim."""
        weights: list[tuple[Tensor, Tensor]] = []

        def given(value: Any) -> Any:
            narrow = self.resident.get(id(value)) if isinstance(value, Tensor) else None
            if narrow is None:
                return self._in_float64(value)
            if call.operator == LOOKUP:
                return narrow[1]  # its rows are widened below, not the whole table
            weights.append((wide(narrow[1]), narrow[1]))
            return weights[-1][0]

        args, kwargs = tree_map(given, call.given)
        with self.twins.as_role("gold"), _as_claimed(claim), KEPT.widened(weights):
            outputs = _picked(call.function(*args, **kwargs), call.outputs)
        return [wide(output) for output in outputs]

    def _row(self, call: Call, on_device: Sequence[Tensor], claim: Claim) -> Row:
        right = self.right(call, claim)
        errors = [r.error(device) for r, device in zip(right, on_device, strict=True)]
        at = max(range(len(errors)), key=lambda i: errors[i].over)
        error, bare = errors[at], errors[at].over
        if call.operator == ATTENTION and claim.attends and 1.0 < bare < float("inf"):
            chained = self._chained(call, claim.within_attention())
            pairs = zip(right, on_device, strict=True)
            error = max((r.error(d, chained) for r, d in pairs), key=lambda e: e.over)
        return self._judged(call, claim, error, bare, on_device[at], right[at])

    def _judged(
        self,
        call: Call,
        claim: Claim,
        error: Error,
        bare: float,
        device: Tensor,
        right: Right,
    ) -> Row:
        operands = [a for a in tree_leaves(call.given) if isinstance(a, Tensor)]
        folded = any(t.dim() <= 2 for t in operands[:2])
        sums = error.over > 1.0 and call.operator in SUM_CALLS

        return Row(
            module=call.module,
            operator=call.operator,
            claim=claim,
            rms=error.rms,
            max=error.max,
            gain=error.gain,
            bare=bare,
            steady=error.steady,
            ulp=error.ulp,
            kind=family(call.operator, folded),
            dtype=str(call.results[0].dtype).removeprefix("torch."),
            n=right.shape.numel(),
            shape=Shape(*self.real.shape),
            own=error.own,
            own_gain=error.own_gain,
            gain_noise=error.gain_noise,
            clamped=clamped_at(device, right) if error.over > 1.0 else None,
            addend=sums and is_addend(device, operands),
        )

    def _chained(self, call: Call, claim: Claim) -> list[Other]:
        """What a fused attention under rounded operands may differ by: the roundings inside it are
        a chain, in which the last bits of the scores decide whole steps of the second product. Its
        noise is a rung's: other details, and a share of the claim's own error.
        """
        others: list[Other] = []
        for detail in DETAILS[1:]:
            args, kwargs = _copied(call.given)
            with Emulate(claim, detail), sdpa_kernel(SDPBackend.MATH):
                outputs = _picked(call.function(*args, **kwargs), call.outputs)
            others += [Other(t, 1.0) for t in outputs]
        share = stay(len(self.real))
        exact = self._gold(call, PLAIN)
        return [*others, *(Other(t, share) for t in exact)]

    def _on_device(self, value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            weights = self.resident.get(id(value))
            return weights[0] if weights else value.to(place, copy=True)
        return torch.device(place) if isinstance(value, torch.device) else value

    def _in_float64(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            weights = self.resident.get(id(value))
            if weights:
                return wide(weights[1]) if value.is_floating_point() else weights[1]
            dtype = torch.float64 if value.is_floating_point() else value.dtype
            return value.to(dtype, copy=True)
        is_dtype = isinstance(value, torch.dtype) and value.is_floating_point
        return torch.float64 if is_dtype else value


def _copied(given: Any) -> Any:
    return tree_map(lambda a: a.clone() if isinstance(a, Tensor) else a, given)


def _fresh(result: Any, inputs: Sequence[Tensor], changes: bool) -> list[int]:
    """Places, among the results, of float tensors that are no view of an input."""
    own = {t.untyped_storage().data_ptr() for t in inputs}
    results: list[Any] = [result] if isinstance(result, Tensor) else []
    if isinstance(result, (tuple, list)):
        results = list(result)
    return [
        i
        for i, t in enumerate(results)
        if isinstance(t, Tensor)
        and t.is_floating_point()
        and t.numel()
        and (changes or t.untyped_storage().data_ptr() not in own)
    ]


def _picked(value: Any, outputs: Sequence[int]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [value[i] for i in outputs]


@contextmanager
def _as_claimed(claim: Claim) -> Iterator[None]:
    """One call on the CPU under a claim; a fused attention is computed in separate steps only where
    its operands are rounded."""
    if claim == PLAIN:
        yield
        return
    with Emulate(claim), sdpa_kernel(SDPBackend.MATH):
        yield


def resident(twins: Twins) -> dict[int, tuple[Tensor, Tensor]]:
    """By identity of the reference's parameter or buffer: the same on the device and in gold.
    Weights are never uploaded again.
    """
    parts = [
        [*m.parameters(), *m.buffers()] for m in (twins.reference, twins.candidate, twins.gold)
    ]
    return {id(r): (c, g) for r, c, g in zip(*parts, strict=True)}


@contextmanager
def followed(model: nn.Module) -> Iterator[list[str]]:
    """The path of the module whose forward is running, as the last of a list that hooks keep."""
    path, handles = [""], []

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        path.pop()  # a hook that returns a value would replace the module's output

    for name, module in model.named_modules():
        enter = module.register_forward_pre_hook(lambda m, a, n=name: path.append(n))
        handles += [enter, module.register_forward_hook(leave, always_call=True)]
    try:
        yield path
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def replay(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claims: Sequence[Claim],
    wanted: Callable[[str], bool] | None = None,
) -> tuple[list[Row], Skipped]:
    """Rows of every judged call over all batches, and what could not be repeated. The forward
    itself runs under ``claims[0]``.
    """
    judge, claim = Judge(twins, claims), claims[0]
    twins.attach(twins.reference)

    with followed(twins.reference) as path:
        for batch in batches:
            judge.real = batch["attention_mask"].bool()
            around = emulated(claim) if claim != PLAIN else nullcontext()
            calls = Calls(path, judge.take, wanted, judge.resident)
            size = twins.calls_of(*judge.real.shape)
            with twins.as_role("reference"), around, calls, size:
                twins.reference(**batch)
    return judge.result()
