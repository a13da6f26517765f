"""A fine-tuning of a few steps, to see that a family can be trained here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from goemo_utils.families.zoo import LABELS
from goemo_utils.texts.builtin import BUILTIN


def tune(folder: Path, out: Path) -> Path:
    """Fine-tune the checkpoint for two steps on built-in texts; the folder of the tuned model."""
    from goemo_utils.training import fit
    from goemo_utils.training.data import Split
    from goemo_utils.training.params import TrainingParams

    texts = list(BUILTIN[:8])
    ids = [[number % len(LABELS)] for number in range(len(texts))]
    split = Split.of_ids(texts, ids, LABELS, "multi_label")
    splits = SimpleNamespace(train=split, held=split, dev=split)
    params = TrainingParams(
        model=str(folder),
        device="cpu",
        threads=1,
        batch_size=4,
        epochs=1.0,
        patience=0,
        max_length=64,
    )
    fit.run(fit.job(params, splits, out))
    return out / "model"
