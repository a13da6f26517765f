"""Are gold and the reference what they are called? Each is asked what only its own arithmetic can
answer.

Gold: products of whole numbers that need more than float32's 24 bits, and vector functions beside
another implementation in float64. Reference: the operands of its products come back as they were
given, and every call of its forward errs no more than its dtype does. Both: the packs hold what
this process computes again, and all weights are finite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from goemo_utils.parity import metrics
from goemo_utils.parity.calls import ATTENTION, PRODUCT_CALLS
from goemo_utils.parity.cause import PROBED
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.probe import probe
from goemo_utils.parity.row import GAIN, Row
from goemo_utils.parity.twins import States, Twins, rms

GOLD_ERROR = 1e-12
"""Relative error of a float64 kernel at most; float32 inside one shows as 1e-8."""

OWN = {
    "float32": {"product": 256.0, "other": 64.0},
    "float16": {"product": 16.0, "other": 16.0},
    "bfloat16": {"product": 16.0, "other": 16.0},
}
"""Error of a call of the reference over eps times the size of its output, at most. Products in
float32 measure up to 12, and lose 2,000 with operands of HF32, 4,000 with TF32."""

PACK_RATIO, GOLD_PACK = 3.0, 1e-9
"""How far a reference pack may be from gold, over this machine's own reference on the same texts;
and a gold pack from this machine's gold, relative to its size."""

SUSPECTS = (
    *map(Claim, ("hf32", "hf32_away", "hf32_trunc", "tf32", "fp16_matmul", "bf16_matmul")),
    Claim(tanh_gelu=True),
)


@torch.no_grad()
def gold_errors() -> dict[str, float]:
    """Largest relative error of float64 kernels on this CPU, by name; products of whole numbers
    must be exact, the rest are compared with NumPy's and the standard library's.
    """
    g = torch.Generator().manual_seed(3)
    whole = torch.randint(1, 2**15, (64, 64), generator=g)
    small = torch.randint(1, 2**15, (64, 64), generator=g)
    exact = torch.from_numpy(whole.numpy() @ small.numpy()).double()
    left, right = whole.double(), small.double()
    x = torch.randn(32, 96, generator=g, dtype=torch.float64)
    v = x.numpy()
    shifted = np.exp(v - v.max(-1, keepdims=True))
    centred = v - v.mean(-1, keepdims=True)
    erf = np.vectorize(math.erf)(v / math.sqrt(2))
    weights = torch.eye(64, dtype=torch.float64).reshape(1, 1, 64, 64) * 2.0**12
    values = right.reshape(1, 1, 64, 64)
    attended = functional.scaled_dot_product_attention(weights, weights, values)[0, 0]
    pairs: dict[str, tuple[Tensor, Any]] = {
        "linear": (functional.linear(left, right.T), exact),
        "matmul": (left @ right, exact),
        "bmm": (torch.bmm(left.unsqueeze(0), right.unsqueeze(0))[0], exact),
        "attention": (attended, right),
        "softmax": (x.softmax(-1), shifted / shifted.sum(-1, keepdims=True)),
        "layer_norm": (
            functional.layer_norm(x, (96,), eps=0.0),
            centred / np.sqrt((centred**2).mean(-1, keepdims=True)),
        ),
        "gelu": (functional.gelu(x), v * 0.5 * (1 + erf)),
        "tanh": (x.tanh(), np.tanh(v)),
        "exp": (x.exp(), np.exp(v)),
    }

    return {name: _relative(seen, right) for name, (seen, right) in pairs.items()}


def _relative(seen: Tensor, right: Any) -> float:
    wanted = torch.as_tensor(right, dtype=torch.float64)
    return float((seen.double() - wanted).abs().max() / wanted.abs().max())


def not_finite(model: nn.Module) -> list[str]:
    """Weights of a checkpoint that hold NaN or infinity, each with how many and in which rows."""
    rows = []
    for name, tensor in model.named_parameters():
        bad = ~tensor.detach().cpu().isfinite()
        if bool(bad.any()):
            where = bad.reshape(len(bad), -1).any(1).nonzero().flatten() if bad.dim() else bad
            first = f", first in row {int(where[0])}" if bad.dim() > 1 else ""
            rows.append(f"{name}: {int(bad.sum())} of {bad.numel()}{first}")
    return rows


