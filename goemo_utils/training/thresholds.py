"""One threshold a label, tuned on texts that no weight has seen and no score is reported on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from goemo_utils.errors import ModelError
from goemo_utils.forward.thresholds import FILE, SCHEMA
from goemo_utils.records.record import write_json

N_DRAWS = 41
# A classifier takes thresholds above 0 and below 1; a label that is never or always marked is still
# so this close to them.
NEAREST = 1e-6


def best_cut(truth: np.ndarray, values: np.ndarray) -> float:
    """The threshold that maximises F1 of ``values > threshold``: the middle of the best gap between
    two neighbouring values.

    F1 after marking the k highest is 2 tp_k / (k + n₊), so one sort tries every cut. 0.5 when no
    text has the label.
    """
    order = np.argsort(-values, kind="stable")
    values, truth = values[order].astype(np.float64), truth[order] > 0.5
    if not truth.any():
        return 0.5

    f1 = 2 * np.cumsum(truth) / (np.arange(1, len(truth) + 1) + truth.sum())
    below = np.append(values[1:], 0.0)
    f1[values == below] = -1  # equal values are marked together or not at all
    best = int(np.argmax(f1))

    return float((values[best] + below[best]) / 2)


def tune(
    targets: np.ndarray, probabilities: np.ndarray, n_draws: int = N_DRAWS, seed: int = 0
) -> np.ndarray:
    """The threshold per label [n_labels]: the median of the best cuts of ``n_draws`` bootstrap
    draws of the texts.

    The best cut of the texts themselves is mostly luck for a label with a handful of positives; the
    median of draws is steadier.
    """
    rng = np.random.default_rng(seed)
    draws = [rng.integers(0, len(targets), len(targets)) for _ in range(n_draws)]

    return np.array(
        [
            np.median(
                [best_cut(targets[draw, label], probabilities[draw, label]) for draw in draws]
            )
            for label in range(targets.shape[1])
        ]
    )


def write(
    folder: Path, labels: Sequence[str], values: Sequence[float], n_texts: int, sha256: str
) -> Path:
    """Write a multi-label model's thresholds, one a label in label order, beside its weights, where
    the classifier and parity find them.

    ``n_texts`` and ``sha256`` tell the texts they were tuned on. Raises ModelError when they are
    not one a label or not between 0 and 1.
    """
    if (
        len(values) != len(labels)
        or len(set(labels)) != len(labels)
        or not all(0 <= value <= 1 for value in values)
    ):
        raise ModelError(
            f"The thresholds for {folder} are {len(values)} numbers for {len(set(labels))}"
            " different labels; expected one between 0 and 1 for each label. Tune them again."
        )

    kept = {
        label: min(max(float(value), NEAREST), 1 - NEAREST)
        for label, value in zip(labels, values, strict=True)
    }
    write_json(
        Path(folder) / FILE,
        {
            "schema": SCHEMA,
            "thresholds": kept,
            "tuned_on": {"texts": n_texts, "sha256": sha256},
            "criterion": f"F1 per label, median of {N_DRAWS} bootstrap draws",
        },
    )

    return Path(folder) / FILE
