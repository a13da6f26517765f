"""Tables and figures of the payload: flips, worst texts, decisions near the threshold, and what was
not checked.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goemo_utils.parity.compared import Compared
from goemo_utils.parity.decisions import probabilities
from goemo_utils.parity.flips import ties
from goemo_utils.parity.gates import CANNOT_TELL, NOT_RUN, Gate
from goemo_utils.records.finite import finite_or_none

WORST, NEAR = 10, 250
Part = Mapping[str, Any] | None

HOW = {
    "on_device": "Run on the device itself: device: npu:0",
    "repeatable": "Make the packs again with this version of goemo",
    "cause": "Run 03_parity with the explanation on",
    "place": "Run 03_parity with the explanation on",
    "flips": "Choose a model with a trained classification head",
    "flip_bound": "Run with more texts: texts: path/to/file, limit: 3000",
    "invariance": "Run 03_parity with the explanation on",
    "reach": "Run 03_parity with the explanation on",
    "as_used": "Run 03_parity with the explanation on",
    "task_quality": "Give texts with labels, such as the GoEmotions dev split",
}


def empty(gates: Sequence[Gate], reason: str) -> dict[str, Any]:
    """The payload's fields when nothing could be compared."""
    return {
        "n_labels": 0,
        "n_decisions": 0,
        "quantity": None,
        "metrics": [],
        "gates": [g.record() for g in gates],
        "causes": [],
        "faults": [],
        "flips": {"reason": reason},
        "worst": [],
        "near": [],
        "layers": [],
        "states": [],
        "ladder": [],
        "heat": {"columns": [], "rows": []},
        "remedies": [],
        "not_checked": [
            {
                "what": "everything",
                "why": reason,
                "how": "Make all packs from the same model, tokenizer and texts",
            }
        ],
        "explanation": {},
    }


def flip_table(c: Compared, changed: Part, bound: float, rung: str, cause: Part) -> dict[str, Any]:
    """Counts of changed decisions, with the accepted rung's own flips beside them where they were
    counted at this threshold.
    """
    if changed is None:
        return {"reason": "there are no decisions: hidden states are compared"}

    given, threshold = (cause or {}).get("envelope") or {}, np.asarray(c.threshold).tolist()
    decided = c.task == "multi_label" and len(c.gold) and not any(c.finite.values())
    own = (
        given.get("flips")
        if given.get("rung") == rung and given.get("threshold", threshold) == threshold
        else None
    )
    expected = None if own is None else own + 3 * math.sqrt(own + 1)

    return {
        "count": changed["flips"],
        "explained": changed["explained"],
        "unexplained": changed["unexplained"],
        "outside": changed["outside"],
        "texts": changed["texts"],
        "rung": rung,
        "rung_flips": own,
        "more_than_expected": None if expected is None else changed["flips"] > expected,
        "ties": ties(c.gold, c.reference, c.candidate, c.threshold, bound) if decided else None,
        "bound": bound if math.isfinite(bound) else None,
        "formula": "explained iff |z_g - t| <= B = 2 max|z_rung - z_g|",
    }


