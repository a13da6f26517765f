"""Every call of a reference forward, repeated on the device and in float64 with the reference's
inputs, and judged at once.

With the same inputs an error shows where it is made, not where it has spread; and a rounding of
operands is a fixed function of them, so that the right claim leaves only the last bits. One call is
in memory at a time: four numbers stay.
"""

import math
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

from goemo_utils.parity.emulate import (
    DETAILS,
    FUSED_CALL,
    PLAIN,
    Claim,
    Emulate,
    emulated,
    stay,
)
from goemo_utils.parity.twins import Twins, rms

MOVES = frozenset(
    [
        "to",
        "float",
        "double",
        "half",
        "bfloat16",
        "type",
        "type_as",
        "clone",
        "contiguous",
        "reshape",
        "view",
        "expand",
        "permute",
        "transpose",
        "unsqueeze",
        "squeeze",
        "detach",
        "cpu",
        "cuda",
        "npu",
        "numpy",
        "tolist",
        "item",
        "__get__",
        "__set__",
        "__getitem__",
        "full_like",
        "zeros_like",
        "ones_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
        "split",
        "chunk",
        "flatten",
        "unflatten",
    ]
)
"""Calls that move, cast or make values and compute nothing."""


HOT_RMS, HOT_MAX = 10.0, 20.0
"""A call is at fault above either ratio: clean kernels with 8 ulp of noise stay below 9.6 / 17.2.
"""

GAIN = {"float32": 8e-6, "float16": 5e-4, "bfloat16": 2e-3}
"""A steady gain of a call above this is a fault. Measured: honest kernels up to 4e-5 (layer norm),
1.3e-4 (softmax) and 4.2e-4 (linear) in bfloat16, an eighth of that in float16; faulty from 4e-3 and
1e-3. float32: below the floor of 1e-5, above what an accumulator that cuts off loses."""

ALLOWED_ULP = 32.0
"""Units in the last place by which CANN's operator standard lets a vector kernel be off."""

FEW = 24.0
"""Elements that carry an error at least before its steadiness is told from chance."""
STEADY = 0.25
"""Share of an error's energy that a gain and an offset explain: noise of n elements has about 2/n,
a kernel that scales or shifts nearly all."""

