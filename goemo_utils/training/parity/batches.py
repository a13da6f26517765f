"""What all roles of training parity share: one start and the first batches of the run's own
training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from goemo_utils.records.record import sha256_json
from goemo_utils.training.parity.replica import Batch, digest

Say = Callable[[str], None]


def begin(job: dict[str, Any], progress: Say) -> dict[str, Any]:
    """Make what all roles share, once and on the CPU: ``start/``, a model folder, and
    ``batches.safetensors``.

    The batches are the first ones of the run's own training: the same seed, order and padding. A
    split that is used up begins its next epoch.
    """
    from safetensors.torch import save_file

    from goemo_utils.training.batches import ByLength
    from goemo_utils.training.data import Split
    from goemo_utils.training.start import start

    progress("training parity: the start and its batches")
    folder = Path(job["folder"])
    begun = start(job)
    begun.model.save_pretrained(folder / "start")
    begun.tokenizer.save_pretrained(folder / "start")
    ids, size = begun.encode(job["train"]["texts"], job["max_length"]), job["batch_size"]
    marks = Split.of_ids(**job["train"], labels=job["labels"], task=job["task"]).targets
    sampler, chosen = ByLength([len(row) for row in ids], size, job["seed"]), []

    for epoch in range(job["steps"]):
        sampler.set_epoch(epoch)
        order = list(sampler)
        chosen += [order[at : at + size] for at in range(0, len(order), size)]
        if len(chosen) >= job["steps"]:
            break

    chosen = chosen[: job["steps"]]
    tensors: dict[str, torch.Tensor] = {}
    for step, rows in enumerate(chosen):
        padded = begun.inputs.tensors([ids[row] for row in rows])
        tensors |= {f"{step}.{name}": values for name, values in padded.items()}
        tensors[f"{step}.targets"] = torch.from_numpy(marks[rows])

    save_file(tensors, folder / "batches.safetensors")
    return {
        "start_sha256": digest(p for p in begun.model.parameters() if p.requires_grad),
        "rows": chosen,
        "rows_sha256": sha256_json(chosen),
        "head": begun.head,
        "n_parameters": sum(p.numel() for p in begun.model.parameters()),
        "n_texts": sum(map(len, chosen)),
        "n_tokens": int(sum(len(ids[row]) for rows in chosen for row in rows)),
        "shortest": min(map(len, chosen)),
        "longest": max(map(len, chosen)),
    }


def read_batches(folder: Path) -> list[Batch]:
    """The batches that ``begin`` wrote, in their order."""
    from safetensors.torch import load_file

    tensors, batches = load_file(folder / "batches.safetensors"), []
    for step in range(len({name.partition(".")[0] for name in tensors})):
        features = {
            name.partition(".")[2]: values
            for name, values in tensors.items()
            if name.startswith(f"{step}.")
        }
        batches.append((features, features.pop("targets")))
    return batches
