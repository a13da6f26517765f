"""What is wrong, by its name: faults of a model's own code on the device, which no call shows.

A fault hypothesis is a rung like any other: gold is made to err in that way, and if it then gives
the device's first wrong state, that is the name. Before that the pattern speaks: alone right and
padded wrong is a mask; alone right and in company wrong is a neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from goemo_utils.parity.course import Course, Measured
from goemo_utils.parity.exercise import Batch
from goemo_utils.parity.hypotheses import hypotheses
from goemo_utils.parity.isolation import PADDING
from goemo_utils.parity.twins import States, rms

VAGUE = {"model code", "length"}
"""Names that say where and not what."""
EXPLAINED = 0.98
"""Share of the squared error at the first wrong state that a hypothesis must account for."""
ALWAYS = 0.9
"""Share of identical forwards that differ where each of them draws anew, as dropout does."""
RANDOM = 8.0
"""Times the usual noise by which repeats of a random forward lie apart; orders of addition: 3."""

REMEDIES = {
    "mask": "Compare the mask that attention gets with the CPU's; try attn_implementation eager",
    "position": "Compare the position ids that reach the device with the CPU's",
    "segment": "Compare token_type_ids and their embeddings on the device with the CPU's",
    "window": "Compare the mask of the layers with a window; try attn_implementation eager",
    "relative bias": "Compare the bias of relative positions on the device with the CPU's",
    "residual": "Compare the sums behind each block; look for a fused kernel that adds them",
    "neighbour": "Run texts alone until the kernel that mixes rows of a batch is found",
    "dropout": "Call model.eval() on the device",
    "saturation": "Compute in a dtype of more range: dtype float32 or bfloat16",
    "weights": "Load the weights again and read them back",
    "NaN weights": "Repair the checkpoint: see which rows are not finite",
    "intermittent": "Run the machine's own diagnosis: a defective card errs at times",
    "kernel": "Replace the operator by its eager form; report it to the kernel's maker",
    "offset": "Look at the kernel's bias: one number is added or left out",
    "gain": "Look at the kernel's scale: one constant is off",
    "batch size": "Keep batches below that size until the kernel is found",
    "length": "Keep texts below that length until the kernel is found",
    "model code": "Compare the states of that layer step by step: dump both sides' inputs",
}


@dataclass(frozen=True)
class Name:
    """What is wrong, where it shows first, how that is known, and what to do."""

    name: str
    where: str | None
    evidence: str
    remedy: str


def named(name: str, where: str | None, evidence: str) -> Name:
    return Name(name, where, evidence, REMEDIES[name])


def of(
    course: Course,
    measured: Measured,
    place: Mapping[str, Any] | None,
    weights: list[str],
) -> list[dict[str, Any]]:
    """Every name that the evidence gives, the surest first; empty where nothing is wrong.
    ``weights`` of the checkpoint that are not finite come from the yardsticks.
    """
    names = [named("NaN weights", text.split(":")[0], text) for text in weights]
    names += _of_repeats(course, measured)
    names += _of_calls(place)
    failed = any(not row["ok"] for row in measured.every)
    nan = any(f["ratio_rms"] == "NaN" for f in (place or {}).get("faults", []))
    unnamed = not names and failed and not nan
    if unnamed or (failed and not (place or {}).get("faults") and not _sure(names)):
        names += Diagnosis(course, measured).run()
    if not names or all(name.name in VAGUE for name in names):
        names = [*_kernels(place), *names]

    return [asdict(name) for name in dict.fromkeys(names)]


def _kernels(place: Mapping[str, Any] | None) -> list[Name]:
    """Calls that err on right inputs, where nothing says how."""
    found = []
    for fault in (place or {}).get("faults", [])[:2]:
        where = f"{fault['module']} {fault['operator']}".strip()
        found.append(named("kernel", where, str(fault.get("reading") or "wrong on right inputs")))
    return found


def _sure(names: list[Name]) -> bool:
    sure = {"weights", "NaN weights", "dropout", "intermittent", "saturation"}
    return any(name.name in sure for name in names)


def _of_calls(place: Mapping[str, Any] | None) -> list[Name]:
    """Names that single calls and the weights that were read back show by themselves."""
    found = []
    for fault in (place or {}).get("faults", []):
        kind, reading = fault.get("kind"), str(fault.get("reading") or "")
        if kind == "weights" and "NaN" in reading:
            kind = "NaN weights"
        if kind in REMEDIES:
            where = f"{fault['module']} {fault['operator']}".strip()
            found.append(named(str(kind), where, reading or "by its calls"))
            if kind in ("gain", "offset", "kernel"):  # the others are of company by themselves
                found += _of_shapes(where, str(fault.get("only") or ""))
    first = {name.name: name for name in reversed(found)}
    order = sorted(first.values(), key=found.index)
    return [*order, *(name for name in found if name not in order)][:4]


def _of_shapes(where: str, only: str) -> list[Name]:
    """A call that errs in some batches alone: by their number of texts, or by their length."""
    units = {"tokens": "length", "texts": "batch size"}
    return [named(name, where, only) for unit, name in units.items() if f" {unit}" in only]


def _of_repeats(course: Course, measured: Measured) -> list[Name]:
    """Forwards that differ from themselves: dropout left on, or an event that comes and goes."""
    differing, repeats = measured.differing, measured.repeats
    if not differing:
        return []
    seen = f"{differing} of {repeats} identical forwards differed"
    if differing <= ALWAYS * repeats:
        return [named("intermittent", None, seen)]
    return [named("dropout", None, seen)] if _random(course) else []


@torch.no_grad()
def _random(course: Course) -> bool:
    """Whether repeats differ by far more than any order of addition does: dropout is random."""
    twins = course.twins
    batch = _short(course, 1)
    tensors = course.exercise.tensors(twins, batch)
    a, b = (twins.run(twins.candidate, tensors) for _ in range(2))
    name = twins.main(a)
    return not rms(a[name], b[name]) <= RANDOM * course.typical[name]


def _short(course: Course, count: int) -> Batch:
    """So many texts of one length, without padding."""
    length = course.exercise.short
    rows = [i for i, text in enumerate(course.exercise.texts) if len(text.ids) == length]
    return Batch("short", tuple((rows * count)[:count]), length)


class Diagnosis:
    """The experiments by which a fault of the model's own code is named."""

    def __init__(self, course: Course, measured: Measured) -> None:
        self.course, self.twins, self.measured = course, course.twins, measured

    def run(self) -> list[Name]:
        """At most one name: the first experiment that decides."""
        broken = self._not_isolated()
        if broken is not None:
            return [broken]

        alone, company = self._look(_short(self.course, 1)), self._look(_short(self.course, 7))
        if not alone["ok"]:
            if self._look(_short(self.course, 33))["ok"]:
                told = "alone wrong, right among 33 texts of its length"
                return [named("batch size", alone["first_wrong"], told)]
            return self._tested(_short(self.course, 1), alone)
        if not company["ok"]:
            return [self._company(7, company["first_wrong"], "alone right, in company wrong")]

        long = self._first_failed("length")
        if long is not None:
            return self._tested(long, self._look(long))

        padded = self._first_failed("padded") or self._first_failed("mixed")
        if padded is not None:
            seen = self._look(padded)
            told = f"alone right, padded to {padded.tokens} tokens wrong"
            return [named("mask", seen["first_wrong"], told)]

        return self._of_sizes()

    def _not_isolated(self) -> Name | None:
        """What must not matter and does, where a text alone is right."""
        failed = [row for row in self.measured.isolation if not row["ok"]]
        if not failed or not self._look(_short(self.course, 1))["ok"]:
            return None
        row = failed[0]
        size = f"{row['texts']} x {row['tokens']} tokens"
        if row["kind"] == PADDING:
            told = f"alone right; what stands in the padding changes the answer ({size})"
            return named("mask", row["first_wrong"], told)
        told = f"alone right; the answer changes with the other texts ({size})"
        return named("neighbour", row["first_wrong"], told)

    def _look(self, batch: Batch) -> dict[str, Any]:
        tensors = self.course.exercise.tensors(self.twins, batch)
        return self.course.judged(batch, self.twins.run(self.twins.candidate, tensors))

    def _first_failed(self, kind: str) -> Batch | None:
        pairs = zip(self.course.exercise.batches, self.measured.rows, strict=True)
        failed = [batch for batch, row in pairs if batch.kind == kind and not row["ok"]]
        return min(failed, key=lambda batch: batch.tokens) if failed else None

    def _of_sizes(self) -> list[Name]:
        """Only some batch sizes are wrong: is it the company, its padding, or the number?"""
        failed = self._first_failed("batch size")
        if failed is None:
            return []
        size = len(failed.rows)
        equal = self._look(_short(self.course, size))
        where = self._look(failed)["first_wrong"]
        if equal["ok"]:
            return [named("mask", where, f"{size} texts of one length right, padded wrong")]
        return [self._company(size, where, f"fewer texts right, {size} wrong")]

    def _company(self, size: int, where: str | None, told: str) -> Name:
        """Does a text's answer follow its neighbours, or only their number?"""
        batch, twins = _short(self.course, size), self.twins
        others = (batch.rows[0], *reversed(batch.rows[1:]))
        answers = []
        for rows in (batch.rows, others):
            tensors = self.course.exercise.tensors(twins, Batch("company", rows, batch.tokens))
            states = twins.run(twins.candidate, tensors)
            answers.append(states[twins.main(states)][0])
        # in batches of one shape a kernel computes a row alike, whatever is in the others
        if not torch.equal(*answers):
            return named("neighbour", where, f"{told}; it changes with the other texts")
        return named("batch size", where, f"{told}, whatever the other texts")

    def _tested(self, batch: Batch, seen: Mapping[str, Any]) -> list[Name]:
        """The hypothesis that gives the device's first wrong state."""
        twins, state = self.twins, str(seen["first_wrong"])
        tensors = self.course.exercise.tensors(twins, batch)
        device = twins.run(twins.candidate, tensors)[state].double()
        gold = twins.run(twins.gold, tensors)[state]
        if not bool(device.isfinite().all()):
            told = f"{state} is not finite although every call is right: scores are all masked"
            return [named("mask", state, told)]

        whole = rms(device, gold)
        layer = int(state.split(".")[1]) - 1 if state != "logits" else None
        for name, told, context in hypotheses(twins.gold, layer):
            try:
                with context():
                    made = self._run(tensors, state, inverted=told == "inverted")
            except (RuntimeError, ValueError, TypeError, IndexError):
                continue  # a model that cannot err in this way
            share = 1.0 - (rms(device, made) / whole) ** 2 if whole else 0.0
            if share >= EXPLAINED:
                evidence = f"gold with {name} {told} accounts for {share:.1%} of {state}'s error"
                return [named(name, state, evidence)]

        kind = (
            "length"
            if batch.kind == "length" and batch.tokens > self.course.exercise.short
            else "model code"
        )

        return [named(kind, state, f"first wrong with {len(batch.rows)} x {batch.tokens} tokens")]

    def _run(self, tensors: list[dict[str, Tensor]], state: str, inverted: bool) -> Tensor:
        twins = self.twins
        if inverted:
            tensors = [t | {"attention_mask": 1 - t["attention_mask"]} for t in tensors]
            states = self._all_rows(tensors)
        else:
            states = twins.run(twins.gold, tensors)
        return states[state]

    def _all_rows(self, tensors: list[dict[str, Tensor]]) -> States:
        """States of every place, for inputs whose mask says nothing of them."""
        found: dict[str, list[Tensor]] = {}
        for batch in tensors:
            output = self.twins.gold(**batch, output_hidden_states=True)
            for index, hidden in enumerate(output.hidden_states):
                found.setdefault(f"hidden.{index}", []).append(hidden.flatten(0, 1))
            if "logits" in output:
                found.setdefault("logits", []).append(output.logits)
        return {name: torch.cat(rows) for name, rows in found.items()}
