"""Training parity: the same few optimizer steps on the CPU in float64, on the CPU and on the
device, and what their difference means.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.forward import worker
from goemo_utils.parity.gates import FAIL, Gate, not_run
from goemo_utils.parity.remedies import REMEDIES
from goemo_utils.records.record import plain
from goemo_utils.training import fit
from goemo_utils.training.parity import gates, measures
from goemo_utils.training.parity.gates import LIMITS, Limits

Say = Callable[[str], None]
ORDERS = 3
"""CPU trainings whose distance from float64 is the noise: goemo_utils.parity.emulate.DETAILS."""
NOT_CHECKED = (
    {
        "what": "dropout, and R-Drop with it",
        "why": "Each device draws its own masks, so that two right devices differ.",
        "how": "Compare two trainings with dropout by their scores over several seeds.",
    },
    {
        "what": "the Trainer's own machinery",
        "why": "Fused optimizers, data loaders and the scaler of float16 are chosen by device.",
        "how": "Compare the loss curve of the training with one on the CPU.",
    },
)


def compare(
    params: Any,
    splits: Any,
    folder: Path | str,
    progress: Say = lambda line: None,
    limits: Limits = LIMITS,
) -> dict[str, Any]:
    """Train ``params.parity_steps`` steps in every role and judge the device: the record's
    ``parity``, JSON-able.

    ``params`` are TrainingParams, ``splits`` what goemo_utils.training.data.load gives; the batches
    are the first ones of the run's own training. Logs and, while it runs, tensors are in
    ``folder``/parity. A model made from scratch is taken as it was made, from ``folder``/model.

    ``verdict`` pass | pass-with-cause | fail; ``summary`` in words; ``gates``; ``causes``;
    ``faults``; ``curves``, a row a step; ``gradients`` and ``weights``, a row a parameter;
    ``first_diverging_step`` from 1, None if the device stays within right arithmetic;
    ``equal_to_reference`` to the bit. Raises ParamsError without steps, and what a worker raises.
    """
    if params.parity_steps < 1:
        raise ParamsError(
            f"parity_steps is {params.parity_steps}: at least 1 step is needed to compare a"
            " training. Set parity_steps: 20."
        )

    return Study(params, splits, Path(folder), progress, limits).run()


class Study:
    """One training parity in progress; ``run`` gives its result."""

    def __init__(
        self, params: Any, splits: Any, folder: Path, progress: Say, limits: Limits
    ) -> None:
        self.folder, self.progress, self.limits = folder / "parity", progress, limits
        self.simulated = params.simulated
        changes = {"model": str(folder / "model")} if params.model == "new" else {}
        made = fit.job(params, splits, self.folder, **changes)

        names = (
            "model",
            "revision",
            "labels",
            "task",
            "attn_implementation",
            "dtype",
            "batch_size",
            "learning_rate",
            "warm_up",
            "weight_decay",
            "max_grad_norm",
            "smoothing",
            "max_length",
            "seed",
            "threads",
            "numerics",
            "fault",
            "device",
        )

        self.job = {
            "kind": "training_parity",
            **{name: made[name] for name in names},
            "dropout": None,
            "steps": params.parity_steps,
            "folder": str(self.folder),
        }

        self.train = made["train"]

    def run(self) -> dict[str, Any]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

        try:
            begun = self._worker("start", device="cpu", train=self.train)
            gold = self._train("gold", "cpu", keep=True)
            candidate = self._train("candidate", self.job["device"], keep=True)
            reference = self._train("reference", "cpu", orders=ORDERS)

            found = {"gold": gold, "reference": reference, "candidate": candidate}
            calls = self._worker("calls") if self.job["dtype"] == "float32" else None
            result: dict[str, Any] = plain(self._judge(begun, found, calls))
            return result
        finally:
            for left in [self.folder / "start", *self.folder.glob("*.safetensors")]:
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def _worker(self, role: str, **changes: Any) -> dict[str, Any]:
        job = {**self.job, "role": role, **changes}
        if not job["device"].startswith("rehearsal"):
            job |= {"numerics": "exact", "fault": None}
        return worker.run(job, self.folder / f"worker-{role}.log", self.progress)

    def _train(
        self,
        role: str,
        device: str,
        claim: tuple[str | None, bool] = (None, False),
        orders: int = 1,
        keep: bool = False,
    ) -> dict[str, Any]:
        against = {"gold": [], "rung": ["gold", "candidate"]}.get(role, ["gold"])

        return self._worker(
            role,
            device=device,
            claim=list(claim),
            orders=orders,
            keep=keep,
            against=against,
            repeat=role == "candidate",
        )

    def _judge(
        self, begun: Mapping[str, Any], found: Mapping[str, Any], calls: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        traces = {role: part["traces"][0] for role, part in found.items()}
        gold, reference, candidate = traces.values()
        steps, bad = len(gold["texts"]), measures.not_finite(traces)

        starts = {"start": begun["start_sha256"]}
        starts |= {role: trace["start_sha256"] for role, trace in traces.items()}
        batches = {role: trace["batches_sha256"] for role, trace in traces.items()}
        same_start = gates.same("same_start", starts, len(gold["names"]))
        same_batches = gates.same("same_batches", batches, steps)

        made: list[Gate] = [
            gates.finite(bad, steps),
            same_start,
            same_batches,
            gates.on_device(found["candidate"], candidate["placement"]),
        ]
        comparison = _Comparison()

        if FAIL in (same_start.result, same_batches.result):
            reason = "The start or the batches differ, so nothing was compared."
            made += [not_run(id, reason) for id in gates.ORDER[len(made) :]]
        else:
            comparison, compared = self._compare(begun, found, calls, bad)
            made += compared

        verdict, causes = gates.verdict(made), _causes(made, comparison.explained, calls)
        result = {
            "verdict": verdict,
            "simulated": self.simulated,
            "summary": "",
            "gates": [gates.record(gate) for gate in made],
            "causes": causes,
            "faults": _faults(calls),
            "remedies": [{"cause": name, **REMEDIES[name]} for name in causes if name in REMEDIES],
            "equal_to_reference": measures.same(reference, candidate),
            "steps": steps,
            "batch_size": self.job["batch_size"],
            "n_texts": begun["n_texts"],
            "n_tokens": begun["n_tokens"],
            "rows": begun["rows"],
            "rows_sha256": begun["rows_sha256"],
            "batches_sha256": gold["batches_sha256"],
            "start_sha256": begun["start_sha256"],
            "head": begun["head"],
            "n_parameters": begun["n_parameters"],
            "limits": vars(self.limits).copy(),
            "first_diverging_step": _diverging(comparison.measured, self.limits),
            "first_step_beyond_cause": _diverging(comparison.explained, self.limits),
            "curves": _curves(traces, comparison),
            "gradients": _tensors(comparison, gold, "first"),
            "weights": _tensors(comparison, gold, "final"),
            "arithmetic": _arithmetic(calls),
            "calls": _coverage(calls),
            "roles": {role: _role(part) for role, part in found.items()},
            "dtype": self.job["dtype"],
            "seed": self.job["seed"],
            "learning_rate": self.job["learning_rate"],
            "not_checked": list(NOT_CHECKED),
        }

        return result | {"summary": _summary(result)}

    def _compare(
        self,
        begun: Mapping[str, Any],
        found: Mapping[str, Any],
        calls: Mapping[str, Any] | None,
        bad: Mapping[str, int],
    ) -> tuple[_Comparison, list[Gate]]:
        """The candidate against float64 and, where that is more than rounding and a cause is known,
        against the CPU under the cause; and the gates from ``repeatable`` on.
        """
        gold, candidate = found["gold"]["traces"][0], found["candidate"]["traces"][0]
        right = found["reference"]["traces"]  # the reference, and it in other orders
        measured = measures.against_float64(gold, right, candidate)
        noise = {
            name: max(float(trace["to"]["gold"]["first"][name][0]) for trace in right)
            for name in gold["to"]["zero"]["first"]
        }

        first = gates.rounding(measured, None, self.limits)
        is_more = any(gate.result == FAIL for gate in first)
        explained = None
        if is_more and calls and calls["causes"] and not any(bad.values()):
            explained = self._explained(begun, found, calls)

        names, reason = [], "in mixed precision no cause is looked for."
        if calls:
            names, reason = calls["causes"], _why_not(bad, calls)
        no_place = (
            "In mixed precision calls are not repeated one by one: 03_parity does it for the"
            " forward pass."
        )

        judged = gates.rounding(measured, explained, self.limits)
        lost = measures.lost(gold, right[0], candidate)
        updates = measures.updates(right[0], candidate)
        made = [
            gates.repeatable(candidate["again"], noise, self.limits),
            judged[0],
            gates.lost_gradients(lost, self.limits),
            gates.optimizer(updates, self.limits),
            *judged[1:],
            gates.cause(judged, explained, names, reason, self.limits),
            gates.place(calls, no_place, self.limits),
        ]
        return _Comparison(measured, explained), made

    def _explained(
        self, begun: Mapping[str, Any], found: Mapping[str, Any], calls: Mapping[str, Any]
    ) -> measures.Measured:
        """Train on the CPU under the cause that the device's calls have, and compare with that."""
        gold, reference, candidate = (
            found[role]["traces"][0] for role in ("gold", "reference", "candidate")
        )
        rung = self._train("rung", "cpu", tuple(calls["claim"]), orders=ORDERS)["traces"]
        rounds_operands = calls["claim"][0] is not None
        return measures.against_rung(
            gold, reference, rung, candidate, begun["shortest"], rounds_operands
        )


