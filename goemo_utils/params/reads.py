"""What each notebook reads of the parameters: stated here once, and held to by ``Step.begin``,
which sets every other parameter back to its default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from goemo_utils.params.closed import Closed

P = TypeVar("P", bound=Closed)

# How a model is found and put on a device; whatever forwards it depends on these.
MODEL = ("model", "revision", "task", "dtype", "attn_implementation", "seed")
# What computes: a device, and what stands behind a rehearsal.
DEVICE = ("device", "rehearsal_engine")
# How the device computes. A learner changes these to see an answer change.
ARITHMETIC = ("remedy", "rehearsal_numerics", "rehearsal_fault")
TEXTS = ("texts", "text_column", "limit")
# Where a step writes; never part of what it says.
PLACE = ("run_id", "output_root")


@dataclass(frozen=True)
class Reads:
    """What one notebook reads.

    ``cell``: what its parameters cell offers. ``also``: what it reads besides; given by papermill
    or the chain, else taken over from an earlier record. ``fixed``: what must be the same as in
    the records that this step builds on, because they would not hold for another value.
    """

    cell: tuple[str, ...]
    also: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Everything the notebook reads."""
        return (*self.cell, *self.also)


READS = {
    "00_environment": Reads(("run_id", "model", "device", "output_root"), ("rehearsal_engine",)),
    "01_load": Reads(
        ("run_id", "model", "revision", "task", "device", "dtype", *ARITHMETIC),
        ("attn_implementation", "seed", "rehearsal_engine", "output_root"),
    ),
    "02_smoke": Reads(
        ("run_id", "threshold", "max_length", *ARITHMETIC),
        (*MODEL, *DEVICE, "output_root"),
        (*MODEL, *DEVICE),
    ),
    "03_parity": Reads(
        ("run_id", "reference", *TEXTS, "threshold", *ARITHMETIC),
        (*MODEL, *DEVICE, "batch_size", "max_length", "output_root"),
        (*MODEL, *DEVICE),
    ),
    "04_throughput": Reads(
        ("run_id", *TEXTS, "batch_size", "max_length", "threshold"),
        (*MODEL, *DEVICE, *ARITHMETIC, "output_root"),
        (*MODEL, *DEVICE, *ARITHMETIC),
    ),
    "05_report": Reads(("run_id", "language", "output_root")),
}


@dataclass(frozen=True)
class LabCell:
    """The cell of a lab, which has a schema of its own and reads all of it: the ``keys`` that are
    changed most, and the module of the schema.
    """

    schema: str
    keys: tuple[str, ...]


LABS = {
    "10_finetune": LabCell(
        "goemo_utils.training.params",
        (
            "run_id",
            "model",
            "train",
            "dev",
            "device",
            "epochs",
            "learning_rate",
            "r_drop",
            "seed",
        ),
    ),
    "20_optimise": LabCell(
        "goemo_utils.optimise.params",
        ("run_id", "teacher", "train", "dev", "epochs", "rate", "seed", "threads", "rounds"),
    ),
}


def narrowed(params: P, step: str) -> P:
    """``params`` as a step sees them: what it does not read has the schema's default, so that
    nothing it does can depend on it.
    """
    reads = READS.get(step)
    if reads is None:
        return params
    fields = type(params).model_fields
    unread = {key: fields[key].default for key in fields if key not in reads.keys}
    return params.model_copy(update=unread)


def recorded(params: Closed, step: str) -> dict[str, Any]:
    """The values that a step's record keeps: those it reads and that can change its result."""
    reads = READS.get(step)
    values = params.resolved()
    keys = values if reads is None else reads.keys
    return {key: values[key] for key in keys if key not in params.not_in_digest}
