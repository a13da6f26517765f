"""Small tables that ``10_finetune`` shows: pandas frames whose cells are readable as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goemo_utils.notebook import tables
from goemo_utils.training import card

if TYPE_CHECKING:
    from goemo_utils.training.data import Split, Splits


def splits(found: Splits) -> pd.DataFrame:
    """The three parts: how many texts, how many labels a text, how long."""
    parts = {
        "train (weights)": found.train,
        "held out (stopping, thresholds)": found.held,
        "dev (scored)": found.dev,
    }

    return pd.DataFrame(
        {
            name: {
                "texts": f"{len(part):,}",
                "labels a text": f"{part.targets.sum(1).mean():.2f}",
                "words a text (median)": (
                    f"{np.median([len(text.split()) for text in part.texts]):.0f}"
                ),
                "rarest label": _rarest(part),
            }
            for name, part in parts.items()
        }
    ).T


def examples(split: Split, n: int, seed: int) -> pd.DataFrame:
    """``n`` texts drawn at random, with their labels."""
    chosen = np.sort(
        np.random.default_rng(seed).choice(len(split), min(n, len(split)), replace=False)
    )

    return pd.DataFrame(
        [
            {
                "text": split.texts[i],
                "labels": (
                    ", ".join(split.labels[j] for j in np.flatnonzero(split.targets[i])) or "none"
                ),
            }
            for i in chosen
        ]
    )


def scores(judged: dict[str, Any]) -> pd.DataFrame:
    """One row a model and way of deciding, with 95 % intervals."""
    return pd.DataFrame(card.rows(judged)).set_index("model")


def gain(gained: dict[str, Any] | None) -> pd.DataFrame | str:
    """The new model's lead over the linear baseline, with the interval over texts that both are
    scored on.
    """
    if not gained:
        return "not compared, because no baseline was fitted"

    rows = []
    for name, row in gained.items():
        low, high = row["ci95"]
        rows.append(
            {
                "score": card.METRICS[name],
                "difference": f"{row['value']:+.3f}",
                "95 % interval": f"{low:+.3f} to {high:+.3f}",
                "in words": _in_words(low, high),
            }
        )

    return pd.DataFrame(rows).set_index("score")


def _in_words(low: float, high: float) -> str:
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def training(made: dict[str, Any]) -> pd.DataFrame:
    """Where and how long the training ran."""
    shown = {
        "on": made["device"]["name"],
        "steps": made.get("steps"),
        "seconds": made["seconds"],
        "parameters": made["n_parameters"],
        "head": made.get("head"),
        "R-Drop": made.get("alpha"),
        "label smoothing": made.get("smoothing"),
        "best step": (made.get("best") or {}).get("step"),
        "stopped early": made.get("stopped_early"),
        "went on from step": made.get("resumed_from"),
    }

    return tables.facts(shown)


def _rarest(split: Split) -> str:
    counts = split.targets.sum(0)
    return f"{split.labels[int(counts.argmin())]} ({int(counts.min())})"
