"""What one part of a corpus says about a candidate, in numbers that add up exactly.

The first pass counts what needs no knowledge of the other parts; the second needs the size of the
reference's largest error over all of them. Symbols as in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from goemo_utils.parity import metrics as m
from goemo_utils.parity.decisions import decide, divergence, probabilities, top_overlap
from goemo_utils.parity.exact import Sum
from goemo_utils.parity.flips import margins


@dataclass(frozen=True)
class Answers:
    """The logits ``[n_texts, n_labels]`` of one part: gold's, the reference's, the candidate's."""

    gold: np.ndarray
    reference: np.ndarray
    candidate: np.ndarray


@dataclass(frozen=True)
class Rules:
    """How answers become decisions, and from what size on a relative error says something."""

    task: str
    threshold: float | np.ndarray
    small: float


@dataclass(frozen=True)
class Tally:
    """Exact sums, largest values and counts, by name; two of them add up to that of both parts."""

    sums: Mapping[str, Sum] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        names = {*self.sums, *other.sums}
        sums = {name: self.sums.get(name, Sum()) + other.sums.get(name, Sum()) for name in names}
        most = {
            name: float(np.maximum(self.most.get(name, 0.0), other.most.get(name, 0.0)))
            for name in {*self.most, *other.most}
        }
        counts = {
            name: self.counts.get(name, 0) + other.counts.get(name, 0)
            for name in {*self.counts, *other.counts}
        }
        return Tally(sums, most, counts)

    def distance(self, name: str) -> m.Distance:
        """The distance whose parts were counted under a name."""
        squares, total = self.sums[f"{name}.squares"], self.sums[f"{name}.total"]
        return m.Distance(float(np.sqrt(squares.mean)), total.mean, self.most[name], total.n)

    def written(self) -> dict[str, Any]:
        """The tally as JSON holds it: whole numbers of any size as text."""
        sums = {
            name: {f.name: getattr(one, f.name) for f in fields(one)} | {"whole": str(one.whole)}
            for name, one in self.sums.items()
        }
        most = {name: repr(value) for name, value in self.most.items()}
        return {"sums": sums, "most": most, "counts": dict(self.counts)}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Tally:
        """The tally that ``written`` wrote."""
        sums = {
            name: Sum(int(one["whole"]), int(one["n"]), bool(one["finite"]))
            for name, one in told["sums"].items()
        }
        most = {name: float(value) for name, value in told["most"].items()}
        return cls(sums, most, dict(told["counts"]))


def first(answers: Answers, rules: Rules) -> Tally:
    """Everything about one part that the other parts do not change."""
    g, r, c = answers.gold, answers.reference, answers.candidate
    p_c, p_r = probabilities(c, rules.task), probabilities(r, rules.task)
    apart = {
        "candidate": (c, g),
        "reference": (r, g),
        "gold": (g, np.zeros_like(g)),
        "probability": (p_c, p_r),
    }
    tally = Tally()
    for name, (a, b) in apart.items():
        tally += _distance(name, a, b)
    tally += _relative(p_c, p_r, rules.small)

    decided = {name: decide(z, rules.task, rules.threshold) for name, z in (("r", r), ("c", c))}
    changed = decided["r"] != decided["c"]
    overlaps = {k: top_overlap(r, c, k) for k in (1, 3, 5)}
    sums = {
        "cosine": Sum.of(_cosines(p_c, p_r)),
        "kl": Sum.of(divergence(r, c, rules.task)),
        "top3": Sum.of(overlaps[3]),
    }
    counts = {
        "texts": len(g),
        "decisions": g.size if rules.task == "multi_label" else len(g),
        "top1": int((overlaps[1] == 1).sum()),
        "top5": int((overlaps[5] == 1).sum()),
        "flips": int(changed.sum()),
        "texts_changed": int(changed.any(axis=1).sum()),
        "within_one_percent": int((np.abs(p_c - p_r) <= 0.01 * np.abs(p_r)).sum()),
        "not_finite": sum(int((~np.isfinite(z)).sum()) for z in (g, r, c)),
    }
    return tally + Tally(sums, {}, counts)


def second(answers: Answers, rules: Rules, bound: float) -> Tally:
    """What needs the envelope: changed decisions that it explains, and logits outside of it."""
    g, r, c = answers.gold, answers.reference, answers.candidate
    changed = decide(r, rules.task, rules.threshold) != decide(c, rules.task, rules.threshold)
    explained = changed & (margins(g, rules.task, rules.threshold) <= bound)
    with np.errstate(invalid="ignore"):
        outside = ~(np.abs(c.astype(np.float64) - g) <= bound)
    aware = {k: top_overlap(r, c, k, g, bound) for k in (1, 3, 5)}
    counts = {
        "explained": int(explained.sum()),
        "unexplained": int((changed & ~explained).sum()),
        "outside": int(outside.sum()),
        "top1_tie_aware": int((aware[1] == 1).sum()),
        "top5_tie_aware": int((aware[5] == 1).sum()),
    }
    return Tally({"top3_tie_aware": Sum.of(aware[3])}, {}, counts)


def _distance(name: str, a: np.ndarray, b: np.ndarray) -> Tally:
    with np.errstate(invalid="ignore", over="ignore"):
        d = np.abs(a.astype(np.float64) - b.astype(np.float64))
        squares = Sum.of(d * d)
    most = {name: float(np.max(d, initial=0.0))}
    return Tally({f"{name}.squares": squares, f"{name}.total": Sum.of(d)}, most)


def _relative(candidate: np.ndarray, reference: np.ndarray, small: float) -> Tally:
    keep = np.abs(reference) >= small
    with np.errstate(invalid="ignore"):
        errors = np.abs(candidate[keep] - reference[keep]) / np.abs(reference[keep])
    return Tally({"relative": Sum.of(errors)}, {"relative": float(np.max(errors, initial=0.0))})


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row; two rows of zeros count as equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        both_zero = ~a.any(axis=1) & ~b.any(axis=1)
        cosines = np.sum(a * b, axis=1) / np.where(norms == 0, 1.0, norms)
    return np.asarray(np.where(both_zero, 1.0, cosines))
