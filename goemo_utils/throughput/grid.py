"""Rates over number of texts and length: all texts of one length, so that padding and the mix of
lengths play no part.

A way with batches of its own size runs the texts of a cell as one batch. The classifier is handed
them and makes its own batches of them, as it does for its users; there a batch size says only how
many texts there were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goemo_utils.errors import first_line
from goemo_utils.throughput import statistics
from goemo_utils.throughput.protocol import Arm, Clock, interleave

if TYPE_CHECKING:
    from goemo_utils.throughput.ways import Way

BATCH_SIZES = (1, 8, 16, 32, 64, 128)
LENGTHS = (16, 32, 64, 128, 256, 512)
LOWEST_ID = 5  # token ids below it are usually special tokens


def grid(
    ways: Sequence[Way], settings: dict[str, Any], clock: Clock = perf_counter
) -> list[dict[str, Any]]:
    """Rates of ``ways`` for every number of texts and length, the ways in turns within a cell.

    Of ``ways`` those take part that say how to run token ids: ``loaded`` in their notes, or
    ``logits``, which makes the way's own batches of them; all of one model. settings:
    ``batch_sizes``, ``lengths`` (those beyond the model's limit are left out), ``seconds`` and
    ``min_rounds`` a cell, ``max_seconds`` a cell. Timed is what lies between token ids and logits
    on the host; a way with ``own_batches`` makes and pads its batches within that time. A cell that
    runs out of memory says so; a simulated device has no rates.
    """
    loaded = next((way.notes["loaded"] for way in ways if "loaded" in way.notes), None)
    fitting = [way for way in ways if "loaded" in way.notes or "logits" in way.notes]
    if loaded is None:
        return []

    cells = []
    for size in settings.get("batch_sizes") or BATCH_SIZES:
        for length in settings.get("lengths") or LENGTHS:
            if length <= loaded.max_length:
                ids = np.random.default_rng(0).integers(
                    LOWEST_ID, max(LOWEST_ID + 1, len(loaded.tokenizer)), size=(size, length)
                )
                cells += _cell(fitting, ids, settings, clock)

    return cells


def _cell(
    ways: Sequence[Way], ids: np.ndarray, settings: dict[str, Any], clock: Clock
) -> list[dict[str, Any]]:
    size, length = ids.shape
    rows = {
        way.id: {
            "id": way.id,
            "configuration": way.configuration,
            "device": way.device.requested,
            "dtype": way.dtype,
            "batch_size": size,
            "length": length,
            "own_batches": "loaded" not in way.notes,
            "unit": "texts/s",
            **statistics.summary([]),
            "tokens_per_second": None,
            "reason": "simulated" if way.device.simulated else None,
        }
        for way in ways
    }

    arms = []
    for way in ways:
        if way.device.simulated:
            continue
        arm = Arm(
            way.id,
            (_one_batch if "loaded" in way.notes else _own_batches)(way, ids),
            way.device.synchronize,
        )

        try:
            # The first calls of a shape compile kernels and fill caches.
            for _ in range(2):
                arm.step(0)
            arm.synchronize()
        except (RuntimeError, MemoryError) as error:
            rows[way.id]["reason"] = first_line(error)
            continue

        arms.append(arm)

    if arms:
        samples = interleave(
            arms,
            float(settings.get("seconds") or 0.2),
            int(settings.get("min_rounds") or 5),
            float(settings.get("max_seconds") or 10),
            clock,
        )
        for name, seconds in samples.seconds.items():
            rows[name] |= statistics.summary([size / s for s in seconds])
            rows[name]["tokens_per_second"] = rows[name]["median"] * length

    return list(rows.values())


def _one_batch(way: Way, ids: np.ndarray) -> Callable[[int], torch.Tensor]:
    model, tokens = way.notes["loaded"].model, torch.from_numpy(ids)
    mask = torch.ones(ids.shape, dtype=torch.int64)

    def step(number: int) -> torch.Tensor:
        with torch.inference_mode():
            output = model(
                input_ids=tokens.to(way.device.torch_device),
                attention_mask=mask.to(way.device.torch_device),
            )
        answer: torch.Tensor = (
            output.logits if "logits" in output else output.last_hidden_state[:, 0]
        )
        return answer.float().cpu()

    return step


def _own_batches(way: Way, ids: np.ndarray) -> Callable[[int], np.ndarray]:
    texts = ids.tolist()
    return lambda number: way.notes["logits"](texts)
