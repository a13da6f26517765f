"""The judgement of many parts, from what they add up to: metrics, gates and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity import accounted, checks
from goemo_utils.parity import metrics as m
from goemo_utils.parity.accounted import Accounted
from goemo_utils.parity.compared import ToGold
from goemo_utils.parity.gates import CANNOT_TELL, FAIL, PASS, Gate, Limits, verdict
from goemo_utils.parity.tally import Rules, Tally

SCHEMA = "goemo.judgement/1"
R_MAX = "max|z_c - z_g| / max|z_r - z_g|"


@dataclass(frozen=True)
class Whole:
    """All parts together, as the gates ask about a comparison."""

    total: Tally
    task: str
    dtype: str

    @property
    def names(self) -> list[str]:
        return ["logits"]

    @property
    def decides(self) -> bool:
        return True

    @property
    def n_texts(self) -> int:
        return self.total.counts["texts"]

    @property
    def n_decisions(self) -> int:
        return self.total.counts["decisions"]

    @property
    def finite(self) -> dict[str, int]:
        return {"all": self.total.counts["not_finite"]}

    @property
    def to_gold(self) -> dict[str, ToGold]:
        floor = m.EPS[self.dtype] / 4 * self.total.distance("gold").rms
        distances = self.total.distance("candidate"), self.total.distance("reference")
        return {"logits": ToGold(*distances, floor)}

    def ratio(self) -> float:
        """R of the logits."""
        each = self.to_gold["logits"]
        return m.ratio(each.candidate.rms, each.reference.rms, each.floor)

    def ratio_max(self, state: str = "logits") -> float:
        """The same of the largest element."""
        each = self.to_gold[state]
        return m.ratio(each.candidate.max, each.reference.max, each.floor)


def judged(
    total: Tally,
    about: Mapping[str, Any],
    rules: Rules,
    bound: float,
    found: Sequence[Accounted] = (),
) -> dict[str, Any]:
    """Metrics, gates and verdict; ``about`` is the manifest of a candidate pack, ``bound`` twice
    the reference's largest error, beyond which no decision may change. ``found``: what accounts for
    the error of each part, where that was looked for.
    """
    whole = Whole(total, rules.task, str(about["dtype"]))
    gates = _gates(whole, bound, found)
    threshold = rules.threshold
    return {
        "schema": SCHEMA,
        "simulated": bool(about["simulated"]),
        "verdict": verdict(gates),
        "n_texts": whole.n_texts,
        "n_decisions": whole.n_decisions,
        "threshold": threshold.tolist() if isinstance(threshold, np.ndarray) else threshold,
        "device": dict(about["device"]),
        "model": {key: about["model"].get(key) for key in ("id", "weights_sha256")},
        "metrics": metrics(whole, rules, bound),
        "gates": [gate.record() for gate in gates],
    }


def metrics(whole: Whole, rules: Rules, bound: float) -> list[dict[str, Any]]:
    """The metrics of ``Compared.metrics`` that add up, by the same names."""
    total, each = whole.total, whole.to_gold["logits"]
    c, r, p = each.candidate, each.reference, total.distance("probability")
    relative, n = total.sums["relative"], whole.n_texts
    counts, sums = total.counts, total.sums
    small = f"over |p_r| >= {rules.small:.3g}"
    tied = f"labels whose gold logit is within {bound:.3g} of the last one taken count as tied"

    rows = [
        ("R", whole.ratio(), "ratio", c.n, "RMSE(z_c, z_g) / max(RMSE(z_r, z_g), eps/4 rms(z_g))"),
        ("R_max", whole.ratio_max(), "ratio", c.n, R_MAX),
        ("rmse_to_gold", c.rms, "logits", c.n, "sqrt(mean((z_c - z_g)^2))"),
        ("rmse_reference_to_gold", r.rms, "logits", r.n, "sqrt(mean((z_r - z_g)^2))"),
        ("max_abs_to_gold", c.max, "logits", c.n, "max|z_c - z_g|"),
        ("mean_abs_to_gold", c.mean, "logits", c.n, "mean|z_c - z_g|"),
        ("max_abs_diff", p.max, "probability", p.n, "max|p_c - p_r|"),
        ("mean_abs_diff", p.mean, "probability", p.n, "mean|p_c - p_r|"),
        ("rmse", p.rms, "probability", p.n, "sqrt(mean((p_c - p_r)^2))"),
        ("mean_relative_error", relative.mean, "ratio", relative.n, f"mean {small}"),
        ("max_relative_error", total.most["relative"], "ratio", relative.n, f"max {small}"),
        ("cosine_similarity", sums["cosine"].mean, "cosine", n, "mean over texts of cos(p_c, p_r)"),
        (
            "match_within_1_percent",
            counts["within_one_percent"] / p.n,
            "share",
            p.n,
            "mean[|p_c - p_r| <= 0.01 |p_r|]",
        ),
        ("top1_match", counts["top1"] / n, "share", n, "mean over texts of [top1_c = top1_r]"),
        ("top1_match_tie_aware", counts["top1_tie_aware"] / n, "share", n, tied),
        ("top3_overlap", sums["top3"].mean, "share", n, "mean over texts of |top3_c & top3_r| / 3"),
        ("top3_overlap_tie_aware", sums["top3_tie_aware"].mean, "share", n, tied),
        ("top5_match", counts["top5"] / n, "share", n, "mean over texts of [top5_c = top5_r]"),
        ("top5_match_tie_aware", counts["top5_tie_aware"] / n, "share", n, tied),
        (
            "label_set_agreement",
            (n - counts["texts_changed"]) / n,
            "share",
            n,
            "share of texts with the same label set",
        ),
        ("kl_divergence", sums["kl"].mean, "nat", sums["kl"].n, "mean KL(p_r || p_c)"),
    ]
    return [m.metric(*row) for row in rows]


def needs_a_cause(told: Mapping[str, Any]) -> bool:
    """Whether the error of a judgement is finite and more than rounding."""
    results = {gate["id"]: gate["result"] for gate in told["gates"]}
    more = FAIL in (results["rounding"], results["largest_error"], results["flips"])
    return more and results["finite"] == PASS


def _gates(whole: Whole, bound: float, found: Sequence[Accounted]) -> list[Gate]:
    """The gates that logits alone can decide."""
    limits, counts = Limits(), whole.total.counts
    bad = counts["not_finite"]
    told = "Every logit is finite." if not bad else f"{bad:,} logits are NaN or infinite."
    n = 3 * whole.to_gold["logits"].candidate.n
    finite = Gate("finite", FAIL if bad else PASS, bad, 0, n, "logits that are not finite", told)

    changed = {
        "flips": counts["flips"],
        "texts": counts["texts_changed"],
        "explained": counts["explained"],
        "unexplained": counts["unexplained"],
        "outside": counts["outside"],
    }
    if found and not accounted.failed(found):
        # further out than the arithmetic of each part goes, instead of than the reference's does
        changed["unexplained"] = sum(one.unexplained for one in found)
        changed["outside"] = sum(one.outside for one in found)
        bound = max(one.bound for one in found)

    rounding = accounted.explained(_rounding(whole, limits), found)
    return [
        finite,
        rounding,
        accounted.explained(_largest(whole, limits), found),
        *([accounted.cause(found)] if found else []),
        checks.flips(_any(whole), limits, changed, bound),
        checks.flip_bound(_any(whole), limits, changed, rounding),
    ]


def _rounding(whole: Whole, limits: Limits) -> Gate:
    value, limit = whole.ratio(), checks.ratio_limit(_any(whole), limits)
    result = PASS if m.within(value, limit) else FAIL
    told = "rounding" if result == PASS else "not rounding"
    meaning = f"Error is {value:.3g} x the reference's own: {told}."
    n = whole.to_gold["logits"].candidate.n
    return Gate("rounding", result, value, limit, n, "R of the logits", meaning)


def _largest(whole: Whole, limits: Limits) -> Gate:
    value, limit = whole.ratio_max(), limits.largest
    n = whole.to_gold["logits"].candidate.n
    if any(whole.finite.values()):
        return Gate("largest_error", CANNOT_TELL, None, limit, n, R_MAX, checks.NOT_FINITE)
    result = PASS if m.within(value, limit) else FAIL
    meaning = f"The largest error is {value:.3g} x the reference's largest."
    return Gate("largest_error", result, value, limit, n, R_MAX, meaning)


def _any(whole: Whole) -> Any:
    """The gates ask it what they ask of a ``Compared``."""
    return whole


def lines(told: Mapping[str, Any]) -> list[str]:
    """What a terminal shows of a judgement."""
    mark = "SIMULATED: " if told["simulated"] else ""
    head = f"{mark}{told['verdict']}, {told['n_texts']:,} texts in {told['parts']} parts"
    rows = [f"  {row['id']:26s} {_number(row['value']):>14s}" for row in told["metrics"]]
    gates = [
        f"  {gate['id']:26s} {gate['result']:>14s}  {gate['meaning']}" for gate in told["gates"]
    ]
    return [head, *rows, *gates]


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.6g}"
