"""Every call of a reference forward, repeated on the device and in float64 with the reference's
inputs, and judged at once.

With the same inputs an error shows where it is made, not where it has spread; and a rounding of
operands is a fixed function of them, so that the right claim leaves only the last bits. One call is
in memory at a time: four numbers stay.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Emulate, stay
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
        "dropout",
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

ATTENTION = "scaled_dot_product_attention"
IN_PLACE = frozenset({"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"})
FUSED = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)
MATMUL_CALLS = frozenset(
    {"linear", "matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "addmm", "baddbmm", "einsum"}
)
CONVOLUTION_CALLS = frozenset(
    {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
GELU_CALLS = frozenset({"gelu", "gelu_"})


def _over(part: tuple[float, float, float]) -> float:
    """The larger of both ratios over their limits; infinite for NaN."""
    return max(part[0] / HOT_RMS, part[1] / HOT_MAX) if part[0] == part[0] else math.inf


def family(operator: str) -> str | None:
    """The family whose arithmetic a claim is about: matmul, gelu, convolution, or None."""
    return (
        "matmul"
        if operator in MATMUL_CALLS
        else (
            "gelu"
            if operator in GELU_CALLS
            else "convolution"
            if operator in CONVOLUTION_CALLS
            else None
        )
    )


@dataclass(frozen=True)
class Row:
    """One call under one claim: error of the device's kernel over the CPU's, both against float64
    on the same inputs.

    ``gain`` is <error, gold> / <gold, gold>: 1e-4 says the output is 1.0001 times what it should
    be. Not gated. ``bare`` is the larger of both ratios over their limits (10 and 20) before a
    chain of roundings was given its own noise; it decides what is split.
    """

    module: str
    operator: str
    claim: Claim
    rms: float
    max: float
    gain: float
    bare: float = 0.0


def compare(
    device: Tensor,
    cpu: Tensor,
    gold: Tensor,
    real: Tensor | None,
    spread: Sequence[tuple[Tensor, float]] = (),
) -> tuple[float, float, float]:
    """(rms ratio, max ratio, gain) of one call. Padding rows are nobody's and left out, if the
    shape has batch and length.

    NaN where the device gives NaN; infinite where it gives infinity, another shape, or a masked
    score back.

    The CPU's error has the floor eps/4 x rms(gold), because exact kernels have (nearly) none, and
    its largest element eps/4 x max(gold), half the spacing of numbers there: of few elements the
    CPU may round the largest one exactly by chance. ``spread`` are other outputs and the share of
    their errors that the call's own error is at least. What is NaN in gold must be NaN on the
    device and is left out too. Scores masked with the smallest number are left out of the ratio,
    but must be as large and of the same sign on the device: an ignored mask shows nowhere else.
    """
    huge, unit = torch.finfo(cpu.dtype).max / 4, torch.finfo(cpu.dtype).eps / 4
    c, r, g, *others = (
        t.detach().cpu().double() for t in (device, cpu, gold, *(t for t, _ in spread))
    )
    if c.shape != g.shape:
        return math.inf, math.inf, math.nan
    if real is not None and g.dim() == 3 and g.shape[:2] == real.shape:
        c, r, g, *others = (t[real] for t in (c, r, g, *others))
    elif real is not None and g.dim() == 4 and (g.shape[0], g.shape[2]) == real.shape:
        c, r, g, *others = (t.transpose(1, 2)[real] for t in (c, r, g, *others))
    keep = g.abs() < huge
    if not bool(keep.all()):
        masked, wanted = c[~keep], g[~keep]
        if not bool(
            (
                ((masked.abs() >= huge) & (masked.sign() == wanted.sign()))
                | (masked.isnan() & wanted.isnan())
            ).all()
        ):
            return math.inf, math.inf, math.nan
        c, r, g, *others = (t[keep] for t in (c, r, g, *others))
    if not g.numel():
        return 0.0, 0.0, 0.0
    if not bool(c.isfinite().all()):
        bad = math.nan if bool(c.isnan().any()) else math.inf
        return bad, bad, math.nan
    error, power, floor = c - g, float((g * g).sum()), unit * rms(g) + 1e-300
    own = [(r - g, 1.0), *((t - g, share) for t, (_, share) in zip(others, spread))]
    return (
        rms(error) / max(floor, *(share * rms(e) for e, share in own)),
        float(error.abs().max())
        / max(
            floor, unit * float(g.abs().max()), *(share * float(e.abs().max()) for e, share in own)
        ),
        float((error * g).sum()) / power if power else 0.0,
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
        self.twins, self.path, self.real, self.claims, self.wanted = (
            twins,
            path,
            real,
            claims,
            wanted,
        )
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
        if name in MOVES or (self.wanted is not None and not self.wanted(name)):
            return func(*args, **kwargs)
        inputs = [a for a in tree_leaves((args, kwargs)) if isinstance(a, Tensor)]
        changes = (
            (name.endswith("_") and not name.endswith("__"))
            or name in IN_PLACE
            or kwargs.get("out") is not None
        )
        if not inputs:
            return func(*args, **kwargs)
        given = self._snapshot(args, kwargs) if changes else (args, kwargs)
        result = func(*args, **kwargs)
        outputs = self._fresh(result, inputs, changes)
        if outputs:
            try:
                self._judge(name, func, given, outputs, result)
            except (
                Exception
                # a kernel may be missing, or a call may refuse float64: counted, never hidden
            ) as error:
                self.skipped[
                    self.path[-1],
                    name,
                    f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}",
                ] += 1
        return result

    def _snapshot(self, args: Any, kwargs: Any) -> Any:
        """Arguments of a call that overwrites one of them, as they were before it."""
        return tree_map(
            lambda a: a.clone() if isinstance(a, Tensor) and id(a) not in self.resident else a,
            (args, kwargs),
        )

    @staticmethod
    def _fresh(result: Any, inputs: Sequence[Tensor], changes: bool) -> list[int]:
        """Places, among the results, of float tensors that are no view of an input."""
        own = {t.untyped_storage().data_ptr() for t in inputs}
        results = (
            [result]
            if isinstance(result, Tensor)
            else list(result)
            if isinstance(result, (tuple, list))
            else []
        )
        return [
            i for i, t in enumerate(results)
            if isinstance(t, Tensor) and t.is_floating_point() and t.numel() and (changes or t.untyped_storage().data_ptr() not in own)
        ]  # fmt: skip

    def _judge(self, name: str, func: Any, given: Any, outputs: list[int], result: Any) -> None:
        place = self.twins.device.torch_device
        pick = lambda value: [value] if isinstance(value, Tensor) else [value[i] for i in outputs]
        with _disable_current_modes():
            a, k = tree_map(lambda v: self._on_device(v, place), given)
            with sdpa_kernel(
                list(FUSED)
                # the device keeps its own choice of kernel, whatever the claim does to the reference
            ):
                on_device = [t.detach().cpu() for t in pick(func(*a, **k))]
            for claim in self.claims:
                on_cpu = pick(result)
                if claim != self.claims[0]:
                    a, k = self._copied(given)
                    with Emulate(claim) if claim != PLAIN else nullcontext():
                        on_cpu = pick(func(*a, **k))
                a, k = tree_map(self._in_float64, given)
                with Emulate(claim) if claim != PLAIN else nullcontext():
                    gold = pick(func(*a, **k))
                parts = [compare(c, r, g, self.real) for c, r, g in zip(on_device, on_cpu, gold)]
                worst = max(parts, key=_over)
                bare = _over(worst)
                if name == ATTENTION and claim.matmul and 1.0 < bare < math.inf:
                    worst = max(
                        (
                            compare(*each, self.real, self._chained(func, given, claim, pick))
                            for each in zip(on_device, on_cpu, gold)
                        ),
                        key=_over,
                    )
                self.rows.append(Row(self.path[-1], name, claim, *worst, bare))

    def _chained(
        self, func: Any, given: Any, claim: Claim, pick: Any
    ) -> list[tuple[Tensor, float]]:
        """What a fused attention under rounded operands may differ by: the roundings inside it are
        a chain, in which the last bits of the scores decide whole steps of the second product. Its
        noise is a rung's: other details, and a share of the claim's own error.
        """
        found = []
        for detail in DETAILS[1:]:
            a, k = self._copied(given)
            with Emulate(claim, detail):
                found += [(t, 1.0) for t in pick(func(*a, **k))]
        a, k = tree_map(self._in_float64, given)
        return [*found, *((t, stay(len(self.real))) for t in pick(func(*a, **k)))]

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
            return (
                resident[1] if resident else value.double() if value.is_floating_point() else value
            )
        return (
            torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value
        )


def _resident(twins: Twins) -> dict[int, tuple[Tensor, Tensor]]:
    """By identity of the reference's parameter or buffer: the same on the device and in gold.
    Weights are never uploaded again.
    """
    parts = [
        [*m.parameters(), *m.buffers()] for m in (twins.reference, twins.candidate, twins.gold)
    ]
    return {id(r): (c, g) for r, c, g in zip(*parts, strict=True)}


@torch.no_grad()
def replay(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    claims: Sequence[Claim],
    wanted: Callable[[str], bool] | None = None,
) -> tuple[list[Row], Counter]:
    """Rows of every judged call over all batches, and what could not be repeated. The forward
    itself runs under ``claims[0]``.
    """
    twins.attach(twins.reference)
    path, handles, rows, skipped = [""], [], [], Counter()
    for name, module in twins.reference.named_modules():
        handles.append(module.register_forward_pre_hook(lambda m, a, n=name: path.append(n)))
        handles.append(module.register_forward_hook(lambda m, a, o: _leave(path), always_call=True))
    claimed = claims[0] != PLAIN
    try:
        for batch in batches:
            mode = Replay(twins, path, batch["attention_mask"].bool(), claims, wanted)
            with (
                sdpa_kernel(SDPBackend.MATH) if claimed else nullcontext(),
                Emulate(claims[0]) if claimed else nullcontext(),
                mode,
            ):
                twins.reference(**batch)
            rows += mode.rows
            skipped += mode.skipped
    finally:
        for handle in handles:
            handle.remove()
    return rows, skipped


def _leave(path: list[str]) -> None:
    """A hook that returns a value would replace the module's output."""
    path.pop()
