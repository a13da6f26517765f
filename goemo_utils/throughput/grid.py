"""Rates over batch size and length: full batches of one length, so that padding and the mix of lengths play no part."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goemo_utils.throughput import statistics
from goemo_utils.throughput.protocol import Arm, Clock, interleave

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Way

BATCH_SIZES = (1, 8, 16, 32, 64, 128)
LENGTHS = (16, 32, 64, 128, 256, 512)
LOWEST_ID = 5  # token ids below it are usually special tokens


def grid(ways: Sequence[Way], settings: dict[str, Any], clock: Clock = perf_counter) -> list[dict[str, Any]]:
    """Rates of ``ways`` for every batch size and length, the ways in turns within a cell.

    settings: ``batch_sizes``, ``lengths`` (those beyond the model's limit are left out), ``seconds`` and ``min_rounds`` a cell, ``max_seconds`` a cell.
    Only the forward pass with its transfers is timed. A cell that runs out of memory says so; a simulated device has no rates.
    """
    cells = []
    for size in settings.get("batch_sizes") or BATCH_SIZES:
        for length in settings.get("lengths") or LENGTHS:
            fitting = [way for way in ways if length <= way.notes["loaded"].max_length]
            cells += _cell(fitting, size, length, settings, clock)
    return cells


def _cell(ways: Sequence[Way], size: int, length: int, settings: dict[str, Any], clock: Clock) -> list[dict[str, Any]]:
    rows = {way.id: {"id": way.id, "configuration": way.configuration, "device": way.device.requested, "dtype": way.dtype, "batch_size": size, "length": length,
                     "unit": "texts/s", **statistics.summary([]), "tokens_per_second": None, "reason": "simulated" if way.device.simulated else None} for way in ways}
    arms = []
    for way in ways:
        if way.device.simulated:
            continue
        arm = Arm(way.id, _step(way, size, length), way.device.synchronize)
        try:
            # The first calls of a shape compile kernels and fill caches.
            for _ in range(2):
                arm.step(0)
            arm.synchronize()
        except (RuntimeError, MemoryError) as error:
            rows[way.id]["reason"] = str(error).splitlines()[0]
            continue
        arms.append(arm)
    if arms:
        samples = interleave(arms, float(settings.get("seconds") or 0.2), int(settings.get("min_rounds") or 5), float(settings.get("max_seconds") or 10), clock)
        for name, seconds in samples.seconds.items():
            rows[name] |= statistics.summary([size / s for s in seconds])
            rows[name]["tokens_per_second"] = rows[name]["median"] * length
    return list(rows.values())


def _step(way: Way, size: int, length: int) -> Any:
    loaded = way.notes["loaded"]
    ids = np.random.default_rng(0).integers(LOWEST_ID, max(LOWEST_ID + 1, len(loaded.tokenizer)), size=(size, length))
    tokens, mask = torch.from_numpy(ids), torch.ones((size, length), dtype=torch.int64)

    def step(number: int) -> torch.Tensor:
        with torch.inference_mode():
            output = loaded.model(input_ids=tokens.to(way.device.torch_device), attention_mask=mask.to(way.device.torch_device))
        return (output.logits if "logits" in output else output.last_hidden_state[:, 0]).float().cpu()

    return step
