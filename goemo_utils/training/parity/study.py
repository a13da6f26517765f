"""Training parity: the same few optimizer steps on the CPU in float64, on the CPU and on the
device, and what their difference means.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
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
        self.folder, self.progress, self.limits, self.simulated = (
            folder / "parity",
            progress,
            limits,
            params.device == "rehearsal",
        )
        made = (
            fit.job(params, splits, self.folder, model=str(folder / "model"))
            if params.model == "new"
            else fit.job(params, splits, self.folder)
        )
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
            gold, candidate = (
                self._train("gold", "cpu", keep=True),
                self._train("candidate", self.job["device"], keep=True),
            )
            found = {
                "gold": gold,
                "reference": self._train("reference", "cpu", orders=ORDERS),
                "candidate": candidate,
            }
            calls = self._worker("calls") if self.job["dtype"] == "float32" else None
            return plain(self._judge(begun, found, calls))
        finally:
            for left in [self.folder / "start", *self.folder.glob("*.safetensors")]:
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def _worker(self, role: str, **changes: Any) -> dict[str, Any]:
        job = {**self.job, "role": role, **changes}
        if job["device"] != "rehearsal":
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
        starts = [
            gates.same(
                "same_start",
                {
                    "start": begun["start_sha256"],
                    **{r: t["start_sha256"] for r, t in traces.items()},
                },
                len(gold["names"]),
            ),
            gates.same("same_batches", {r: t["batches_sha256"] for r, t in traces.items()}, steps),
        ]
        made: list[Gate] = [
            gates.finite(bad, steps),
            *starts,
            gates.on_device(found["candidate"], candidate["placement"]),
        ]
        measured = explained = rung = None
        if any(gate.result == FAIL for gate in starts):
            made += [
                not_run(id, "The start or the batches differ, so nothing was compared.")
                for id in gates.ORDER[len(made) :]
            ]
        else:
            right = found["reference"]["traces"]
            measured = measures.against_float64(gold, right, candidate)
            noise = {
                name: max(float(r["to"]["gold"]["first"][name][0]) for r in right)
                for name in gold["to"]["zero"]["first"]
            }
            made += [gates.repeatable(candidate["again"], noise, self.limits)]
            first = gates.rounding(measured, None, self.limits)
            if (
                any(g.result == FAIL for g in first)
                and calls
                and calls["causes"]
                and not any(bad.values())
            ):
                rung = self._train("rung", "cpu", tuple(calls["claim"]), orders=ORDERS)["traces"]
                explained = measures.against_rung(
                    gold,
                    reference,
                    rung,
                    candidate,
                    begun["shortest"],
                    calls["claim"][0] is not None,
                )
            judged = gates.rounding(measured, explained, self.limits)
            names, reason = (
                (calls["causes"], _why_not(bad, calls))
                if calls
                else ([], "in mixed precision no cause is looked for.")
            )
            made += [
                judged[0],
                gates.lost_gradients(measures.lost(gold, reference, candidate), self.limits),
                gates.optimizer(measures.updates(reference, candidate), self.limits),
                *judged[1:],
                gates.cause(judged, explained, names, reason, self.limits),
                gates.place(
                    calls,
                    "In mixed precision calls are not repeated one by one: 03_parity does it for"
                    " the forward pass.",
                    self.limits,
                ),
            ]
        verdict = gates.verdict(made)
        causes = (
            ["unexplained"]
            if any(g.id == "cause" and g.result == FAIL for g in made)
            else list(calls["causes"])
            if explained
            else []
        )
        result = {
            "verdict": verdict,
            "simulated": self.simulated,
            "summary": "",
            "gates": [gates.record(g) for g in made],
            "causes": causes,
            "faults": [*calls["forward"]["faults"], *calls["backward"]["faults"]] if calls else [],
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
            "first_diverging_step": measured.diverging(self.limits.curve) if measured else None,
            "first_step_beyond_cause": (
                explained.diverging(self.limits.curve) if explained else None
            ),
            "curves": _curves(traces, measured, explained),
            "gradients": _tensors(measured, explained, gold, "first"),
            "weights": _tensors(measured, explained, gold, "final"),
            "arithmetic": (
                {k: calls[k] for k in ("causes", "families", "n_texts")} if calls else None
            ),
            "calls": (
                {
                    part: {k: calls[part][k] for k in ("covered", "worst", "not_covered")}
                    for part in ("forward", "backward")
                }
                if calls
                else None
            ),
            "roles": {
                role: (
                    {k: part[k] for k in ("device", "fault_hits", "fallbacks", "memory", "seconds")}
                    | {"placement": part["traces"][0]["placement"]}
                )
                for role, part in found.items()
            },
            "dtype": self.job["dtype"],
            "seed": self.job["seed"],
            "learning_rate": self.job["learning_rate"],
            "not_checked": list(NOT_CHECKED),
        }
        return result | {"summary": _summary(result)}


def _why_not(bad: Mapping[str, int], calls: Mapping[str, Any]) -> str:
    if any(bad.values()):
        return "what is not finite has no arithmetic."
    unknown = [family for family, found in calls["families"].items() if found["named"] == "unknown"]
    return (
        f"the device's arithmetic in {', '.join(unknown)} is none known here."
        if unknown
        else "the device's calls compute in plain arithmetic on right inputs."
    )


def _curves(
    traces: Mapping[str, Any],
    measured: measures.Measured | None,
    explained: measures.Measured | None,
) -> list[dict[str, Any]]:
    """A row a step: loss, gradient norm before clipping, error against float64 and its noise, and
    the error against the CPU under the cause.
    """
    gold, reference = traces["gold"], traces["reference"]
    found = []
    for i, rate in enumerate(gold["rates"]):
        row = {
            "step": i + 1,
            "learning_rate": rate,
            "loss": {role: t["losses"][i] for role, t in traces.items()},
            "norm": {role: t["norms"][i] for role, t in traces.items()},
        }
        for key in measures.CURVES if measured else ():
            error, noise = measured.curves[key]
            row[f"{key}_error"] = {
                "reference": float(measures.errors(reference, gold, key)[i]),
                "candidate": float(error[i]),
                "noise": float(noise[i]),
            }
            if explained:
                error, noise = explained.curves[key]
                row[f"{key}_error"] |= {
                    "from_cause": float(error[i]),
                    "noise_of_cause": float(noise[i]),
                }
        found.append(row)
    return found


def _tensors(
    measured: measures.Measured | None,
    explained: measures.Measured | None,
    gold: Mapping[str, Any],
    part: str,
) -> list[dict[str, Any]]:
    """A row a parameter, in the order of the model: the error over its noise, and over that of the
    cause.
    """
    kind = "gradients" if part == "first" else "weights"
    rows = []
    for name, (root, largest) in getattr(measured, kind).items() if measured else ():
        row = {
            "parameter": name,
            "ratio_rms": root,
            "ratio_max": largest,
            "rms": gold["to"]["zero"][part][name][0],
        }
        if part == "final":
            row["moved_rms"] = gold["moved"][name]
        if explained:
            row["ratio_of_cause"] = getattr(explained, kind)[name][0]
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