def worst(c: Compared, changed: Part, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The texts with the largest error, each with its worst label; changed decisions first."""
    if changed is None:
        return []

    with np.errstate(invalid="ignore"):
        dz = c.candidate.astype(np.float64) - c.gold

    size = np.where(np.isfinite(dz), np.abs(dz), np.inf)
    order = sorted(
        range(len(size)), key=lambda i: (not changed["changed"][i].any(), -size[i].max())
    )[:WORST]
    with np.errstate(invalid="ignore"):
        p_r, p_c = probabilities(c.reference, c.task), probabilities(c.candidate, c.task)

    rows = []
    for i in order:
        pool = (
            np.where(changed["changed"][i], size[i], -1.0)
            if changed["changed"][i].any()
            else size[i]
        )
        k = int(pool.argmax())
        rows.append(
            {
                "text": str(texts[i]) if i < len(texts) else None,
                "index": i,
                "label": c.label_names[k],
                "p_reference": finite_or_none(p_r[i, k]),
                "p_candidate": finite_or_none(p_c[i, k]),
                "margin": finite_or_none(changed["margin"][i, k]),
                "dz": finite_or_none(dz[i, k]),
                "same": not bool(changed["changed"][i].any()),
                "explained": bool(changed["explained_mask"][i, k]),
            }
        )

    return rows


def near(c: Compared, changed: Part) -> list[list[float]]:
    """[margin, error] in logits of the decisions nearest to changing: those with the smallest
    margin, at most 250.
    """
    if changed is None:
        return []
    with np.errstate(invalid="ignore"):
        margin, error = (
            changed["margin"].ravel(),
            np.abs(c.candidate.astype(np.float64) - c.gold).ravel(),
        )
    keep = np.flatnonzero(np.isfinite(margin) & np.isfinite(error))
    keep = keep[np.argsort(margin[keep], kind="stable")[:NEAR]]
    return [[float(margin[i]), float(error[i])] for i in keep]


def not_checked(
    gates: Sequence[Gate],
    cause: Part,
    place: Part,
    manifest: Mapping[str, Any],
    exercise: Part = None,
) -> list[dict[str, str]]:
    """What this verdict says nothing about, why, and how to check it."""
    rows = [
        {"what": g.id, "why": g.meaning, "how": HOW.get(g.id, "")}
        for g in gates
        if g.result in (CANNOT_TELL, NOT_RUN) and HOW.get(g.id)
    ]
    for skipped in (place or {}).get("not_covered", []):
        rows.append(
            {
                "what": f"{skipped['operator']}: {skipped['calls']} calls",
                "why": skipped["why"],
                "how": "The residual over all states covers what single calls do not",
            }
        )

    rows += list((cause or {}).get("not_checked", []))
    rows += _not_reached((exercise or {}).get("reach"))
    rows += _resting(manifest, exercise)
    for dtype in ("float16", "bfloat16"):
        if manifest.get("dtype") == "float32":
            rows.append(
                {
                    "what": dtype,
                    "why": "this run compared float32",
                    "how": f"goemo run -p dtype {dtype}",
                }
            )

    return rows


def _resting(manifest: Mapping[str, Any], exercise: Part) -> list[dict[str, str]]:
    """Faults of a rehearsal whose occasion never came, in the run or in the exercise set."""
    seen = [manifest.get("fault_hits") or {}, (exercise or {}).get("fault_hits") or {}]
    texts = dict.fromkeys(text for hits in seen for text in hits)
    return [
        {
            "what": f"the rehearsed fault {text}",
            "why": "it never fired: its occasion did not come",
            "how": "Texts or batches in which it does; a condition that the run meets",
        }
        for text in texts
        if not any(hits.get(text) for hits in seen)
    ]


def _not_reached(reach: Part) -> list[dict[str, str]]:
    """What the exercise set did not reach, each with its number."""
    if not reach:
        return []

    rows = []
    if reach["lengths_not_run"]:
        beyond = reach["limit"] - reach["longest"]
        why = f"{len(reach['lengths'])} lengths up to {reach['longest']} tokens were run"
        if beyond > 0:
            why += f"; none beyond, and the model takes {reach['limit']}"
        if reach.get("refused"):
            why += f"; the model itself refuses {', '.join(map(str, reach['refused']))}"
        rows.append(
            {
                "what": f"{reach['lengths_not_run']} of {reach['limit'] - 1} lengths",
                "why": why,
                "how": "A text of that length among the run's own: texts: path/to/file",
            }
        )

    sizes = reach["batch_sizes"]
    missed = reach["batch_sizes_not_run"]
    if missed:
        rows.append(
            {
                "what": f"{missed} of {sizes[-1]} batch sizes, and all larger",
                "why": f"run were {', '.join(map(str, sizes))}, of short texts",
                "how": "The size that you use: batch_size",
            }
        )

    unseen = reach["vocabulary"] - reach["tokens"]
    if unseen > 0:
        rows.append(
            {
                "what": f"{unseen:,} of {reach['vocabulary']:,} tokens in a whole forward",
                "why": "every row of the embeddings was read back; a text of each is more",
                "how": "More texts: texts: path/to/file",
            }
        )
    if reach["rarer_than"]:
        differing = reach["differing"]
        seen = "none" if not differing else str(differing)
        rows.append(
            {
                "what": f"events rarer than {reach['rarer_than']:.1%} of forwards",
                "why": f"{reach['repeats']} identical forwards, of which {seen} differed (3/n)",
                "how": "A longer run on the device itself",
            }
        )

    return rows