@dataclass(frozen=True)
class _Comparison:
    """The candidate against float64, and against the CPU under a cause; None where not compared."""

    measured: measures.Measured | None = None
    explained: measures.Measured | None = None


def _diverging(of: measures.Measured | None, limits: Limits) -> int | None:
    return of.diverging(limits.curve) if of else None


def _causes(
    made: Sequence[Gate], explained: measures.Measured | None, calls: Mapping[str, Any] | None
) -> list[str]:
    if any(gate.id == "cause" and gate.result == FAIL for gate in made):
        return ["unexplained"]
    return list(calls["causes"]) if explained and calls else []


def _faults(calls: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    return [*calls["forward"]["faults"], *calls["backward"]["faults"]] if calls else []


def _arithmetic(calls: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: calls[key] for key in ("causes", "families", "n_texts")} if calls else None


def _coverage(calls: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """How much of forward and backward was repeated call by call, and the worst of it."""
    if not calls:
        return None
    names = ("covered", "worst", "not_covered")
    return {part: {key: calls[part][key] for key in names} for part in ("forward", "backward")}


def _role(part: Mapping[str, Any]) -> dict[str, Any]:
    names = ("device", "fault_hits", "fallbacks", "memory", "seconds")
    return {key: part[key] for key in names} | {"placement": part["traces"][0]["placement"]}


def _why_not(bad: Mapping[str, int], calls: Mapping[str, Any]) -> str:
    if any(bad.values()):
        return "what is not finite has no arithmetic."
    unknown = [family for family, found in calls["families"].items() if found["named"] == "unknown"]
    return (
        f"the device's arithmetic in {', '.join(unknown)} is none known here."
        if unknown
        else "the device's calls compute in plain arithmetic on right inputs."
    )


def _curves(traces: Mapping[str, Any], comparison: _Comparison) -> list[dict[str, Any]]:
    """A row a step: loss, gradient norm before clipping, error against float64 and its noise, and
    the error against the CPU under the cause.
    """
    gold = traces["gold"]
    rows = []

    for i, rate in enumerate(gold["rates"]):
        row = {
            "step": i + 1,
            "learning_rate": rate,
            "loss": {role: trace["losses"][i] for role, trace in traces.items()},
            "norm": {role: trace["norms"][i] for role, trace in traces.items()},
        }
        for key in measures.CURVES if comparison.measured else ():
            row[f"{key}_error"] = _errors_of_step(traces, comparison, key, i)
        rows.append(row)

    return rows


def _errors_of_step(
    traces: Mapping[str, Any], comparison: _Comparison, key: str, i: int
) -> dict[str, float]:
    errors: dict[str, float] = {}
    if comparison.measured:
        error, noise = comparison.measured.curves[key]
        of_reference = measures.errors(traces["reference"], traces["gold"], key)
        errors |= {
            "reference": float(of_reference[i]),
            "candidate": float(error[i]),
            "noise": float(noise[i]),
        }
    if comparison.explained:
        error, noise = comparison.explained.curves[key]
        errors |= {"from_cause": float(error[i]), "noise_of_cause": float(noise[i])}

    return errors


def _tensors(comparison: _Comparison, gold: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """A row a parameter, in the order of the model: the error over its noise, and over that of the
    cause.
    """
    kind = "gradients" if part == "first" else "weights"
    rows = []
    for name, (root, largest) in getattr(comparison.measured, kind, {}).items():
        row = {
            "parameter": name,
            "ratio_rms": root,
            "ratio_max": largest,
            "rms": gold["to"]["zero"][part][name][0],
        }
        if part == "final":
            row["moved_rms"] = gold["moved"][name]
        if comparison.explained:
            row["ratio_of_cause"] = getattr(comparison.explained, kind)[name][0]
        rows.append(row)

    return rows


def _summary(result: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    steps = f"{result['steps']} step{'s' * (result['steps'] > 1)} of {result['batch_size']} texts"
    if result["verdict"] == "fail":
        failed = [g for g in result["gates"] if g["result"] == FAIL]
        named = next(
            (g for g in failed if g["id"] == "place"),
            failed[0] if failed else {"id": "nothing was compared", "meaning": ""},
        )
        at = (
            " The loss or its gradients leave right arithmetic at step"
            f" {result['first_diverging_step']}."
            if result["first_diverging_step"]
            else ""
        )

        return (
            f"{steps}; {len(failed)} gate{'s' * (len(failed) != 1)} failed, {named['id']}:"
            f" {named['meaning']}{at}"
        )

    if result["verdict"] == "pass-with-cause":
        return (
            f"{steps}; the device trains as the CPU does under {' + '.join(result['causes'])}, and"
            f" differs from plain float32 from step {result['first_diverging_step']} on."
        )

    if result["equal_to_reference"]:
        return (
            f"{steps}; losses, gradient norms and final weights are equal to the CPU's to the bit."
        )

    return f"{steps}; the device is as near to float64 as right CPU arithmetic, step by step."
