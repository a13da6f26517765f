"""Where the time of a batch goes: tokenising, transfer to the device, compute, and the way back,
each ended by a synchronisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goemo_utils.throughput.protocol import Clock

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Bench, Way

NAMES = ("tokenise", "transfer", "compute", "fetch")
ROUNDS = 5  # at most
TEXTS = 64
SECONDS = 3.0  # after which no further round begins


def phases(
    bench: Bench, way: Way, texts: Sequence[str], clock: Clock = perf_counter
) -> dict[str, Any]:
    """Median seconds of each phase for the first TEXTS of ``texts``, and ``device_compute``: the
    device's own events around the compute, where it has them.

    Waiting after every phase costs overlap, so the sum is more than the time of the same work in
    the rows.
    """
    row = {
        "id": way.id,
        "configuration": way.configuration,
        "device": way.device.requested,
        "texts": len(texts[:TEXTS]),
        "unit": "s",
    }

    if way.device.simulated:
        return row | {"n": 0, **dict.fromkeys((*NAMES, "device_compute")), "reason": "simulated"}
    rounds: list[dict[str, float | None]] = []
    started = clock()

    while len(rounds) < ROUNDS and (not rounds or clock() - started < SECONDS):
        rounds.append(_once(bench, way, texts[:TEXTS], clock))

    medians = {name: float(np.median([r[name] for r in rounds])) for name in NAMES}
    events = [r["device_compute"] for r in rounds if r["device_compute"] is not None]

    return (
        row
        | {"n": len(rounds)}
        | medians
        | {"device_compute": float(np.median(events)) if events else None, "reason": None}
    )


def _once(bench: Bench, way: Way, texts: Sequence[str], clock: Clock) -> dict[str, float | None]:
    loaded, device = way.notes["loaded"], way.device
    spent = dict.fromkeys(NAMES, 0.0)
    device_compute: float | None = None

    def since(name: str, start: float) -> float:
        device.synchronize()
        now = clock()
        spent[name] += now - start
        return now

    now = clock()
    ids = bench.encode(loaded, texts)
    lengths = [len(i) for i in ids]
    batches = loaded.inputs.apart(way.batches(lengths), lengths)
    now = since("tokenise", now)

    for batch in batches:
        tensors = loaded.inputs.tensors([ids[i] for i in batch])
        given = {name: tensor.to(device.torch_device) for name, tensor in tensors.items()}
        now = since("transfer", now)
        begin, end = _events(device.torch_device)
        with torch.inference_mode():
            output = loaded.model(**given)
        if end is not None:
            end.record()
        now = since("compute", now)

        if end is not None:
            device_compute = (device_compute or 0.0) + begin.elapsed_time(end) / 1000

        (output.logits if "logits" in output else output.last_hidden_state[:, 0]).float().cpu()
        now = since("fetch", now)

    return {**spent, "device_compute": device_compute}


def _events(torch_device: str) -> tuple[Any, Any]:
    """Two events of the device, the first recorded now; (None, None) on the CPU, which has no
    queue.
    """
    if torch_device == "cpu":
        return None, None
    module = getattr(torch, torch_device.partition(":")[0])
    begin, end = module.Event(enable_timing=True), module.Event(enable_timing=True)
    begin.record()
    return begin, end
