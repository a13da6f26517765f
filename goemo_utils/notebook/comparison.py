"""The jobs of 02_smoke, 03_parity and 04_throughput: which jobs they are, and where their packs and
logs go.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import parity
from goemo_utils.forward import worker
from goemo_utils.forward.pack import Pack, beside, read_pack, stem
from goemo_utils.forward.run import ROLES
from goemo_utils.notebook import requests
from goemo_utils.notebook.progress import Progress
from goemo_utils.parity.reference import fits
from goemo_utils.records.record import write_json

if TYPE_CHECKING:
    from goemo_utils.records.step import Step

# What the explanation gives to the judgement, part by part.
EVIDENCE = ("cause", "place", "invariance", "known_answer", "exercise", "yardstick", "names")
# The metrics that a remedy is judged by.
MOVED = ("R", "max_abs_diff", "mean_abs_diff", "cosine_similarity")


def asked(step: Step) -> dict[str, Any]:
    """What the run's model says about the smoke sentences on the run's device: the payload of
    02_smoke's record.
    """
    request = requests.smoke(step.params, step.results("01_load")["model"]["task"])
    return _run(step, "smoke", request, Progress.of(step))


def three_packs(step: Step, texts: list[str]) -> tuple[Pack, Pack, Pack]:
    """Run gold, reference and candidate and read their packs; a reference pack from another machine
    is checked and taken instead.

    Such a pack is read before anything runs, and compared with gold before the device is used: gold
    has this run's inputs.
    """
    given = read_pack(step.params.reference) if Path(step.params.reference).is_absolute() else None
    if given is None and _is_small(step):
        gold, reference, candidate = _side_by_side(step, texts, ROLES)
        return gold, reference, candidate

    progress = Progress.of(step)
    gold = _forward(step, texts, "gold", "gold", progress)
    if given is None:
        reference, candidate = _side_by_side(step, texts, ROLES[1:])
        return gold, reference, candidate
    fits(given, gold.manifest | {"dtype": step.params.dtype})
    return gold, given, _forward(step, texts, "candidate", "candidate", progress)


def _is_small(step: Step) -> bool:
    """Whether three of the run's model, one in float64, may be held at a time."""
    return requests.is_small(step.upstream.get("01_load", {}).get("results", {}))


def _side_by_side(step: Step, texts: list[str], roles: Sequence[str]) -> list[Pack]:
    """Several runs at once, whose starts leave processors idle. The first is shown."""
    asks = [_asked(step, texts, role, role) for role in roles]
    worker.address()  # a server of our own begins once
    with ThreadPoolExecutor(len(roles)) as pool:
        others = [pool.submit(_run, step, *ask, None) for ask in asks[1:]]
        _run(step, *asks[0], Progress.of(step))
        for other in others:
            other.result()
    return [_kept(step, step.path("packs", role)) for role in roles]


def answered(step: Step, texts: list[str], name: str, **changes: Any) -> Pack:
    """What one more candidate, with other settings of its job, answers to the texts."""
    return _forward(step, texts, "candidate", name, Progress.of(step), **changes)


def _forward(
    step: Step, texts: list[str], role: str, name: str, progress: Progress, **changes: Any
) -> Pack:
    """A forward run in a child process, its job beside its pack."""
    _run(step, *_asked(step, texts, role, name, **changes), progress)
    return _kept(step, step.path("packs", name))


def _asked(
    step: Step, texts: list[str], role: str, name: str, **changes: Any
) -> tuple[str, dict[str, Any]]:
    """A forward run's name and job, which lies beside its pack."""
    request = requests.forward(step.params, step.dir, texts, role, name, **changes)
    write_json(step.path("packs", f"{name}.job.json"), request)
    return name, request


def before_and_after(
    step: Step, gold: Pack, reference: Pack, result: dict[str, Any], texts: list[str]
) -> list[dict[str, Any]]:
    """The remedies of the causes that were named, and what one of them does: both sides of the
    metrics that a remedy moves.

    With the parameter ``remedy``, the device is run once more without it. Without, it is run once
    more with the first remedy that is a setting of the device. Both runs are judged the same way.
    """
    rows: list[dict[str, Any]] = [dict(row) for row in result["remedies"]]
    applied = step.params.remedy
    if applied != "none":
        without = _judged_again(step, gold, reference, "before", "none", texts)
        title = f"Applied: {applied}"
        effect = {"before": _moved(without), "after": _moved(result)}
        return [{"cause": "applied", "title": title, **effect}, *rows]

    for row in rows:
        setting = (row.get("parameter") or {}).get("remedy")
        if setting:
            cured = _judged_again(step, gold, reference, "after", setting, texts)
            row |= {"before": _moved(result), "after": _moved(cured)}
            break
    return rows


