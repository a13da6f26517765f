"""The jobs of 02_smoke, 03_parity and 04_throughput: which jobs they are, and where their packs and
logs go.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import parity
from goemo_utils.forward import worker
from goemo_utils.forward.pack import Pack, read_pack
from goemo_utils.forward.run import job
from goemo_utils.parity import known
from goemo_utils.parity.reference import fits
from goemo_utils.records.record import write_json

if TYPE_CHECKING:
    from goemo_utils.records.step import Step

# Each configuration is timed for at least so many seconds and rounds (thirty samples give a usable
# interval); a rehearsal shows the protocol in ten rounds, because it has no speed to measure.
SECONDS, ROUNDS, REHEARSAL_ROUNDS = 10.0, 30, 10
# The metrics that a remedy is judged by.
MOVED = ("R", "max_abs_diff", "mean_abs_diff", "cosine_similarity")


def tell(line: str) -> None:
    """Show progress on one line, in a notebook as on a terminal."""
    print(f"\r{line}", end="", file=sys.stderr, flush=True)


def asked(step: Step) -> dict[str, Any]:
    """What the run's model says about the smoke sentences on the run's device: the payload of
    02_smoke's record.
    """
    request = {
        "kind": "smoke",
        "params": step.params.resolved(),
        "task": step.results("01_load")["model"]["task"],
        "device": step.params.device,
    }
    return worker.run(request, step.path("logs", "worker-smoke.log"), tell)


def three_packs(step: Step, texts: list[str]) -> tuple[Pack, Pack, Pack]:
    """Run gold, reference and candidate and read their packs; a reference pack from another machine
    is checked and taken instead.

    Such a pack is read before anything runs, and compared with gold before the device is used: gold
    has this run's inputs.
    """
    made: dict[str, Pack] = {}
    given = read_pack(step.params.reference) if Path(step.params.reference).is_absolute() else None
    for role in ("gold", "reference", "candidate"):
        if role == "reference" and given:
            fits(given, made["gold"].manifest | {"dtype": step.params.dtype})
            made[role] = given
            continue
        out = step.path("packs", role)
        request = job(step.params, texts, role, out)
        write_json(out.with_suffix(".job.json"), request)
        worker.run(request, step.path("logs", f"worker-{role}.log"), tell)
        step.keep(out.with_suffix(".safetensors"), out.with_suffix(".json"))
        made[role] = read_pack(out)
    return made["gold"], made["reference"], made["candidate"]


def before_and_after(
    step: Step, gold: Pack, reference: Pack, result: dict[str, Any], texts: list[str]
) -> list[dict[str, Any]]:
    """With a remedy applied: the same run without it, judged the same way, and both sides of the
    metrics that a remedy moves.

    Without one: the remedies of the causes that were named, as ``result`` holds them.
    """
    if step.params.remedy == "none":
        return result["remedies"]
    out = step.path("packs", "before")
    worker.run(
        job(step.params, texts, "candidate", out, remedy="none"),
        step.path("logs", "worker-before.log"),
        tell,
    )
    step.keep(out.with_suffix(".safetensors"), out.with_suffix(".json"))
    without = parity.judge(gold, reference, read_pack(out), step.params.threshold, texts)
    sides = [
        {m["id"]: m["value"] for m in side["metrics"] if m["id"] in MOVED}
        | {"flips": side["flips"].get("count")}
        for side in (without, result)
    ]
    return [
        {
            "cause": "applied",
            "title": f"Applied: {step.params.remedy}",
            "before": sides[0],
            "after": sides[1],
        },
        *result["remedies"],
    ]


def explain(step: Step, texts: list[str]) -> dict[str, Any]:
    """Look for the cause and the place of a difference on the device itself; ``evidence`` is what
    ``parity.judge`` takes.
    """
    request = {
        **job(step.params, texts, "candidate", step.path("packs", "explain")),
        "kind": "parity",
        "checks": ["probe", "cause", "place", "invariance"],
        "threshold": step.params.threshold,
        "known_answer": known.asked(step.results("01_load")["model"]),
    }
    found = worker.run(request, step.path("logs", "worker-explain.log"), tell)
    cause, place = found["cause"], found["place"]
    summary = {
        "arithmetic": cause["claim"],
        "confirmed on every state": cause["accepted"],
        "calls compared": place["covered"],
        "calls at fault": [f"{f['module']} {f['operator']}" for f in place["faults"]] or "none",
    }
    return {
        "summary": summary,
        "evidence": {
            name: found.get(name) for name in ("cause", "place", "invariance", "known_answer")
        },
        "probe": found["probe"],
    }


def timed(step: Step, texts: list[str]) -> dict[str, Any]:
    """Time the CPU and the device in turns, in one child process, and add what parity said: a wrong
    answer has no speed-up.
    """
    params, verdict = step.params, step.results("03_parity")["verdict"]
    common = job(params, texts, "candidate", step.path("packs", "throughput"))
    arms = [{"id": "cpu", "device": "cpu"}]
    if params.device != "cpu":
        arms.append(
            {
                "id": "candidate",
                "device": params.device,
                "numerics": params.rehearsal_numerics,
                "fault": params.rehearsal_fault,
                "remedy": params.remedy,
            }
        )
    request = {
        **common,
        "kind": "throughput",
        "arms": arms,
        "threshold": params.threshold,
        "seconds": SECONDS,
        "min_rounds": REHEARSAL_ROUNDS if params.device == "rehearsal" else ROUNDS,
    }
    result = worker.run(request, step.path("logs", "worker-throughput.log"), tell)
    result["parity_verdict"] = verdict
    if verdict == "fail" and result["speedup"]["value"] is not None:
        result["speedup"] = {
            **result["speedup"],
            "value": None,
            "ci95": None,
            "reason": "parity failed: the speed of a wrong answer is not a speed-up",
        }
    return result
