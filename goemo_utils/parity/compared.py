"""A candidate beside reference and gold: what is compared, over how many elements, and how far
apart it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.errors import PackError
from goemo_utils.parity import metrics as m
from goemo_utils.parity.decisions import decide, divergence, probabilities, top_overlap
from goemo_utils.parity.inputs import states
from goemo_utils.records.finite import finite_or_none

if TYPE_CHECKING:
    from goemo_utils.forward.pack import Pack

BASIS = (
    "share of compared values whose relative difference |c - r| / |r| is at most 0.01; no value is"
    " left out, none is averaged"
)
GRADE = (
    "ratios of MARE, MERE, RMSE to gold: L2 <= 2/1.2/1.2, L1 <= 5/1.5/1.5, L0 <= 10/2/2 (limits of"
    " operators, from 30,000, 10,000, 5,000 cases)"
)


@dataclass(frozen=True)
class ToGold:
    """Distances of candidate and reference to gold in one state, and the floor of the latter's
    error: see ``metrics.ratio``.
    """

    candidate: m.Distance
    reference: m.Distance
    floor: float


@dataclass
class Compared:
    """Arrays of one comparison and their distances; ``tensors`` are (gold, reference, candidate) of
    every state.

    ``decides``: there are logits, so decisions are compared; otherwise the last hidden state is.
    """

    task: str
    dtype: str
    threshold: float | np.ndarray
    gold: np.ndarray
    reference: np.ndarray
    candidate: np.ndarray
    names: list[str]
    manifest: Mapping[str, Any]
    label_names: list[str]
    finite: dict[str, int]
    tensors: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    to_gold: dict[str, ToGold] = field(default_factory=dict)

    @classmethod
    def of(
        cls, gold: "Pack", reference: "Pack", candidate: "Pack", threshold: float | Sequence[float]
    ) -> "Compared":
        """Compare three packs of the same inputs, state by state; float64 copies are made of a few
        rows at a time.
        """
        packs = {"gold": gold, "reference": reference, "candidate": candidate}
        names = states(packs)
        if not names:
            held = [sorted(pack.tensors) for pack in packs.values()]
            raise PackError(
                "The three packs hold neither logits nor a hidden state in common, so there is"
                f" nothing to compare; they hold {held[0]}, {held[1]} and {held[2]}."
            )

        manifest = candidate.manifest
        main = "logits" if names[0] == "logits" else names[-1]
        width = gold.tensors[main].shape[1] if main == "logits" else 0
        limit = np.asarray(threshold, np.float64)

        if main == "logits" and limit.ndim and limit.shape != (width,):
            raise PackError(
                f"There are {limit.size} thresholds for {width} labels; one number, or one per"
                " label, was expected."
            )

        dtype = str(manifest.get("dtype") or "float32")
        sides = {n: tuple(pack.tensors[n] for pack in packs.values()) for n in names}
        tensors = {n: (g, r, c) for n, (g, r, c) in sides.items()}

        return cls(
            task=str(manifest.get("task") or ("multi_label" if main == "logits" else "encoder")),
            dtype=dtype,
            threshold=float(limit) if not limit.ndim else limit,
            gold=gold.tensors[main],
            reference=reference.tensors[main],
            candidate=candidate.tensors[main],
            names=names,
            manifest=manifest,
            label_names=list(manifest.get("labels") or []) or [str(i) for i in range(width)],
            finite={role: _not_finite(pack, names) for role, pack in packs.items()},
            tensors=tensors,
            to_gold={n: to_gold(*each, dtype) for n, each in tensors.items()},
        )

    @property
    def decides(self) -> bool:
        return self.names[0] == "logits" and self.task != "encoder"

    @property
    def main(self) -> str:
        """What is judged first: the logits, or the last hidden state."""
        return "logits" if self.decides else self.names[-1]

    @property
    def n_texts(self) -> int:
        return int(self.manifest.get("n_texts") or (len(self.gold) if self.decides else 0))

    @property
    def n_labels(self) -> int:
        return self.gold.shape[1] if self.decides else 0

    @property
    def n_decisions(self) -> int:
        if not self.decides:
            return 0
        return self.gold.size if self.task == "multi_label" else len(self.gold)

    @property
    def n_elements(self) -> int:
        return sum(each.candidate.n for each in self.to_gold.values())

    def ratio(self, state: str) -> float:
        """R of a state: RMSE(c, g) / max(RMSE(r, g), floor)."""
        each = self.to_gold[state]
        return m.ratio(each.candidate.rms, each.reference.rms, each.floor)

    def ratio_max(self, state: str) -> float:
        """The same of the largest element."""
        each = self.to_gold[state]
        return m.ratio(each.candidate.max, each.reference.max, each.floor)

    def layers(self) -> list[dict[str, Any]]:
        """R of every hidden state that the packs hold: layer 0 are the embeddings."""
        rows = []
        for n in self.names:
            if n != "logits":
                r = self.ratio(n)
                rows.append(
                    {
                        "layer": int(n.split(".")[1]),
                        "R": r if np.isfinite(r) else None,
                        "n": self.to_gold[n].candidate.n,
                    }
                )
        return rows

    def metrics(self, tie: float) -> list[dict[str, Any]]:
        """All metrics: of the main quantity against gold, then of what a user sees against the
        reference.
        """
        return self._against_gold() + (self._decisions(tie) if self.decides else self._hidden())

    def _against_gold(self) -> list[dict[str, Any]]:
        main = "logits" if self.decides else self.names[-1]
        x = "z" if self.decides else "h"
        each, unit = self.to_gold[main], "logits" if self.decides else "hidden state"
        c, r, floor = each.candidate, each.reference, each.floor
        grade, ratios = m.ascend_grade(self.candidate, self.reference, self.gold)
        tolerance = m.required_tolerance(c, r, self.dtype)

        known = {name: finite_or_none(ratio) for name, ratio in ratios.items()}
        return [
            m.metric(
                "R",
                m.ratio(c.rms, r.rms, floor),
                "ratio",
                c.n,
                f"RMSE({x}_c, {x}_g) / max(RMSE({x}_r, {x}_g), eps/4 rms({x}_g))",
            ),
            m.metric(
                "R_max",
                m.ratio(c.max, r.max, floor),
                "ratio",
                c.n,
                f"max|{x}_c - {x}_g| / max(max|{x}_r - {x}_g|, eps/4 rms({x}_g))",
            ),
            m.metric("rmse_to_gold", c.rms, unit, c.n, f"sqrt(mean(({x}_c - {x}_g)^2))"),
            m.metric("rmse_reference_to_gold", r.rms, unit, r.n, f"sqrt(mean(({x}_r - {x}_g)^2))"),
            m.metric("max_abs_to_gold", c.max, unit, c.n, f"max|{x}_c - {x}_g|"),
            m.metric("mean_abs_to_gold", c.mean, unit, c.n, f"mean|{x}_c - {x}_g|"),
            m.metric(
                "dynamo_same",
                m.dynamo_same(c, r, self.dtype),
                "yes or no",
                c.n,
                f"RMSE({x}_c, {x}_g) <= {m.same_multiplier(self.dtype, c.n):g} RMSE({x}_r, {x}_g) +"
                " 1e-5 (torch._dynamo.utils.same, tol 1e-4)",
            ),
            m.metric(
                "dynamo_required_tolerance",
                tolerance,
                unit,
                c.n,
                "the tol that torch._dynamo.utils.same would have needed: 10 (RMSE_c - multiplier"
                " RMSE_r)",
            ),
            m.metric("ascend_grade", grade, "grade", c.n, GRADE, ratios=known),
        ]

    def _pair(self, c: np.ndarray, r: np.ndarray, x: str, unit: str) -> list[dict[str, Any]]:
        """Metrics of candidate against reference on what a user sees: probabilities, or the hidden
        state.
        """
        d, small = m.distance(c, r), m.SMALL[self.dtype]
        mean, largest, n = m.relative(c, r, small)
        masked = f"over |{x}_r| >= {small:.3g}"
        more = {} if n else {"reason": f"no reference value is as large as {small:.3g}"}

        return [
            m.metric("max_abs_diff", d.max, unit, d.n, f"max|{x}_c - {x}_r|"),
            m.metric("mean_abs_diff", d.mean, unit, d.n, f"mean|{x}_c - {x}_r|"),
            m.metric("rmse", d.rms, unit, d.n, f"sqrt(mean(({x}_c - {x}_r)^2))"),
            m.metric(
                "mean_relative_error",
                mean,
                "ratio",
                n,
                f"mean(|{x}_c - {x}_r| / |{x}_r|) {masked}",
                **more,
            ),
            m.metric(
                "max_relative_error",
                largest,
                "ratio",
                n,
                f"max(|{x}_c - {x}_r| / |{x}_r|) {masked}",
                **more,
            ),
            m.metric(
                "cosine_similarity",
                m.mean_cosine(c, r),
                "cosine",
                len(c),
                f"mean over {'texts' if self.decides else 'tokens'} of cos({x}_c, {x}_r)",
            ),
            m.metric(
                "match_within_1_percent",
                m.within_one_percent(c, r),
                "share",
                d.n,
                f"mean[|{x}_c - {x}_r| <= 0.01 |{x}_r|]",
                match_basis=BASIS,
            ),
            m.metric(
                "required_atol",
                d.max,
                unit,
                d.n,
                f"the atol with which allclose({x}_c, {x}_r, rtol=0) would pass: max|{x}_c -"
                f" {x}_r|",
            ),
            m.metric(
                "required_rtol",
                largest,
                "ratio",
                n,
                f"the rtol with which allclose({x}_c, {x}_r, atol=0) would pass {masked}",
                **more,
            ),
        ]

    def _hidden(self) -> list[dict[str, Any]]:
        reason = f"the task is {self.task}: there are no decisions, hidden states are compared"
        return self._pair(self.candidate, self.reference, "h", "hidden state") + [
            m.absent(id, "share", "", reason)
            for id in (
                "top1_match",
                "top3_overlap",
                "top5_match",
                "label_set_agreement",
                "kl_divergence",
            )
        ]

    def _decisions(self, tie: float) -> list[dict[str, Any]]:
        g, r, c, n = self.gold, self.reference, self.candidate, len(self.gold)
        rows = self._pair(
            probabilities(c, self.task), probabilities(r, self.task), "p", "probability"
        )
        if not all(np.isfinite(a).all() for a in (g, r, c)):
            reason = "a value is NaN or infinite, so there is no decision to compare"
            return rows + [
                m.absent(id, "share", "", reason)
                for id in (
                    "top1_match",
                    "top3_overlap",
                    "top5_match",
                    "label_set_agreement",
                    "kl_divergence",
                )
            ]

        for k, id in ((1, "top1_match"), (3, "top3_overlap"), (5, "top5_match")):
            strict, aware = top_overlap(r, c, k), top_overlap(r, c, k, g, tie)
            what = (
                f"|top{k}_c & top{k}_r| / {min(k, self.n_labels)}"
                if k == 3
                else f"[top{k}_c = top{k}_r]"
            )
            if k != 3:
                strict, aware = strict == 1, aware == 1
            rows.append(
                m.metric(id, float(strict.mean()), "share", n, f"mean over texts of {what}")
            )
            formula = (
                f"the same; labels whose gold logit is within {tie:.3g} (the accepted rung's"
                " envelope) of the last one taken count as tied"
            )
            rows.append(m.metric(f"{id}_tie_aware", float(aware.mean()), "share", n, formula))

        same = (decide(c, self.task, self.threshold) == decide(r, self.task, self.threshold)).all(
            axis=1
        )
        basis = "p > threshold" if self.task == "multi_label" else "argmax"
        rows.append(
            m.metric(
                "label_set_agreement",
                float(same.mean()),
                "share",
                n,
                f"share of texts with the same label set ({basis})",
            )
        )
        kl = divergence(r, c, self.task)
        kind = (
            "Bernoulli, per text and label"
            if self.task == "multi_label"
            else "categorical, per text"
        )
        rows.append(
            m.metric(
                "kl_divergence", float(kl.mean()), "nat", kl.size, f"mean KL(p_r || p_c), {kind}"
            )
        )

        return rows


def to_gold(gold: np.ndarray, reference: np.ndarray, candidate: np.ndarray, dtype: str) -> ToGold:
    """Distances of one state; the floor is a quarter of the dtype's eps of gold's size."""
    floor = m.EPS[dtype] / 4 * m.rms(gold)
    return ToGold(m.distance(candidate, gold), m.distance(reference, gold), floor)


def _not_finite(pack: "Pack", names: Sequence[str]) -> int:
    return sum(int((~np.isfinite(pack.tensors[name])).sum()) for name in names)
