"""The labelled texts that come with the package, as any model with GoEmotions' labels needs them:
02_smoke draws its threshold curve from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goemo_utils.training.columns import Asked
from goemo_utils.training.labels import LABELS
from goemo_utils.training.sources import read_table


@dataclass(frozen=True)
class Labelled:
    """Texts and their labels: 0 or 1, ``[texts, labels]``."""

    texts: list[str]
    targets: np.ndarray


def labelled(labels: Sequence[str], limit: int = 300) -> Labelled | None:
    """The first ``limit`` of the sample's dev texts in the order of a model's ``labels``; None for
    a model whose labels are not those of GoEmotions.
    """
    if set(labels) != set(LABELS):
        return None
    table = read_table("sample:dev", Asked(label="emotions"))
    texts = list(table.texts[:limit])
    targets = np.zeros((len(texts), len(labels)))
    column = {name: place for place, name in enumerate(labels)}
    for row, cell in enumerate(table.cells[:limit]):
        for name in cell.split(","):
            targets[row, column[name]] = 1

    return Labelled(texts, targets)