IN_PLACE = frozenset({"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"})
FUSED = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)
ATTENTION = FUSED_CALL
LINEAR_CALLS = frozenset({"linear", "mm", "addmm"})
BATCHED_CALLS = frozenset({"bmm", "baddbmm", "einsum"})
FOLDED_CALLS = frozenset({"matmul", "__matmul__", "__rmatmul__"})
CONVOLUTION_CALLS = frozenset(
    {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
GELU_CALLS = frozenset({"gelu", "gelu_"})
PRODUCT_CALLS = LINEAR_CALLS | BATCHED_CALLS | FOLDED_CALLS | CONVOLUTION_CALLS | {ATTENTION}
EXACT_CALLS = frozenset(
    [
        "add",
        "add_",
        "__add__",
        "__radd__",
        "__iadd__",
        "sub",
        "__sub__",
        "__rsub__",
        "embedding",
        "index_select",
        "gather",
        "cat",
        "stack",
        "where",
        "masked_fill",
        "masked_fill_",
        "clamp",
        "relu",
        "dropout",
        "neg",
        "__neg__",
        "abs",
        "max",
        "min",
        "roll",
        "flip",
    ]
)
"""Calls that copy, choose, or round once: no standard allows them more than the CPU's own error."""
SUM_CALLS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
IDENTITY_CALLS = frozenset({"dropout"})
"""Calls that give their input back when nothing is trained; judged although they make nothing."""


def family(operator: str, folded: bool = False) -> str | None:
    """The family whose arithmetic a claim is about: matmul (linear layers), bmm, attention (fused),
    gelu, convolution, or None. ``folded``: a ``matmul`` by a matrix, which is a linear product.
    """
    if operator in FOLDED_CALLS:
        return "matmul" if folded else "bmm"
    families = (
        (LINEAR_CALLS, "matmul"),
        (BATCHED_CALLS, "bmm"),
        ({ATTENTION}, "attention"),
        (GELU_CALLS, "gelu"),
        (CONVOLUTION_CALLS, "convolution"),
    )
    return next((name for calls, name in families if operator in calls), None)


@dataclass(frozen=True)
class Error:
    """Error of one call: ratios of its root mean square and of its largest element to the CPU's;
    ``gain`` <error, gold> / <gold, gold>; ``steady`` the share of the error that a gain and an
    offset explain; ``ulp`` the largest error of an element in units of 2^-23 of its value, beyond
    20 times the CPU's own largest error. ``own`` and ``own_gain`` are the CPU's: its error over eps
    times the output's root mean square, and its gain.
    """

    rms: float
    max: float
    gain: float = 0.0
    steady: float = 0.0
    ulp: float = 0.0
    own: float = 0.0
    own_gain: float = 0.0

    @property
    def over(self) -> float:
        """The larger of both ratios over their limits; infinite for NaN."""
        if math.isnan(self.rms):
            return math.inf
        return max(self.rms / HOT_RMS, self.max / HOT_MAX)


INFINITE = Error(math.inf, math.inf, math.nan, math.nan, math.inf)
NOT_A_NUMBER = Error(math.nan, math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Shape:
    """Of the batch in which a call was made: texts, and tokens to which they were padded."""

    texts: int
    tokens: int


@dataclass(frozen=True)
class Row:
    """One call under one claim: error of the device's kernel over the CPU's, both against float64
    on the same inputs.

    ``gain`` is <error, gold> / <gold, gold>: 1e-4 says the output is 1.0001 times what it should
    be. ``bare`` is the larger of both ratios over their limits (10 and 20) before a chain of
    roundings was given its own noise; it decides what is split. ``own`` is the CPU's own error over
    eps times the output's root mean square, and ``own_gain`` its gain: the reference is judged by
    them. ``dtype`` is the output's.
    """

    module: str
    operator: str
    claim: Claim
    rms: float
    max: float
    gain: float
    bare: float = 0.0
    steady: float = 0.0
    ulp: float = math.inf
    kind: str | None = None
    dtype: str = "float32"
    n: int = 0
    shape: Shape = Shape(0, 0)
    own: float = 0.0
    own_gain: float = 0.0
    clamped: float | None = None
    addend: bool = False

    @property
    def over_gain(self) -> float:
        """The gain over its limit; 0 where so few elements say nothing of a gain."""
        if self.operator == ATTENTION and self.bare > 1.0:
            return 0.0  # a chain of roundings is judged by its own noise
        limit = GAIN.get(self.dtype, math.inf)
        few = 6.0 * EPSILON.get(self.dtype, 0.0) / math.sqrt(max(self.n, 1))
        return abs(self.gain) / max(limit, few) if math.isfinite(self.gain) else 0.0

    @property
    def graded(self) -> bool:
        """Above the limits of a clean kernel, yet within what CANN's standard allows a vector
        kernel in float32, and without a steady gain or offset: a lower grade and no fault.
        """
        vector = self.operator not in PRODUCT_CALLS and self.operator not in EXACT_CALLS
        noisy = self.ulp <= ALLOWED_ULP and self.steady <= STEADY and self.over_gain <= 1.0
        return vector and self.dtype == "float32" and noisy

    @property
    def hot(self) -> bool:
        """At fault: above either ratio and not merely graded, or with a steady gain. NaN is."""
        if not (self.rms <= HOT_RMS and self.max <= HOT_MAX):
            return not self.graded
        return self.over_gain > 1.0

    @property
    def nearness(self) -> float:
        """How near the call is to its limits, of which one is enough: 1 is at the limit."""
        ratio = math.inf if math.isnan(self.rms) else max(self.rms / HOT_RMS, self.max / HOT_MAX)
        return max(ratio, self.over_gain)


EPSILON = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


@dataclass(frozen=True)
class Other:
    """Another output of the same call, and the share of its error that the call's own error is at
    least."""

    output: Tensor
    share: float


def compare(
    device: Tensor,
    cpu: Tensor,
    gold: Tensor,
    real: Tensor | None,
    spread: Sequence[Other] = (),
) -> Error:
    """The error of one call. Padding rows are nobody's and left out, if the shape has batch and
    length.

    NaN where the device gives NaN; infinite where it gives infinity, another shape, or a masked
    score back.

    The CPU's error has the floor eps/4 x rms(gold), because exact kernels have (nearly) none, and
    its largest element eps/4 x max(gold), half the spacing of numbers there: of few elements the
    CPU may round the largest one exactly by chance. ``spread`` are other outputs and the share of
    their errors that the call's own error is at least. What is NaN in gold must be NaN on the
    device and is left out too. Scores masked with the smallest number are left out of the ratio,
    but must be as large and of the same sign on the device: an ignored mask shows nowhere else.
    """
    if device.shape != gold.shape:
        return INFINITE

    sides = [t.detach().cpu().double() for t in (device, cpu, gold, *(o.output for o in spread))]
    sides = real_rows(sides, real)
    huge = torch.finfo(cpu.dtype).max / 4
    if not _masked_alike(sides[0], sides[2], huge):
        return INFINITE

    keep = sides[2].abs() < huge
    if not bool(keep.all()):
        sides = [t[keep] for t in sides]
    if not sides[2].numel():
        return Error(0.0, 0.0)
    if not bool(sides[0].isfinite().all()):
        return NOT_A_NUMBER if bool(sides[0].isnan().any()) else INFINITE

    return _measured(sides, [o.share for o in spread], torch.finfo(cpu.dtype).eps / 4)


def real_rows(sides: Sequence[Tensor], real: Tensor | None) -> list[Tensor]:
    """The rows of real tokens of ``[batch, length, width]`` or ``[batch, heads, length, width]``;
    other shapes as they are. ``real`` is ``[batch, length]``.
    """
    shape = sides[0].shape
    if real is not None and len(shape) == 3 and shape[:2] == real.shape:
        return [t[real] for t in sides]  # [tokens, width]
    if real is not None and len(shape) == 4 and (shape[0], shape[2]) == tuple(real.shape):
        return [t.transpose(1, 2)[real] for t in sides]  # [tokens, heads, width]
    return list(sides)


def _masked_alike(device: Tensor, gold: Tensor, huge: float) -> bool:
    """Whether every score that gold masks (or makes NaN) is masked (or NaN) on the device too."""
    masked = ~(gold.abs() < huge)
    if not bool(masked.any()):
        return True
    seen, wanted = device[masked], gold[masked]
    alike = (seen.abs() >= MASKED) & (seen.sign() == wanted.sign())
    return bool((alike | (seen.isnan() & wanted.isnan())).all())


MASKED = 5e3
"""Scores this far from zero are masked: -10,000 or the smallest number of float16 does as well as
that of float32, since the exponential of each is 0."""


def _measured(sides: Sequence[Tensor], shares: Sequence[float], unit: float) -> Error:
    """The numbers of an error, of finite elements without masked ones."""
    device, cpu, gold, *others = sides
    error, own = device - gold, cpu - gold
    floor, floor_max = unit * rms(gold) + 1e-300, unit * float(gold.abs().max())
    spread = [(own, 1.0), *((t - gold, share) for t, share in zip(others, shares, strict=True))]

    below = max(floor, *(share * rms(e) for e, share in spread))
    below_max = max(floor, floor_max, *(share * float(e.abs().max()) for e, share in spread))
    power = float((gold * gold).sum())
    gain = float((error * gold).sum()) / power if power else 0.0

    size = rms(gold)
    relative = rms(own) / (4 * unit * size) if size > 0 else 0.0
    own_gain = float((own * gold).sum()) / power if power else 0.0

    beyond = error.abs() - HOT_MAX * max(float(own.abs().max()), floor_max)
    ulp = float((beyond / (gold.abs() * 2.0**-23 + 1e-300)).max())
    largest = float(error.abs().max()) / below_max
    steady = _steady(error, gold) if rms(error) > HOT_RMS * below or largest > HOT_MAX else 0.0
    return Error(rms(error) / below, largest, gain, steady, ulp, relative, own_gain)


def _steady(error: Tensor, gold: Tensor) -> float:
    """Share of sum(error^2) that the best a x gold + b explains."""
    total = float((error * error).sum())
    effective = float((error * error).sum()) ** 2 / max(float((error**4).sum()), 1e-300)
    if not total or effective < FEW:
        return 0.0
    mean, centre = float(error.mean()), gold - gold.mean()
    power = float((centre * centre).sum())
    slope = float((error * centre).sum()) / power if power else 0.0
    explained = error.numel() * mean * mean + slope * slope * power
    return min(1.0, explained / total)


def clamped_at(device: Tensor, gold: Tensor) -> float | None:
    """The value at which the device cuts its outputs off: its largest magnitude, where several
    elements have exactly that and gold goes further in all of them. None if it does not.
    """
    c, g = device.detach().cpu().double().abs(), gold.detach().cpu().double().abs()
    if c.shape != g.shape or not c.numel() or not bool(c.isfinite().all()):
        return None
    top = c.max()
    beyond = g > top * (1 + 1e-6)
    several = int(g[beyond].unique().numel()) > 2  # the same row twice has the same values
    cut = several and bool((c[beyond] >= top * (1 - 1e-6)).all())
    return float(top) if cut else None


def is_addend(device: Tensor, operands: Sequence[Tensor]) -> bool:
    """Whether a sum came out as one of its addends: the other was not added."""
    return any(
        one.shape == device.shape and torch.equal(device, one.detach().cpu().to(device.dtype))
        for one in operands[:2]
    )


class Replay(TorchFunctionMode):
    """Around a forward of the reference: each call that makes a new float tensor is repeated and
    judged under every claim.

    ``claims[0]`` is the arithmetic of the surrounding forward. ``wanted`` chooses operators, None
    all of them. What could not be repeated is counted in ``skipped`` by (module, operator, reason).
    """

    def __init__(
        self,
        twins: Twins,
        path: list[str],
        real: Tensor,
        claims: Sequence[Claim],
        wanted: Callable[[str], bool] | None,
    ) -> None:
        super().__init__()
        self.twins, self.path, self.real = twins, path, real
        self.claims, self.wanted = claims, wanted
        self.shape = Shape(*real.shape)
        self.rows: list[Row] = []
        self.skipped: Counter[tuple[str, str, str]] = Counter()

        self.resident = _resident(twins)

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
        ignored = name in MOVES or (self.wanted is not None and not self.wanted(name))
        if ignored or not inputs:
            return func(*args, **kwargs)

        changes = _in_place(name) or kwargs.get("out") is not None
        given = self._snapshot(args, kwargs) if changes else (args, kwargs)
        result = func(*args, **kwargs)
        outputs = _fresh(result, inputs, changes or name in IDENTITY_CALLS)
        if outputs:
            try:
                self._judge(name, func, given, outputs, result)
            except Exception as error:
                # a kernel may be missing, or a call may refuse float64: counted, never hidden
                first = (str(error).splitlines() or [""])[0][:120]
                self.skipped[self.path[-1], name, f"{type(error).__name__}: {first}"] += 1
        return result

    def _snapshot(self, args: Any, kwargs: Any) -> Any:
        """Arguments of a call that overwrites one of them, as they were before it."""
        return tree_map(
            lambda a: a.clone() if isinstance(a, Tensor) and id(a) not in self.resident else a,
            (args, kwargs),
        )

    def _judge(self, name: str, func: Any, given: Any, outputs: list[int], result: Any) -> None:
        with _disable_current_modes():
            on_device = self._device_run(func, given, outputs)
            self.twins.device.synchronize()
            for claim in self.claims:
                row = self._row(name, func, given, outputs, result, on_device, claim)
                if row.hot and claim != PLAIN and name in PRODUCT_CALLS:
                    # more exact than the arithmetic that was claimed is no fault
                    exact = self._row(name, func, given, outputs, result, on_device, PLAIN)
                    row = row if exact.hot else replace(exact, claim=claim)
                self.rows.append(row)

    def _device_run(self, func: Any, given: Any, outputs: list[int]) -> list[Tensor]:
        """The call on the device, which keeps its own choice of kernel whatever the claim does to
        the reference."""
        place = self.twins.device.torch_device
        args, kwargs = tree_map(lambda v: self._on_device(v, place), given)
        with sdpa_kernel(list(FUSED)):
            return [t.detach().cpu() for t in _picked(func(*args, **kwargs), outputs)]

    def _row(
        self,
        name: str,
        func: Any,
        given: Any,
        outputs: list[int],
        result: Any,
        on_device: Sequence[Tensor],
        claim: Claim,
    ) -> Row:
        within = claim.within_attention() if name == ATTENTION else claim
        on_cpu = _picked(result, outputs)
        if claim != self.claims[0]:
            args, kwargs = self._copied(given)
            with _as_claimed(within):
                on_cpu = _picked(func(*args, **kwargs), outputs)
        args, kwargs = tree_map(self._in_float64, given)
        with _as_claimed(within):
            gold = _picked(func(*args, **kwargs), outputs)

        sides = list(zip(on_device, on_cpu, gold, strict=True))
        errors = [compare(*side, self.real) for side in sides]
        at = max(range(len(errors)), key=lambda i: errors[i].over)
        error, bare = errors[at], errors[at].over
        if name == ATTENTION and claim.attends and 1.0 < bare < math.inf:
            chained = self._chained(func, given, within, outputs)
            error = max((compare(*s, self.real, chained) for s in sides), key=lambda e: e.over)
        return self._judged(name, given, claim, error, bare, sides[at])

    def _judged(
        self,
        name: str,
        given: Any,
        claim: Claim,
        error: Error,
        bare: float,
        sides: tuple[Tensor, Tensor, Tensor],
    ) -> Row:
        device, cpu, gold = sides
        operands = [a for a in tree_leaves(given) if isinstance(a, Tensor)]
        folded = any(t.dim() <= 2 for t in operands[:2])

        return Row(
            module=self.path[-1],
            operator=name,
            claim=claim,
            rms=error.rms,
            max=error.max,
            gain=error.gain,
            bare=bare,
            steady=error.steady,
            ulp=error.ulp,
            kind=family(name, folded),
            dtype=str(cpu.dtype).removeprefix("torch."),
            n=gold.numel(),
            shape=self.shape,
            own=error.own,
            own_gain=error.own_gain,
            clamped=clamped_at(device, gold) if error.over > 1.0 else None,
            addend=error.over > 1.0 and name in SUM_CALLS and is_addend(device, operands),
        )

    def _chained(self, func: Any, given: Any, claim: Claim, outputs: list[int]) -> list[Other]:
        """What a fused attention under rounded operands may differ by: the roundings inside it are
        a chain, in which the last bits of the scores decide whole steps of the second product. Its
        noise is a rung's: other details, and a share of the claim's own error.
        """
        others: list[Other] = []
        for detail in DETAILS[1:]:
            args, kwargs = self._copied(given)
            with Emulate(claim, detail), sdpa_kernel(SDPBackend.MATH):
                others += [Other(t, 1.0) for t in _picked(func(*args, **kwargs), outputs)]
        args, kwargs = tree_map(self._in_float64, given)
        share = stay(len(self.real))
        exact = _picked(func(*args, **kwargs), outputs)
        return [*others, *(Other(t, share) for t in exact)]

    @staticmethod
    def _copied(given: Any) -> Any:
        return tree_map(lambda a: a.clone() if isinstance(a, Tensor) else a, given)

    def _on_device(self, value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            resident = self.resident.get(id(value))
            return resident[0] if resident else value.to(place, copy=True)
        return torch.device(place) if isinstance(value, torch.device) else value

    def _in_float64(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            resident = self.resident.get(id(value))
            if resident:
                return resident[1]
            return value.double() if value.is_floating_point() else value
        is_dtype = isinstance(value, torch.dtype) and value.is_floating_point
        return torch.float64 if is_dtype else value


def _in_place(name: str) -> bool:
    return (name.endswith("_") and not name.endswith("__")) or name in IN_PLACE


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


def _resident(twins: Twins) -> dict[int, tuple[Tensor, Tensor]]:
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
) -> tuple[list[Row], Counter[tuple[str, str, str]]]:
    """Rows of every judged call over all batches, and what could not be repeated. The forward
    itself runs under ``claims[0]``.
    """
    twins.attach(twins.reference)
    rows: list[Row] = []
    skipped: Counter[tuple[str, str, str]] = Counter()

    with followed(twins.reference) as path:
        for batch in batches:
            mode = Replay(twins, path, batch["attention_mask"].bool(), claims, wanted)
            around = emulated(claims[0]) if claims[0] != PLAIN else nullcontext()
            with around, mode:
                twins.reference(**batch)
            rows += mode.rows
            skipped += mode.skipped

    return rows, skipped
