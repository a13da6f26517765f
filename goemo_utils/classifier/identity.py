"""What decides a classifier's answers, as one digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goemo_utils.records.record import sha256_json

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import GoEmotionsClassifier


def digest(classifier: GoEmotionsClassifier) -> str:
    """SHA-256 (hexadecimal) over weights, tokenizer, labels, task, device and arithmetic; the
    threshold only chooses among answers, and is left out.
    """
    info = classifier.info
    files = {file["name"]: file["sha256"] for file in info.get("files") or []}
    deciding = [
        files,
        info.get("weights_sha256"),
        classifier.labels,
        classifier.task,
        classifier.dtype,
        classifier.backend_used,
        classifier.max_length,
        classifier.device.requested,
    ]

    return sha256_json(deciding).removeprefix("sha256:")
