"""The classifier without padding, whose inside some rungs exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.classifier.unpadded import Unpadded
from goemo_utils.errors import ModelError


def open_unpadded(
    folder: Path, needs: str, **settings: Any
) -> tuple[GoEmotionsClassifier, Unpadded]:
    """A classifier of the folder and the model inside it. Raises ModelError, beginning with who
    ``needs`` it, where the model cannot be computed without padding.
    """
    classifier = GoEmotionsClassifier(folder, **settings)
    whole = classifier._model
    if not isinstance(whole, Unpadded):
        raise ModelError(
            f"{folder}: {needs} the classifier without padding, and this one is"
            f" {classifier.backend_used}: {classifier.backend_reason}"
        )
    return classifier, whole
