"""The CPU's share of an analysis: what needs gold, the reference and its rungs, and of the device
its answers alone. It is asked for piece by piece, here or in a process beside the device's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from goemo_utils.errors import GoemoError
from goemo_utils.forward.pack import read_pack
from goemo_utils.forward.run import arithmetic, plain_arithmetic, tensor_float_32
from goemo_utils.forward.thresholds import effective
from goemo_utils.parity import invariance, yardstick
from goemo_utils.parity.cause import Rung
from goemo_utils.parity.confirm import Asked, Confirmation
from goemo_utils.parity.course import Texts
from goemo_utils.parity.emulate import Claim
from goemo_utils.parity.exercise import Batch, Exercise
from goemo_utils.parity.place import repeated, vector_ulp
from goemo_utils.parity.replay import Skipped
from goemo_utils.parity.row import Row
from goemo_utils.parity.twins import States, Twins


class Share:
    """The pieces, each a method. What one leaves for another is kept here: the rung of the cause,
    and what the CPU says of the exercise set.
    """

    def __init__(
        self, twins: Twins, asked: Asked, fused: bool, progress: Callable[[str], None]
    ) -> None:
        self.twins, self.asked, self.fused, self.progress = twins, asked, fused, progress
        self.confirmation = Confirmation(twins, asked, progress)
        self.rows: Sequence[Row] = []
        self.ulp = 0.0
        self._rung: Rung | None = None
        self._texts: Texts | None = None

    def foreseen(self, texts: list[str]) -> None:
        """What the cause needs and no claim decides."""
        self.confirmation.foresee(texts)

    def placed(
        self, batches: Sequence[dict[str, Tensor]], claim: Claim
    ) -> tuple[list[Row], Skipped]:
        """Every call on ``batches``, repeated on a device of this process' own and judged. No later
        piece asks that device.
        """
        rows, skipped = repeated(self.twins, batches, claim)
        self.twins.give_up_device()
        self.rows = rows
        return rows, skipped

    def judged(self, rows: Sequence[Row]) -> None:
        """The rows of the calls that were judged elsewhere: with those judged here they are all,
        and show the noise of the vector kernels.
        """
        self.rows = [*rows, *self.rows]
        self.ulp = vector_ulp(self.rows)

    def cause(
        self,
        texts: list[str],
        candidate: States,
        claim: Claim,
        families: Mapping[str, Any],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The local answer on every state of the model, and the rung's answers where they are not
        the reference's.
        """
        found, self._rung = self.confirmation.run(texts, candidate, claim, families, self.ulp)
        self.confirmation.yardsticks = None
        return found, self.confirmation.answers

    @property
    def rung(self) -> Rung:
        """The accepted rung, once the cause was asked for."""
        if self._rung is None:
            raise GoemoError(
                "The rung of a cause was asked for before the cause: ask for it first."
            )
        return self._rung

    def invariance(self, texts: list[str], device: invariance.Answers) -> dict[str, Any]:
        """What the device answered to texts in other batches, in units of the rung's noise."""
        rung, most = self.rung, self.asked.max_length
        main = self.twins.main(rung.states)
        noise = rung.noise[main], rung.noise_max[main]
        return invariance.measure(self.twins, texts, most, *noise, rung.claim, device)

    def exercised(self, made: Exercise, claim: Claim) -> dict[str, float]:
        """The usual noise of each state over the texts of the exercise set, which are computed when
        they are asked for first.
        """
        if self._texts is None:
            self._texts = Texts(self.twins, made, claim, self.ulp)
        return self._texts.typical

    @property
    def texts(self) -> Texts:
        """What the CPU says of the exercise set, once that was asked for."""
        if self._texts is None:
            raise GoemoError("A batch was judged before its texts: ask for ``exercised`` first.")
        return self._texts

    def looked(self, batch: Batch, states: States) -> dict[str, Any]:
        """A batch on the device beside what the CPU says of each of its texts."""
        return self.texts.judged(batch, states)

    def row(self, batch: Batch, states: States) -> dict[str, Any]:
        """A batch on the device as it is recorded."""
        return self.texts.row(batch, states)

    def yardstick(self, texts: list[str], packs: Mapping[str, str]) -> dict[str, Any]:
        """What speaks against gold and the reference, one phrase each; empty lists where nothing
        does. ``packs`` are the paths of theirs.
        """
        twins, rung = self.twins, self.rung
        stored = {role: read_pack(path).tensors for role, path in packs.items()}
        convolved = convolves(twins.reference)
        with twins.as_role("gold"):
            errors = yardstick.gold_errors()
        with twins.as_role("reference"):
            probed = yardstick.by_probe(twins.dtype, convolved, self.fused)
        wrong = [
            f"{name} errs {e:.2g}" for name, e in errors.items() if not e <= yardstick.GOLD_ERROR
        ]
        batches = twins.batches(texts, self.asked.max_length, self.asked.size)

        return {
            "gold": [f"the CPU's float64 {text}" for text in wrong],
            "weights": yardstick.not_finite(twins.reference),
            "probe": probed,
            "calls": yardstick.by_calls(self.rows),
            "packs": yardstick.by_packs(
                twins, batches, rung.gold, rung.reference, stored, rung.noise
            ),
            "settings": arithmetic(),
            "n": len(self.rows),
        }


def convolves(model: torch.nn.Module) -> bool:
    """Whether a model has a convolution, as a few encoders do: only then is a device asked how it
    rounds for one.
    """
    return any(isinstance(module, torch.nn.modules.conv._ConvNd) for module in model.modules())


def of(job: dict[str, Any], progress: Callable[[str], None]) -> Share:
    """The CPU's share of a job, in a process beside the one that has the device."""
    compute_plainly(job)
    twins = Twins.load(job, alone=not has_device(job))
    return Share(twins, asked_of(job, twins), fused(job), progress)


def has_device(job: dict[str, Any]) -> bool:
    """Whether the process beside has such a device too: one that computes a call alike in whichever
    process it is asked. A rehearsed fault may count its calls, so there only one is asked.
    """
    return not job.get("fault")


def compute_plainly(job: dict[str, Any]) -> None:
    """How this whole process computes."""
    plain_arithmetic()
    if "tf32" in job:
        tensor_float_32(bool(job["tf32"]))


def asked_of(job: dict[str, Any], twins: Twins) -> Asked:
    """What a job asks of its model."""
    threshold = effective(job.get("threshold"), twins.loaded.info)
    most, size = int(job.get("max_length", 512)), int(job.get("batch_size", 16))
    return Asked(list(job["texts"]), most, size, threshold)


def fused(job: dict[str, Any]) -> bool:
    """Whether a job asks for fused attention."""
    return str(job.get("attn_implementation", "eager")) != "eager"
