"""One short training, by the same lines of code in every role: gold (CPU, float64), reference
(CPU), candidate (the device), rung (CPU, emulated).

It is a plain loop and not the Trainer: what the Trainer decides by device (fused optimizers, pinned
memory, scalers) would differ between the roles, and here nothing may differ but the arithmetic.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from goemo_utils.forward.device import Device
from goemo_utils.parity.twins import rms
from goemo_utils.training import losses

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of AdamW: torch's defaults, which the Trainer uses too."""
LOSS_SCALE = 2.0**12
"""Factor on a float16 loss, so that small gradients survive; a power of two, which float32 and
float64 do not notice. The Trainer's scaler looks for the largest one that works and skips steps on
the way; here it is the same number in every role."""
CLIP = 1e-6
"""What torch.nn.utils.clip_grad_norm_ adds to the norm before it divides."""
SAMPLE = 65_536
"""Elements of a parameter whose optimizer step is checked: one kernel moves them all alike, and
copies of all moments would double the memory.
"""

Batch = tuple[dict[str, Tensor], Tensor]
"""Features of a batch and its targets, float32 [n_texts, n_labels]."""


@dataclass
class Trace:
    """What one training leaves: a row a step, and tensors by parameter name, on the CPU, in the
    dtype of the weights.

    ``texts``: loss of each text and then the loss itself as the device gave it; ``tensor_norms``:
    norm of each parameter's gradient, and ``norms`` that of all together, before clipping;
    ``updates``: how far the weights after the optimizer's first and last step lie from AdamW in
    float64 on this role's own gradients and moments, and how large they are, root mean squares.
    ``again``: what computing the first gradients twice changed. ``sides``: see Kinks.
    """

    names: list[str]
    rates: list[float] = field(default_factory=list)
    texts: list[list[float]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    tensor_norms: list[list[float]] = field(default_factory=list)
    updates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sides: list[list[Tensor]] = field(default_factory=list)
    first: dict[str, Tensor] = field(default_factory=dict)
    final: dict[str, Tensor] = field(default_factory=dict)
    again: dict[str, float] | None = None
    start_sha256: str = ""
    batches_sha256: str = ""
    placement: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The trace without its tensors, JSON-able; they are told by their digests."""
        kept = {k: v for k, v in vars(self).items() if k not in ("first", "final", "sides")}
        return {
            **kept,
            "losses": [row[-1] for row in self.texts],
            "first_sha256": digest(self.first.values()),
            "final_sha256": digest(self.final.values()),
        }


def rate_at(step: int, steps: int, warm_up: float) -> float:
    """Share of the peak rate at ``step``, from 0: the Trainer's warm-up and cosine over ``steps``,
    taken one step ahead, for its first rate is 0 and a step that moves nothing compares nothing."""
    warm = math.ceil(warm_up * steps)
    if step + 1 < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step + 1 - warm) / (steps + 1 - warm)))


class Kinks(TorchFunctionMode):
    """ReLU as a product with a mask that every role shares: 1 where float64 was above 0.

    An input within rounding of 0 gets the whole gradient in one right training and none in another,
    and from then on they differ by more than any noise. With shared masks they differ by the
    input's own rounding. An input that is wrong comes out as wrong as it went in.
    """

    def __init__(self, sides: list[Tensor], known: bool) -> None:
        super().__init__()
        self.sides, self.known, self.at = sides, known, 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") != "relu":
            return func(*args, **(kwargs or {}))
        given = args[0] if args else (kwargs or {})["input"]
        if not self.known:
            self.sides.append((given.detach() > 0).cpu())
        self.at += 1
        return given * self.sides[self.at - 1].to(given.device)


def train(
    model: nn.Module,
    batches: Sequence[Batch],
    job: Mapping[str, Any],
    device: Device,
    say: Callable[[int], None] = lambda step: None,
    sides: Sequence[list[Tensor]] | None = None,
) -> Trace:
    """Train ``model``, which is on ``device``, one optimizer step a batch, and watch every step.
    ``sides`` are those of gold, None to find them.

    The model stays in evaluation mode, where dropout does nothing: its masks come from each
    device's own generator, so that two right devices would differ. The first step's gradients are
    computed twice. float16 and bfloat16 of ``job["dtype"]`` mean autocast; a float64 model has
    none.
    """
    model.eval()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        _groups(named, job["weight_decay"]), lr=0.0, betas=BETAS, eps=EPSILON, foreach=True
    )
    scale = LOSS_SCALE if job["dtype"] == "float16" else 1.0
    trace, steps = Trace([name for name, _ in named]), len(batches)
    trace.start_sha256, seen = digest(p for _, p in named), hashlib.sha256()

    def backward(features: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        with _autocast(model, device, job["dtype"]), Kinks(trace.sides[-1], sides is not None):
            logits = model(**features).logits
            loss = losses.loss(logits, targets, job["task"], job["smoothing"])
        (loss * scale).backward()
        if scale != 1.0:
            torch._foreach_div_([p.grad for _, p in named if p.grad is not None], scale)
        return logits.detach(), loss.detach()

    for step, (features, targets) in enumerate(batches):
        features = {name: values.to(device.torch_device) for name, values in features.items()}
        placed = targets.to(device.torch_device, named[0][1].dtype)
        for values in (*features.values(), placed.float()):
            seen.update(_bytes(values))

        rate = job["learning_rate"] * rate_at(step, steps, job["warm_up"])
        _set_rate(optimizer, rate)
        trace.sides.append([] if sides is None else sides[step])
        twice = step == 0 and job.get("repeat", False)

        if twice:
            backward(features, placed)
            earlier = _copies(named)

        logits, loss = backward(features, placed)
        if step == 0:
            trace.first = _copies(named)

        if twice:
            trace.again = _differing(earlier, trace.first)
            del earlier

        trace.rates.append(rate)
        trace.texts.append([*_text_losses(logits, targets, job), float(loss)])
        trace.tensor_norms.append(_norms(named))
        is_checked = step in (0, steps - 1) and job["role"] != "gold"
        checked = _before(named, optimizer) if is_checked else None

        norm = nn.utils.clip_grad_norm_([p for _, p in named], job["max_grad_norm"], foreach=True)
        trace.norms.append(float(norm))
        optimizer.step()

        if checked:
            trace.updates["first" if step == 0 else "last"] = _update_error(
                named, *checked, rate, job, step + 1
            )
        if step == 0:
            trace.placement = _placement(model, named, optimizer, logits, device)
        say(step + 1)

    trace.batches_sha256 = "sha256:" + seen.hexdigest()
    trace.final = {name: p.detach().cpu().clone() for name, p in named}
    return trace


def _norms(named: Sequence[tuple[str, nn.Parameter]]) -> list[float]:
    """The norm of each parameter's gradient; 0 where it has none."""
    return [float(p.grad.norm()) if p.grad is not None else 0.0 for _, p in named]


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _differing(earlier: Mapping[str, Tensor], later: Mapping[str, Tensor]) -> dict[str, float]:
    """Root mean square of the difference, of the tensors that are not equal to the bit."""
    return {
        name: rms(earlier[name], found)
        for name, found in later.items()
        if not torch.equal(earlier[name], found)
    }


def _groups(named: Sequence[tuple[str, nn.Parameter]], decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not: the Trainer's rule for encoders."""
    return [
        {
            "params": [p for _, p in named if (p.ndim > 1) == matrices],
            "weight_decay": decay if matrices else 0.0,
        }
        for matrices in (True, False)
    ]


def _autocast(model: nn.Module, device: Device, dtype: str) -> AbstractContextManager[Any]:
    if dtype == "float32" or next(model.parameters()).dtype == torch.float64:
        return nullcontext()
    return torch.autocast(device.torch_device.partition(":")[0], getattr(torch, dtype))


def _copies(named: Sequence[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    return {name: p.grad.detach().cpu().clone() for name, p in named if p.grad is not None}


def _text_losses(logits: Tensor, targets: Tensor, job: Mapping[str, Any]) -> list[float]:
    """The loss of each text from the device's logits, in float64 on the CPU: what is compared is
    the logits' error, as the loss sees it.
    """
    wide = logits.cpu().double()
    return [
        float(
            losses.loss(wide[i : i + 1], targets[i : i + 1].double(), job["task"], job["smoothing"])
        )
        for i in range(len(wide))
    ]


def _sample(tensor: Tensor) -> Tensor:
    """At most SAMPLE elements of a tensor, evenly spaced, on the CPU."""
    flat = tensor.detach().flatten()
    return flat[:: max(1, -(-flat.numel() // SAMPLE))].cpu().clone()


def _before(
    named: Sequence[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer
) -> tuple[float, dict[str, list[Tensor]]]:
    """Norm of all gradients, in float64 on the CPU, and samples of each parameter's weight,
    gradient and both moments, zero before the first step.
    """
    square, found = 0.0, {}
    for name, p in named:
        if p.grad is not None:
            square += float(p.grad.detach().cpu().double().square().sum())
            moments = [
                optimizer.state[p].get(key) if p in optimizer.state else None
                for key in ("exp_avg", "exp_avg_sq")
            ]
            weight = _sample(p)
            found[name] = [
                weight,
                _sample(p.grad),
                *(torch.zeros_like(weight) if m is None else _sample(m) for m in moments),
            ]

    return math.sqrt(square), found


def _update_error(
    named: Sequence[tuple[str, nn.Parameter]],
    norm: float,
    before: Mapping[str, Sequence[Tensor]],
    rate: float,
    job: Mapping[str, Any],
    step: int,
) -> dict[str, list[float]]:
    """Per parameter [rms(weight after the step - clipping and AdamW in float64 on what the step was
    given), rms(weight)]; arXiv 1711.05101, algorithm 2.
    """
    clipped, found = min(1.0, job["max_grad_norm"] / (norm + CLIP)), {}
    for name, p in named:
        if name in before:
            weight, gradient, mean, square = (t.double() for t in before[name])
            gradient = gradient * clipped
            mean, square = (
                BETAS[0] * mean + (1 - BETAS[0]) * gradient,
                BETAS[1] * square + (1 - BETAS[1]) * gradient * gradient,
            )
            weight = weight * (1 - rate * (job["weight_decay"] if p.ndim > 1 else 0.0))
            wanted = weight - rate * (mean / (1 - BETAS[0] ** step)) / (
                (square / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            )
            found[name] = [rms(_sample(p), wanted), rms(wanted)]

    return found


def _placement(
    model: nn.Module,
    named: Sequence[tuple[str, nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    logits: Tensor,
    device: Device,
) -> dict[str, Any]:
    found = device.proof(model, logits)
    gradients = sorted({str(p.grad.device) for _, p in named if p.grad is not None})
    moments = sorted({str(state["exp_avg"].device) for state in optimizer.state.values()})

    return {
        **found,
        "gradients_device": gradients,
        "moments_device": moments,
        "on_device": found["on_device"] and gradients == moments == [device.torch_device],
    }


def _bytes(values: Tensor) -> bytes:
    return values.detach().cpu().contiguous().numpy().tobytes()


def digest(tensors: Iterable[Tensor]) -> str:
    """``sha256:…`` of tensors as float32 on the CPU, in their order; float64 copies of float32
    values have the digest of those.
    """
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(_bytes(tensor.detach().cpu().float()))
    return "sha256:" + found.hexdigest()
