"""One model three times: reference (CPU, the run's dtype), gold (CPU, float64) and candidate (the
device), and their forward runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.errors import TextsError
from goemo_utils.forward.device import GENUINE, Device, open_device
from goemo_utils.forward.inputs import hidden_states, real_states
from goemo_utils.forward.model import Loaded, load_model
from goemo_utils.forward.run import encode
from goemo_utils.parity.emulate import DEFAULT, PLAIN, Claim, Detail, emulated
from goemo_utils.parity.error import magnitude
from goemo_utils.parity.wide import widened
from goemo_utils.rehearsal.kept import KEPT

States = dict[str, Tensor]
"""``logits`` [n_texts, n_labels] and ``hidden.<i>`` [n_real_tokens, width] on the CPU, in the dtype
they were computed in.
"""


@dataclass
class Twins:
    """The three models of one analysis. Gold shares the reference's weights, which have the run's
    dtype, and widens each where it is used.
    """

    reference: nn.Module
    gold: nn.Module
    candidate: nn.Module
    loaded: Loaded
    device: Device
    dtype: str
    degraded: str | None = None
    """A rehearsed fault of reference or gold, as ``rehearsal.roles`` reads it."""

    @classmethod
    def load(cls, job: dict[str, Any], alone: bool = False) -> Twins:
        """Open the job's device, load its model once and copy it; ``alone``: gold and reference
        without a device, the reference in the candidate's place.
        """
        asked = (job.get("numerics") or "exact", job.get("fault"), job.get("remedy") or "none")
        device = open_device("cpu") if alone else open_device(job["device"], *asked)
        dtype = job.get("dtype") or "float32"
        loaded = load_model(
            job["model"],
            job.get("revision"),
            job.get("task", "auto"),
            dtype,
            job.get("attn_implementation", "eager"),
            job.get("seed", 0),
        )

        if alone:
            gold, reference = widened(loaded.model), loaded.model
            twins = cls(reference, gold, reference, loaded, device, dtype)
        else:
            twins = cls.of(loaded, device, dtype)
        return replace(twins, degraded=job.get("degraded"))

    @classmethod
    def of(cls, loaded: Loaded, device: Device, dtype: str) -> Twins:
        """Copies of a loaded model; the loaded one itself is the reference."""
        place = device.torch_device
        gold = widened(loaded.model)
        candidate = _twin(loaded.model, lambda t: t.to(place, copy=True))
        return cls(loaded.model, gold, candidate, loaded, device, dtype)

    def as_role(self, role: str) -> AbstractContextManager[Any]:
        """Within this context the CPU computes as badly as a rehearsal asks of ``role``, reference
        or gold; nothing changes where it asks nothing.
        """
        if not self.degraded:
            return nullcontext()
        from goemo_utils.rehearsal.roles import degraded

        return degraded(role, self.degraded)

    @contextmanager
    def calls_of(self, texts: int, tokens: int) -> Iterator[None]:
        """Within this context single calls on the device belong to a batch of that size. A real
        device sees it by their shapes; a rehearsed one, whose linear layers get rows of tokens, is
        told.
        """
        if not self.device.simulated:
            yield
            return

        from goemo_utils.rehearsal.tracker import TRACKER, Size

        TRACKER.shown = Size(texts, tokens)
        try:
            yield
        finally:
            TRACKER.shown = None

    def attach(self, model: nn.Module) -> None:
        """Tell the rehearsal device in which model its faults are placed; a real device needs
        nothing.
        """
        self.device.attach(model)

    def again(self) -> Loaded:
        """The model as it was loaded, with the weights that already are on the device."""
        made: dict[int, Any] = {}
        for here, there in zip(self.reference.buffers(), self.candidate.buffers(), strict=True):
            made[id(here)] = there
        for here, there in zip(
            self.reference.parameters(), self.candidate.parameters(), strict=True
        ):
            made[id(here)] = nn.Parameter(there.detach(), here.requires_grad)
        return replace(self.loaded, model=copy.deepcopy(self.reference, made))

    def weights(self) -> Iterator[tuple[Tensor, ...]]:
        """Each weight as it lies where this process rounds operands: on the CPU, and on a
        rehearsal device.
        """
        rehearsed = self.device.kind == "rehearsal" and self.device.requested != GENUINE
        models = (self.reference, self.candidate) if rehearsed else (self.reference,)
        return zip(*(model.parameters() for model in models), strict=True)

    def give_up_device(self) -> None:
        """Let the device's copy of the model go; the reference stands in its place."""
        for weight in self.candidate.parameters():
            KEPT.forget(weight)  # another tensor may come to lie where it was
        self.candidate = self.reference

    def batches(
        self, texts: Sequence[str], max_length: int, size: int, pad_to: int | None = None
    ) -> list[dict[str, Tensor]]:
        """Consecutive padded batches in the order of the texts, as the packs were made; ``pad_to``
        adds padding.

        Raises TextsError without texts: nothing compared is a failure.
        """
        if not texts:
            raise TextsError(
                "The parity analysis was given no texts: nothing compared is a failure, so it stops"
                " here."
            )

        ids = encode(self.loaded, list(texts), max_length)

        return list(self.loaded.inputs.batches(ids, size, pad_to or 0))

    def padded(
        self, ids: Sequence[list[int]], pad_to: int | None = None
    ) -> list[dict[str, Tensor]]:
        """One batch of token ids ``[texts, tokens]``, padded to the longest text or to ``pad_to``
        where that is more; several for a model that is not padded. Models without a tokenizer are
        padded on the right.
        """
        if self.loaded.tokenizer is not None:
            return list(self.loaded.inputs.batches(list(ids), len(ids), pad_to or 0))

        config: Any = self.loaded.model.config
        rows = torch.full((len(ids), max(pad_to or 0, *map(len, ids))), config.pad_token_id or 0)
        mask = torch.zeros_like(rows)

        for row, text in enumerate(ids):
            rows[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1

        return [{"input_ids": rows, "attention_mask": mask}]

    @torch.no_grad()
    def run(
        self,
        model: nn.Module,
        batches: Sequence[dict[str, Tensor]],
        claim: Claim = PLAIN,
        detail: Detail = DEFAULT,
        hidden: bool = True,
    ) -> States:
        """Forward runs over batches; a claim or detail is emulated, on CPU models only.

        Under a claim attention is computed in separate steps: nothing inside a fused kernel could
        be rounded.
        """
        place = next(model.parameters()).device
        role = {id(self.gold): "gold", id(self.reference): "reference"}.get(id(model), "candidate")
        found: dict[str, list[Tensor]] = {}
        with self.as_role(role), emulated(claim, detail):
            for batch in batches:
                output = model(
                    **{k: v.to(place) for k, v in batch.items()}, output_hidden_states=hidden
                )
                if self.loaded.task != "encoder":
                    found.setdefault("logits", []).append(output.logits.cpu())
                states = list(enumerate(hidden_states(output))) if hidden else []
                if not hidden and self.loaded.task == "encoder":
                    states = [(0, output.last_hidden_state)]
                real = batch["attention_mask"].bool()
                for index, state in states:
                    found.setdefault(f"hidden.{index}", []).append(real_states(state.cpu(), real))

        return {name: torch.cat(parts) for name, parts in found.items()}

    def main(self, states: States) -> str:
        """Name of what is judged first: the logits, or an encoder's last hidden state."""
        return "logits" if "logits" in states else max(states, key=lambda n: int(n.split(".")[1]))


def _twin(model: nn.Module, changed: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of a model with each weight and buffer ``changed``. A copy that is changed afterwards
    holds the weights twice for a while, and an allocator that keeps what it gave up holds them on.
    """
    made: dict[int, Any] = {id(b): changed(b) for b in model.buffers()}
    for weight in model.parameters():
        made[id(weight)] = nn.Parameter(changed(weight.detach()), weight.requires_grad)
    return copy.deepcopy(model, made)


def parts(state: Tensor, sizes: Sequence[int] | int) -> list[Tensor]:
    """A state cut along its rows: into texts, by their numbers of tokens."""
    return list(state.split(sizes))


def rms(a: Tensor, b: Tensor | None = None) -> float:
    """Root mean square of a tensor, or of the difference of two, in float64."""
    return sizes(a.double() if b is None else a.double() - b.double())[0]


def largest(a: Tensor, b: Tensor) -> float:
    """Largest absolute difference of two tensors, in float64."""
    return sizes(a.double() - b.double())[1]


def sizes(values: Tensor) -> tuple[float, float]:
    """Root mean square and largest magnitude; NaN without values, or of a NaN among them."""
    if not values.numel():
        return math.nan, math.nan
    return float(torch.linalg.vector_norm(values)) / math.sqrt(values.numel()), magnitude(values)


def chunks(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    """Texts in consecutive groups, for work over more texts than are held at once."""
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
