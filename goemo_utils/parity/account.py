"""What an arithmetic leaves over on the packs' own texts: over all of them, and over the batch that
is worst.

No gate is forgiven by evidence from other texts: the residual that the explanation measured is that
of a few dozen; here it is taken over the very answers that are judged.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemo_utils.parity import metrics as m
from goemo_utils.parity.compared import Compared

Part = Mapping[str, Any] | None
Arrays = Mapping[str, np.ndarray]

WORST = 2.0
"""How much larger than over all texts a ratio may be over the worst batch, of few values."""
TOKENS = 256
"""Rows of a hidden state that count as one batch."""


@dataclass(frozen=True)
class Left:
    """An error in units of its yardstick: over all of a state, and over its worst batch.

    ``batch`` is the place of that batch among those of the run; None where there is but one.
    """

    value: float
    worst: float
    where: str
    batch: int | None

    def over(self, limit: float) -> float:
        """How much of a limit it takes: the worst batch may take WORST times as much. NaN stays."""
        if math.isnan(self.value) or math.isnan(self.worst):
            return math.nan
        return max(self.value / limit, self.worst / (WORST * limit)) if limit else math.inf


def batches(c: Compared, state: str) -> Iterator[slice]:
    """The rows of each batch of a state: texts of the logits, real tokens of a hidden state."""
    rows = len(c.tensors[state][0])
    size = int(c.manifest.get("batch_size") or 16) if state == "logits" else TOKENS
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def error(c: Compared, state: str) -> Left:
    """R of a state: RMSE(c, g) / RMSE(r, g), over all rows and over the worst batch. A batch in
    which the reference errs little by chance is given half of its error over all.
    """
    gold, reference, candidate = c.tensors[state]
    own, floor = c.to_gold[state].reference.rms, c.to_gold[state].floor
    ratios = []
    for rows in batches(c, state):
        mine = m.distance(candidate[rows], gold[rows]).rms
        theirs = m.distance(reference[rows], gold[rows]).rms
        ratios.append(m.ratio(mine, max(theirs, own / 2), floor))
    return _left(c.ratio(state), ratios, state)


def residual(c: Compared, state: str, cause: Mapping[str, Any], rung: Arrays | None) -> Left | None:
    """What the accepted arithmetic leaves over of a state on the packs' own texts, in units of its
    noise there; None where its own answers to them are not at hand.

    The rung of plain rounding is the reference. Its noise is the reference's error, and where its
    runs in another order lay further apart than that, as much more.
    """
    named = bool(cause.get("causes")) and cause.get("claim") != "plain"
    if named and (rung is None or state not in rung):
        return None
    gold, reference, candidate = c.tensors[state]
    answers = np.asarray(rung[state]) if named and rung is not None else reference
    n = min(len(answers), len(candidate))
    perturbed = rung.get("perturbed") if named and rung is not None else None
    if perturbed is not None and perturbed.shape != answers.shape:
        perturbed = None

    ratios = []
    for rows in batches(c, state):
        here = slice(rows.start, min(rows.stop, n))
        if here.start >= here.stop:
            break
        unit = _noise(cause, state, reference[here], gold[here], c.to_gold[state].reference.rms)
        if perturbed is not None:
            unit = max(unit, m.distance(perturbed[here], answers[here]).rms)
        ratios.append(m.over_noise(m.distance(candidate[here], answers[here]).rms, unit))
    whole = _noise(cause, state, reference[:n], gold[:n], c.to_gold[state].reference.rms)
    left = m.over_noise(m.distance(candidate[:n], answers[:n]).rms, whole)
    return _left(left, ratios, state)


def largest(c: Compared, state: str, cause: Mapping[str, Any], rung: Arrays | None) -> float | None:
    """The largest element that the accepted arithmetic leaves over, by the largest of its noise;
    None where its answers are not at hand.
    """
    named = bool(cause.get("causes")) and cause.get("claim") != "plain"
    if named and (rung is None or state not in rung):
        return None
    _, reference, candidate = c.tensors[state]
    answers = np.asarray(rung[state]) if named and rung is not None else reference
    n = min(len(answers), len(candidate))
    noise = (cause.get("noise_max") or {}).get(state) or 0.0
    noise = max(noise, c.to_gold[state].reference.max)
    return m.over_noise(m.distance(candidate[:n], answers[:n]).max, noise)


def _noise(
    cause: Mapping[str, Any], state: str, reference: np.ndarray, gold: np.ndarray, own: float
) -> float:
    """Noise of a rung on some rows: as measured, scaled as the reference's own error is there."""
    measured = (cause.get("noise") or {}).get(state)
    base = (cause.get("own") or {}).get(state)
    here = max(m.distance(reference, gold).rms, own / 2)
    if measured is None or not base:
        return here
    larger = here / float(base)
    scaled = float(measured) * (max(1.0, larger) if cause.get("causes") else larger)
    return max(here, scaled)


def _left(whole: float, ratios: list[float], state: str) -> Left:
    if not ratios:
        return Left(whole, whole, state, None)
    order = [math.inf if math.isnan(r) else r for r in ratios]
    worst = max(range(len(order)), key=order.__getitem__)
    return Left(whole, ratios[worst], state, worst if len(ratios) > 1 else None)
