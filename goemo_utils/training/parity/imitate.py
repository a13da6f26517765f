"""Right and wrong trainings to prove the study on: other CPU arithmetic, imitated devices, and
faults in the forward or the backward of one call.

Everything here runs on the CPU and on the rehearsal device and says nothing about a real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.model import Loaded
from goemo_utils.parity import imitate
from goemo_utils.parity.emulate import PLAIN, Claim, Detail, Emulate
from goemo_utils.parity.place import faults
from goemo_utils.parity.replay import replay
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import Twins
from goemo_utils.rehearsal.numerics import VECTOR, ulp_noise
from goemo_utils.rehearsal.state import STATE, Handler, plain
from goemo_utils.training.parity import calls, gates, measures
from goemo_utils.training.parity.replica import Batch, Trace
from goemo_utils.training.parity.roles import trainings

CPU = Device("cpu", "cpu", "cpu", "CPU")
BACKWARD = (
    "aten::native_layer_norm_backward",
    "aten::gelu_backward",
    "aten::_softmax_backward_data",
    "aten::tanh_backward",
)
JOB = {
    "task": "multi_label",
    "smoothing": 0.0,
    "dtype": "float32",
    "learning_rate": 3e-4,
    "warm_up": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
}


def random_batches(model: nn.Module, steps: int, size: int, seed: int) -> list[Batch]:
    """Random token ids of 4 to 40 tokens with about two labels a text."""
    g = torch.Generator().manual_seed(seed)
    config: Any = model.config
    lengths = torch.randint(4, 41, (steps, size), generator=g).tolist()
    return [
        (
            imitate.batch(row, seed * 1000 + i, config.vocab_size, config.pad_token_id or 0),
            (torch.rand(size, config.num_labels, generator=g) < 0.07).float(),
        )
        for i, row in enumerate(lengths)
    ]


class Bench:
    """One start, its batches, and what right CPU arithmetic makes of them: gold and the noise
    around it.
    """

    def __init__(self, model: Any, batches: Sequence[Batch], rate: float) -> None:
        self.model, self.batches, self.job = model, batches, {**JOB, "learning_rate": rate}
        (self.gold,), trace = trainings(model, batches, {**self.job, "role": "gold"}, CPU)
        assert trace is not None, "only the reference's trace is not kept"
        self.against, self.sides = {"gold": (trace.first, trace.final)}, trace.sides
        self.right, _ = trainings(
            model,
            batches,
            {**self.job, "role": "reference"},
            CPU,
            orders=3,
            against=self.against,
            sides=self.sides,
        )

    def candidate(
        self, device: Device = CPU, orders: Sequence[Tensor] | None = None
    ) -> tuple[dict[str, Any], Trace]:
        """A candidate's record and tensors; what is imitated surrounds the call. ``orders``: of the
        texts in each batch.
        """
        batches, sides = self.batches, self.sides
        if orders is not None:
            batches = [
                ({k: v[order] for k, v in features.items()}, targets[order])
                for (features, targets), order in zip(batches, orders, strict=True)
            ]
            sides = [
                [side[order] for side in found] for found, order in zip(sides, orders, strict=True)
            ]

        (found,), trace = trainings(
            self.model,
            batches,
            {**self.job, "role": "candidate"},
            device,
            against=self.against,
            sides=sides,
        )

        assert trace is not None, "only the reference's trace is not kept"
        return found, trace

    def judge(self, found: Mapping[str, Any]) -> dict[str, float]:
        """Every measured ratio of a candidate: what the gates compare with their limits."""
        return ratios(measures.against_float64(self.gold, self.right, found)) | {
            "optimizer": optimizer(self.right[0], found),
            "lost": max(measures.lost(self.gold, self.right[0], found).values()),
        }

    def explain(
        self, found: tuple[dict[str, Any], Trace], claim: Claim
    ) -> tuple[dict[str, float], measures.Measured]:
        """The same against the CPU under ``claim``."""
        record, trace = found
        rungs, _ = trainings(
            self.model,
            self.batches,
            {**self.job, "role": "rung"},
            CPU,
            claim,
            3,
            {**self.against, "candidate": (trace.first, trace.final)},
            sides=self.sides,
        )

        explained = measures.against_rung(
            self.gold,
            self.right[0],
            rungs,
            record,
            len(self.batches[0][1]),
            claim.matmul is not None,
        )

        return ratios(explained), explained


def ratios(measured: measures.Measured) -> dict[str, float]:
    """The worst of each measure, in the gates' order."""
    limits = gates.LIMITS
    return {
        "gradient rms": max(r for r, _ in measured.gradients.values()),
        "gradient max": max(m for _, m in measured.gradients.values()),
        "loss": float(max(measured.ratios("loss"))),
        "norms": float(max(measured.ratios("norms"))),
        "weights": measured.whole,
        "median": measured.middle,
        "one weight": max(r for r, _ in measured.weights.values()),
        "share": max(g.extra["share"] for g in gates.compared(measured, limits)),
    }


