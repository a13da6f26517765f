"""Three packs in, one verdict out: metrics, flips and gates of a candidate against reference and
gold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goemo_utils.forward.thresholds import effective
from goemo_utils.parity import checks, every_state, grades, reached, runs, tables
from goemo_utils.parity.compared import Compared
from goemo_utils.parity.flips import flips
from goemo_utils.parity.gates import EXPLAINED, ORDER, PASS, Gate, Limits, not_run, verdict
from goemo_utils.parity.inputs import incomparable, lookup
from goemo_utils.parity.remedies import remedies

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack

Part = Mapping[str, Any] | None


def judge_packs(
    gold: "Pack",
    reference: "Pack",
    candidate: "Pack",
    threshold: float | Sequence[float] | None = None,
    texts: Sequence[str] = (),
    limits: Mapping[str, Any] | Limits | None = None,
    cause: Mapping[str, Any] | None = None,
    place: Mapping[str, Any] | None = None,
    invariance: Mapping[str, Any] | None = None,
    labels: Sequence[Sequence[int]] | None = None,
    known_answer: Mapping[str, Any] | None = None,
    exercise: Mapping[str, Any] | None = None,
    yardstick: Mapping[str, Any] | None = None,
    names: Sequence[Mapping[str, Any]] | None = None,
    rung: "Pack | None" = None,
    used: "Mapping[str, Pack] | None" = None,
) -> dict[str, Any]:
    """Judge a candidate pack: the payload of the parity step.

    gold is float64, reference the CPU (or another machine) in the candidate's dtype, candidate the
    device. ``threshold`` is a probability, or one per label; None takes the thresholds of the
    candidate's model, else 0.3. ``cause``, ``place``, ``invariance``, ``exercise``, ``yardstick``
    (about gold and reference) and ``names`` (of what is wrong) are the parts of what ``run_job``
    returned, None where it was not run; ``rung`` is the pack of the accepted arithmetic's own
    answers, without which only plain rounding can be accepted, and ``used`` the packs of the path
    that users run. ``labels`` are true label ids per text, for task quality.

    Packs of other inputs are not compared: the gate same_inputs fails and names the difference. A
    PackError is raised only where packs hold no tensor in common, or a threshold does not fit the
    labels.
    """
    limits, threshold = (
        Limits.of(limits),
        effective(threshold, {"thresholds": lookup(candidate.manifest, "model.thresholds")}),
    )
    packs = {"gold": gold, "reference": reference, "candidate": candidate}
    reasons = incomparable(packs)
    payload: dict[str, Any] = {
        "n_texts": int(candidate.manifest.get("n_texts") or 0),
        "n_tokens": candidate.manifest.get("n_tokens"),
        "limits": vars(limits).copy(),
        "packs": {role: dict(p.manifest) for role, p in packs.items()},
    }
    if reasons:
        gates = runs.refused(reasons)
        return (
            payload
            | tables.empty(gates, "the packs were made from different inputs")
            | {
                "threshold": threshold,
                "verdict": verdict(gates),
            }
        )

    c = Compared.of(gold, reference, candidate, threshold)
    if not c.n_texts or not c.n_elements:
        gates = [
            runs.finite(c) if id == "finite" else not_run(id, "Nothing was compared.")
            for id in ORDER
        ]
        return (
            payload
            | tables.empty(gates, "there are no texts in the packs")
            | {
                "threshold": threshold,
                "verdict": verdict(gates),
            }
        )
    answers = rung.tensors if rung is not None else None
    excused = checks.excuse(c, cause, answers, limits)
    bound, of = _envelope(c, cause, limits, excused)
    changed = (
        flips(c.gold, c.reference, c.candidate, c.task, c.threshold, bound) if c.decides else None
    )
    evidence = Evidence(cause, place, invariance, exercise, yardstick, answers, used)
    gates = [
        runs.known_answer(known_answer),
        *_gates(c, limits, evidence, excused, changed, bound, labels),
    ]
    return payload | {
        "n_texts": c.n_texts,
        "n_labels": c.n_labels,
        "n_decisions": c.n_decisions,
        "threshold": threshold,
        "quantity": "logits" if c.decides else "hidden states",
        "metrics": c.metrics(bound),
        "gates": [g.record() for g in gates],
        "verdict": verdict(gates),
        "causes": _causes(gates, cause),
        "faults": list(place.get("faults", [])) if place else [],
        "suspects": _suspects(gates, place),
        "names": [dict(name) for name in names or []],
        "grades": grades.of(c),
        "tail": grades.tail(c),
        "reach": dict(exercise["reach"]) if exercise else None,
        "flips": tables.flip_table(c, changed, bound, of, cause),
        "worst": tables.worst(c, changed, texts),
        "near": tables.near(c, changed),
        "layers": c.layers(),
        "states": every_state.rows(c),
        "ladder": list(cause.get("ladder", [])) if cause else [],
        "heat": (
            dict(place.get("heat", {"columns": [], "rows": []}))
            if place
            else {"columns": [], "rows": []}
        ),
        "remedies": remedies(
            _seen(gates, cause),
            place,
            candidate.manifest,
            any(
                g.result == "fail" for g in gates if g.id in ("flips", "flip_bound", "task_quality")
            ),
            any(g.result == "fail" for g in gates if g.id == "invariance"),
        ),
        "not_checked": tables.not_checked(gates, cause, place, candidate.manifest, exercise),
        "explanation": {
            "cause": _rest(cause, "ladder"),
            "place": _rest(place, "heat"),
            "invariance": _rest(invariance),
            "exercise": _rest(exercise),
            "yardstick": _rest(yardstick),
            "known_answer": _rest(known_answer),
        },
    }


def _rest(part: Mapping[str, Any] | None, *drop: str) -> dict[str, Any] | None:
    return {k: v for k, v in part.items() if k not in drop} if part else None


@dataclass(frozen=True)
class Evidence:
    """What the explanation found, part by part; None where it was not run."""

    cause: Part
    place: Part
    invariance: Part
    exercise: Part
    yardstick: Part
    rung: checks.Arrays | None
    used: "Mapping[str, Pack] | None"


def _suspects(gates: Sequence[Gate], place: Part) -> list[dict[str, Any]]:
    """The nearest calls, where something of the model is wrong and no call is."""
    results = {gate.id: gate.result for gate in gates}
    model = ("rounding", "largest_error", "cause", "flips", "reach", "as_used", "invariance")
    wrong = any(results[id] == "fail" for id in model)
    return list((place or {}).get("suspects") or []) if wrong and results["place"] != "fail" else []


def _causes(gates: Sequence[Gate], cause: Mapping[str, Any] | None) -> list[str]:
    """Names of the accepted cause; empty if the error is only rounding; ``unexplained`` if it is
    more and nothing accounts for it.
    """
    by_id = {g.id: g for g in gates}
    if by_id["rounding"].result == "fail" or by_id["cause"].result == "fail":
        return ["unexplained"]
    explained = "explained" in (by_id["rounding"].result, by_id["largest_error"].result)
    return list(cause.get("causes", [])) if cause and explained else []


def _seen(gates: Sequence[Gate], cause: Mapping[str, Any] | None) -> list[str]:
    """Arithmetic that the calls showed and every state confirmed: it has a remedy even where its
    error is within rounding, as GELU's form in half precision.
    """
    return (
        list(cause.get("causes", []))
        if cause and {g.id: g.result for g in gates}["cause"] == "pass"
        else []
    )


def _envelope(
    c: Compared, cause: Part, limits: Limits, excused: checks.Excuse
) -> tuple[float, str]:
    """(B, rung): 2 max |z_rung - z_gold| of the accepted rung; of the reference where no rung was
    run. Never the candidate's.

    The residual that was accepted widens it: an error of 2.9 times the reference's, accepted as
    rounding in another order, has its largest element there too.
    """
    if not c.decides:
        return float("nan"), "none"

    own = 2.0 * c.to_gold["logits"].reference.max
    given = (cause or {}).get("envelope")
    if not given or not excused.holds:
        return own, "reference"

    wider = max(0.0, excused.left * limits.residual - 1.0)
    if "vector_noise" in (cause or {}).get("causes", ()):
        wider = max(1.0, wider)  # noise is drawn anew: one draw says little of another's largest
    noise = ((cause or {}).get("noise_max") or {}).get("logits") or 0.0

    return max(own, float(given["bound"])) + 2.0 * wider * noise, str(given["rung"])


def _gates(
    c: Compared,
    limits: Limits,
    seen: Evidence,
    excused: checks.Excuse,
    changed: Mapping[str, Any] | None,
    bound: float,
    labels: Sequence[Sequence[int]] | None,
) -> list[Gate]:
    rounding = checks.rounding(c, limits, seen.cause, excused)
    repeatable = runs.repeatable(c, limits, seen.invariance, seen.exercise)
    allowed = checks.ratio_limit(c, limits)
    if rounding.result in (PASS, EXPLAINED):
        allowed = max(allowed, c.ratio(c.main))

    used = {way: pack.tensors[c.main] for way, pack in (seen.used or {}).items()}

    return [
        runs.finite(c),
        runs.same_inputs(c),
        reached.reference(c, limits, seen.yardstick),
        runs.on_device(c.manifest, limits),
        repeatable,
        rounding,
        checks.largest_error(c, limits, seen.cause, seen.rung, excused),
        checks.cause(rounding, limits, seen.cause, seen.place, excused),
        checks.place(limits, seen.place),
        checks.flips(c, limits, changed, bound),
        checks.flip_bound(c, limits, changed, rounding),
        runs.invariance(c, limits, seen.invariance, repeatable),
        reached.reach(c, limits, seen.exercise),
        reached.as_used(c, limits, used, bound, allowed),
        checks.task_quality(c, limits, labels),
    ]