def _judged_again(
    step: Step, gold: Pack, reference: Pack, name: str, remedy: str, texts: list[str]
) -> dict[str, Any]:
    """The device's answers with another remedy, judged as the run is."""
    pack = answered(step, texts, name, remedy=remedy)
    return parity.judge(gold, reference, pack, step.params.threshold, texts)


def _moved(result: dict[str, Any]) -> dict[str, Any]:
    moved = {row["id"]: row["value"] for row in result["metrics"] if row["id"] in MOVED}
    return moved | {"flips": result["flips"].get("count")}


def explain(
    step: Step,
    texts: list[str],
    checks: tuple[str, ...] | None = None,
    name: str = "explain",
    **changes: Any,
) -> dict[str, Any]:
    """Look for the cause and the place of a difference on the device itself; ``evidence`` is what
    ``parity.judge`` takes. ``checks`` are those of ``parity.explain``; None means all. ``changes``
    are other settings of the job, under a ``name`` of its own.
    """
    model, packs = step.results("01_load")["model"], _yardsticks(step)
    request = requests.explanation(
        step.params, step.dir, texts, model, packs, checks, name, **changes
    )
    found = _run(step, name, request, Progress.of(step))
    cause, place = found["cause"], found["place"]
    packs = written(step, found)
    summary = {
        "arithmetic": cause["claim"],
        "confirmed on every state": cause["accepted"],
        "calls compared": place["covered"],
        "calls at fault": [f"{f['module']} {f['operator']}" for f in place["faults"]] or "none",
    }
    evidence = {name: found.get(name) for name in EVIDENCE} | packs
    parts = {name: found[name] for name in ("probe", "seconds")}

    return {"summary": summary, "evidence": evidence, **parts}


def _yardsticks(step: Step) -> dict[str, str]:
    """Where gold's and the reference's packs lie: in the run, or where another machine's reference
    was given.
    """
    given = Path(step.params.reference)
    paths = {role: step.path("packs", role) for role in ("gold", "reference")}
    if given.is_absolute():
        paths["reference"] = stem(given)
    return {role: str(p) for role, p in paths.items() if beside(p, ".json").is_file()}


def written(step: Step, found: dict[str, Any]) -> dict[str, Any]:
    """The packs that the explanation wrote beside those that are compared: the accepted
    arithmetic's own answers, and those of the path that users run.
    """
    paths = {name: Path(path) for name, path in (found.get("packs") or {}).items()}
    for path in paths.values():
        step.keep(beside(path, ".safetensors"), beside(path, ".json"))
    packs = {name: read_pack(path) for name, path in paths.items()}
    rung = packs.pop("rung", None)
    return {"rung": rung, "used": packs}


def timed(step: Step, texts: list[str]) -> dict[str, Any]:
    """Time the CPU and the device in turns, in one child process, and add what parity said: a wrong
    answer has no speed-up.
    """
    verdict = step.results("03_parity")["verdict"]
    request = requests.throughput(step.params, step.dir, texts)
    result = _run(step, "throughput", request, Progress.of(step))
    result["parity_verdict"] = verdict
    if verdict == "fail" and result["speedup"]["value"] is not None:
        reason = "parity failed: the speed of a wrong answer is not a speed-up"
        result["speedup"] |= {"value": None, "ci95": None, "reason": reason}
    return result


def timing(
    step: Step,
    texts: Sequence[str],
    name: str,
    arms: list[dict[str, Any]],
    baselines: Sequence[Any] | None = (),
    **changes: Any,
) -> dict[str, Any]:
    """Time ``arms`` in one child process; beside the baselines where ``baselines`` is None."""
    request = requests.timing(step.params, step.dir, texts, name, arms, baselines, **changes)
    return _run(step, name, request, Progress.of(step))


def _run(
    step: Step, name: str, request: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """A job in a child process, its log in the run's folder, its progress in the notebook."""
    log = requests.log_of(step.dir, name)
    if progress is None:
        return worker.run(request, log)
    try:
        answer: dict[str, Any] = worker.run(request, log, progress.job())
    finally:
        progress.close()
    return answer


def _kept(step: Step, out: Path) -> Pack:
    """The pack that a job left, counted among the step's artefacts."""
    step.keep(out.with_suffix(".safetensors"), out.with_suffix(".json"))
    return read_pack(out)
