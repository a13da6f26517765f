"""The jobs of a training parity, each in a worker of its own, so that no CPU role ever sees the
device: start, the trainings, the calls.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from goemo_utils.errors import PackError
from goemo_utils.forward.device import Device, open_device
from goemo_utils.forward.model import load_model
from goemo_utils.forward.run import fallbacks_of, fired
from goemo_utils.parity.emulate import DETAILS, PLAIN, Claim, Detail, Emulate
from goemo_utils.parity.twins import largest, rms
from goemo_utils.training.parity.batches import begin, read_batches
from goemo_utils.training.parity.calls import examine
from goemo_utils.training.parity.replica import Batch, Trace, train

Say = Callable[[str], None]
Distances = dict[str, dict[str, list[float]]]


def run(job: dict[str, Any], progress: Say = lambda line: None) -> dict[str, Any]:
    """The worker's entry point: what ``job["role"]`` asks for."""
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    if job["role"] == "start":
        return begin(job, progress)
    if job["role"] == "calls":
        return examine(job, progress)
    return follow(job, progress)


def follow(job: dict[str, Any], progress: Say) -> dict[str, Any]:
    """One role's trainings from the shared start, as ``trainings`` makes them, and what they ran
    on. ``job["keep"]`` leaves their tensors in the folder.
    """
    started, folder = time.perf_counter(), Path(job["folder"])
    device, batches = (
        open_device(job["device"], job["numerics"], job["fault"]),
        read_batches(folder),
    )
    loaded = load_model(
        str(folder / "start"), None, job["task"], "float32", job["attn_implementation"], job["seed"]
    )

    paths = {other: folder / f"{other}.safetensors" for other in job["against"]}
    against = {other: (Kept(path, "first"), Kept(path, "final")) for other, path in paths.items()}
    sides = None if job["role"] == "gold" else read_sides(folder, len(batches))
    records, trace = trainings(
        loaded.model,
        batches,
        job,
        device,
        Claim(*job["claim"]),
        job["orders"],
        against,
        progress,
        sides,
    )

    if job["keep"] and trace is not None:
        keep(trace, folder / f"{job['role']}.safetensors")
    hits = fired(device, "training")

    return {
        "role": job["role"],
        "traces": records,
        "device": device.describe(),
        "simulated": device.simulated,
        "fault_hits": hits,
        "fallbacks": fallbacks_of(job.get("log")),
        "memory": device.memory()["peak"],
        "seconds": round(time.perf_counter() - started, 3),
    }


def _announcing(say: Say, name: str, steps: int) -> Callable[[int], None]:
    return lambda step: say(f"training parity: {name}, step {step} of {steps}")


def trainings(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    job: Mapping[str, Any],
    device: Device,
    claim: Claim = PLAIN,
    orders: int = 1,
    against: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Tensor]]] | None = None,
    say: Say = lambda line: None,
    sides: Sequence[list[Tensor]] | None = None,
) -> tuple[list[dict[str, Any]], Trace | None]:
    """Train copies of ``model`` on ``device`` under ``claim``, in so many of the orders that
    DETAILS names: their records, and the first one's trace (None for the reference).

    A record has ``to``: the distances from the tensors of other roles, and for a rung from its own
    first run. Gold has ``zero`` there, the sizes of its own tensors, and beside it how far its
    weights ``moved`` and how many ``elements`` they have. ``sides`` are gold's, None for gold
    itself.
    """
    records: list[dict[str, Any]] = []
    first, role = None, job["role"]

    for detail in DETAILS[:orders]:
        dtype = torch.float64 if role == "gold" else torch.float32
        one = copy.deepcopy(model).to(dtype).to(device.torch_device)
        device.attach(one)

        name = f"{role} {claim.name}" if claim != PLAIN else role
        if detail != Detail():
            name += ", in another order"

        with Emulate(claim, detail) if (claim, detail) != (PLAIN, Detail()) else nullcontext():
            trace = train(
                one,
                batches,
                job,
                device,
                _announcing(say, name, len(batches)),
                sides,
            )

        found = trace.record() | {
            "to": {other: distances(trace, *tensors) for other, tensors in (against or {}).items()}
        }
        if role == "rung" and first is not None:
            found["to"]["rung"] = distances(trace, first.first, first.final)

        if role == "gold":
            zero = {name: torch.zeros(()) for name in trace.names}
            found["to"]["zero"] = distances(trace, zero, zero)
            found["moved"] = {
                n: rms(p.detach(), trace.final[n])
                for n, p in model.named_parameters()
                if n in trace.final
            }
            found["elements"] = {n: t.numel() for n, t in trace.final.items()}

        if (
            first is None and role != "reference"
        ):  # whose tensors nobody asks for, and they are large
            first = trace

        records.append(found)

    return records, first


def distances(trace: Trace, first: Mapping[str, Tensor], final: Mapping[str, Tensor]) -> Distances:
    """Of ``first`` gradients and ``final`` weights, per parameter: [root mean square, largest
    element] of the difference.
    """
    return {
        part: {
            name: [rms(tensor, other[name]), largest(tensor, other[name])]
            for name, tensor in mine.items()
        }
        for part, mine, other in (("first", trace.first, first), ("final", trace.final, final))
    }


class Kept(Mapping[str, Tensor]):
    """Tensors of another role, read one at a time: in float64 the weights of a model of base size
    fill a gigabyte.
    """

    def __init__(self, path: Path, part: str) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self.file, self.part = safe_open(path, "pt"), part + "."
        except (OSError, SafetensorError) as error:
            raise PackError(
                f"The tensors {path} of another role cannot be read ({error}). Run the training"
                " parity again."
            ) from None

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self.file.get_tensor(self.part + name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        names: list[str] = self.file.keys()
        return (name.removeprefix(self.part) for name in names if name.startswith(self.part))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def keep(trace: Trace, path: Path) -> None:
    """Write the tensors of a trace, for other roles to be compared with, and of gold also on which
    side of 0 its ReLUs' inputs were.
    """
    from safetensors.torch import save_file

    save_file(
        {
            f"{part}.{name}": t.contiguous()
            for part in ("first", "final")
            for name, t in getattr(trace, part).items()
        },
        path,
    )

    if path.stem == "gold":
        save_file(
            {
                f"{step}.{call}": t
                for step, found in enumerate(trace.sides)
                for call, t in enumerate(found)
            },
            path.with_name("sides.safetensors"),
        )


def read_sides(folder: Path, steps: int) -> list[list[Tensor]]:
    """Per step, the masks of gold's ReLUs in the order of their calls."""
    from safetensors.torch import load_file

    found = load_file(folder / "sides.safetensors")
    return [
        [
            found[f"{step}.{call}"]
            for call in range(sum(name.startswith(f"{step}.") for name in found))
        ]
        for step in range(steps)
    ]