def by_probe(dtype: str, convolutions: bool, fused: bool) -> list[str]:
    """What the CPU's own products say of themselves, a phrase each where they are not float32's."""
    answers = probe("cpu", getattr(torch, dtype), convolutions, fused)
    found = []
    answers |= answers.get("half_operands", {})
    for kind, sides in PROBED.items():
        rounded = sorted({str(answers[s]) for s in sides if answers.get(s) is not None})
        if rounded:
            found.append(f"the CPU rounds operands of {kind} products as {', '.join(rounded)}")
    if answers["gelu"] != "erf":
        found.append("the CPU computes GELU in its tanh form")
    if abs(answers.get("accumulate_error", 0.0)) > 1e-3:
        found.append("the CPU accumulates products in less than float32")
    return found


def by_calls(rows: Sequence[Row]) -> list[str]:
    """Calls of the reference whose own error is more than its dtype allows, by operator, worst
    first.
    """
    worst: dict[str, Row] = {}
    for row in rows:
        if _excess(row) > 1.0 and _excess(row) > _excess(worst.get(row.operator)):
            worst[row.operator] = row
    ordered = sorted(worst.values(), key=_excess, reverse=True)
    return [
        f"{row.operator} in {row.module or 'the model'} errs {row.own:.3g} eps on the reference"
        f" (gain {row.own_gain:+.2g})"
        for row in ordered
    ]


def _excess(row: Row | None) -> float:
    """The reference's own error of a call over what its dtype allows; NaN is infinitely much."""
    if row is None or row.dtype not in OWN:
        return 0.0
    if row.operator == ATTENTION and row.claim.attends:
        return 0.0  # a chain of roundings: its last bits decide whole steps
    limit = OWN[row.dtype]["product" if row.operator in PRODUCT_CALLS else "other"]
    size = row.own / limit
    few = 6.0 * metrics.EPS[row.dtype] / math.sqrt(max(row.n, 1))
    gain = abs(row.own_gain) / max(3 * GAIN[row.dtype], few) if math.isfinite(row.own_gain) else 0.0
    return math.inf if math.isnan(size) else max(size, gain)


def by_packs(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    gold: States,
    reference: States,
    packs: Mapping[str, Mapping[str, np.ndarray]],
    noise: Mapping[str, float],
) -> list[str]:
    """What the packs hold beside what this process computes on the same texts, one phrase each
    where they are further apart than rounding.
    """
    found = []
    for name, mine in gold.items():
        stored = packs.get("gold", {}).get(name)
        if stored is None:
            continue
        given = torch.from_numpy(np.array(stored[: len(mine)])).double()
        size = rms(mine)
        apart = (
            metrics.over_noise(rms(given, mine), size) if given.shape == mine.shape else math.inf
        )
        if math.isfinite(size) and not apart <= GOLD_PACK:
            found.append(f"gold's {name} is {apart:.2g} of its size from this machine's float64")
            break

    name, ratio, given = _furthest(gold, reference, packs.get("reference", {}), noise)
    if name and not ratio <= PACK_RATIO:
        named = _arithmetic(twins, batches, name, given, gold)
        found.append(
            f"the reference's {name} errs {ratio:.3g} x what this machine's {twins.dtype} does"
            + (f": it computes as {named}" if named else "")
        )

    return found


def _furthest(
    gold: States,
    reference: States,
    stored: Mapping[str, np.ndarray],
    noise: Mapping[str, float],
) -> tuple[str, float, Tensor]:
    """The state in which a reference pack is furthest from gold, by this machine's own error."""
    worst, ratio, at = "", 0.0, torch.empty(0)
    for name, right in gold.items():
        if name not in stored:
            continue
        given = torch.from_numpy(np.array(stored[name][: len(right)])).double()
        own = max(rms(reference[name], right), noise.get(name, 0.0))
        error = rms(given, right) if given.shape == right.shape else math.inf
        over = metrics.over_noise(error, max(own, metrics.EPS["float32"] / 4 * rms(right)))
        if not over <= ratio:
            worst, ratio, at = name, over, given

    return worst, ratio, at


def _arithmetic(
    twins: Twins,
    batches: Sequence[dict[str, Tensor]],
    name: str,
    given: Tensor,
    gold: States,
) -> str | None:
    """The known arithmetic that explains nine tenths of a reference's error, if one does."""
    whole = rms(given, gold[name])
    for claim in SUSPECTS if twins.dtype == "float32" and math.isfinite(whole) else ():
        left = rms(given, twins.run(twins.reference, batches, claim)[name].double())
        if left <= 0.3 * whole:
            return claim.name
    return None