def optimizer(reference: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    return max(v for part in measures.updates(reference, found).values() for v in part.values())


def right_ones(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    """Trainings in right float32 arithmetic that differ from the reference: (name, record)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    yield "other number of threads", bench.candidate()[0]
    torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=False):
        yield "oneDNN off", bench.candidate()[0]
    g = torch.Generator().manual_seed(3)
    orders = [torch.randperm(len(targets), generator=g) for _, targets in bench.batches]
    found = bench.candidate(orders=orders)[0]

    for row, order in zip(found["texts"], orders, strict=True):
        row[:-1] = (
            torch.empty(len(order), dtype=torch.float64)
            .index_copy_(0, order, torch.tensor(row[:-1], dtype=torch.float64))
            .tolist()
        )

    yield "texts of a batch permuted", found
    before = bench.model.config._attn_implementation

    try:
        bench.model.set_attn_implementation("sdpa")
        if bench.model.config._attn_implementation == "sdpa":
            yield "sdpa attention", bench.candidate()[0]
    except ValueError:
        pass  # an architecture that has only eager
    finally:
        bench.model.set_attn_implementation(before)

    with Emulate(PLAIN, Detail(32)):
        yield "sums in blocks of 32", bench.candidate()[0]
    for units in (4.0, 8.0):
        with arithmetic("reorder", 7 + int(units), units):
            yield (
                f"device with {units:g} ulp, backward too",
                bench.candidate(open_device("rehearsal"))[0],
            )


@contextmanager
def arithmetic(numerics: str, seed: int, units: float = 4.0) -> Iterator[Claim]:
    """The rehearsal device computes as ``numerics`` says, and its vector kernels have ``units`` x
    2^-24 of noise, those of the backward pass too.
    """
    with imitate.arithmetic(numerics, seed) as claim:
        STATE.arithmetic = STATE.arithmetic | {
            name: _noisy(STATE.arithmetic.get(name, plain), seed, units)
            for name in (*VECTOR, *BACKWARD)
        }
        yield claim


def _noisy(inner: Handler, seed: int, units: float) -> Handler:
    def compute(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = inner(operator, args, kwargs)
        if isinstance(result, tuple):
            return tuple(ulp_noise(t, seed, units) if isinstance(t, Tensor) else t for t in result)
        return ulp_noise(result, seed, units)

    return compute


@dataclass
class Where:
    """The module whose forward, and whose backward, is running: the address at which a fault
    strikes. Copies of a watched model tell the same.
    """

    forward: list[str] = field(default_factory=lambda: [""])
    backward: list[str] = field(default_factory=lambda: [""])

    def watch(self, model: nn.Module) -> None:
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, a, n=name: self.forward.append(n))
            module.register_forward_hook(
                lambda m, a, o: self._leave(self.forward), always_call=True
            )
            if (
                name
                and not isinstance(module, (nn.Embedding, nn.ModuleList))
                and (not list(module.children()) or name.endswith((".self", ".attention")))
            ):
                module.register_full_backward_pre_hook(lambda m, g, n=name: self.backward.append(n))
                module.register_full_backward_hook(lambda m, i, o: self._leave(self.backward))

    @staticmethod
    def _leave(names: list[str]) -> None:
        names.pop()


@contextmanager
def fault(
    where: Where, aten: str, module: str, change: imitate.Change, backward: bool
) -> Iterator[list[int]]:
    """While active, ``aten`` in the forward or the backward of ``module`` gives a changed output.
    Yields [calls struck, calls changed].
    """
    name, hits, before = f"aten::{aten}", [0, 0], STATE.arithmetic
    inner = before.get(name, plain)

    def faulty(operator: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        result = inner(operator, args, kwargs)
        if (where.backward if backward else where.forward)[-1] == module:
            output = result[0] if isinstance(result, tuple) else result
            old = output.clone()
            change(output)
            hits[0] += 1
            hits[1] += not torch.equal(old, output)
        return result

    STATE.arithmetic = {**before, name: faulty}
    judged = calls.Judge.__call__

    def told(self: calls.Judge, at: str, *rest: Any) -> Any:
        where.backward.append(at)  # a call that is repeated alone runs in no module
        try:
            return judged(self, at, *rest)
        finally:
            where.backward.pop()

    calls.Judge.__call__ = told  # type: ignore[method-assign,assignment] # a bench, not the study
    try:
        yield hits
    finally:
        STATE.arithmetic = before
        calls.Judge.__call__ = judged  # type: ignore[method-assign] # as it was


def examined(bench: Bench, claim: Claim = PLAIN) -> tuple[list[Row], list[Row]]:
    """Every call of the first step on the rehearsal device as it is now, forward and backward."""
    config = bench.model.config
    loaded = Loaded(
        bench.model,
        None,
        "multi_label",
        [str(i) for i in range(config.num_labels)],
        128,
        {"id": "imitated", "source": "random", "labels": []},
    )
    twins = Twins.of(loaded, open_device("rehearsal"), "float32")
    features, targets = bench.batches[0]
    batch = {name: values[: calls.TEXTS] for name, values in features.items()}

    with torch.no_grad():
        forward, _ = replay(twins, [batch], [claim])

    return forward, calls.replay(twins, batch, targets[: calls.TEXTS], claim, 0.0)[0]


def located(bench: Bench, claim: Claim = PLAIN) -> list[dict[str, Any]]:
    """What the gate ``place`` finds on the rehearsal device as it is now: forward and backward
    faults.
    """
    forward, backward = examined(bench, claim)
    return [*faults(forward), *calls.backward_faults(backward)]
