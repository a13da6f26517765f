"""Intervals of what a run counted over its texts: exact (Clopper-Pearson), so that a change can be
told from chance.
"""

from typing import Any

from goemo_utils.parity.flips import lower_bound, upper_bound

COUNTED = {
    "top1_match",
    "top1_match_tie_aware",
    "top5_match",
    "top5_match_tie_aware",
    "label_set_agreement",
}
"""Metrics that are k texts of n. Shares of text x label pairs are not: the labels of one text are
not independent. top3_overlap counts parts of texts.
"""


def exact(k: int, n: int, confidence: float = 0.95) -> list[float]:
    """Two-sided Clopper-Pearson interval [low, high] of a rate of which k were seen in n."""
    one_sided = 1 - (1 - confidence) / 2
    return [lower_bound(k, n, one_sided), upper_bound(k, n, one_sided)]


def with_interval(metric: dict[str, Any]) -> dict[str, Any]:
    """A metric of a record with the interval of its share of texts, where it is one and has none
    yet.
    """
    value, n = metric.get("value"), metric.get("n")
    if (
        metric.get("id") not in COUNTED
        or metric.get("interval")
        or not isinstance(value, (int, float))
        or not n
    ):
        return metric
    return metric | {"interval": exact(round(float(value) * n), n)}


def flip_rate(parity: dict[str, Any]) -> list[dict[str, Any]]:
    """The share of texts with another label set, with its interval, as a metric; none where nothing
    was decided.
    """
    k, n = (parity.get("flips") or {}).get("texts"), parity.get("n_texts")
    if k is None or not n:
        return []

    return [
        {
            "id": "flip_rate",
            "value": k / n,
            "unit": "share",
            "n": n,
            "formula": "texts with another label set / texts",
            "interval": exact(k, n),
        }
    ]


def moved(before: Any, after: Any) -> bool | None:
    """Whether two intervals lie apart; None where one is missing. Intervals that overlap do not
    show that nothing changed, only that it was not seen.
    """
    if not before or not after:
        return None
    return not (before[0] <= after[1] and after[0] <= before[1])
