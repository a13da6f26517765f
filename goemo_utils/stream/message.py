"""A message as text, and an answer as a message. Nothing here knows a broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import Prediction


class BadMessage(ValueError):
    """A message that holds no text; ``reason`` in a word, for metrics."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class Message:
    """A message as it came: its place in the topic, its key, its time in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int

    @property
    def id(self) -> str:
        """The place as one word: the key of its answer, the same however often it is answered."""
        return f"{self.topic}/{self.partition}/{self.offset}"


def parse(value: bytes | None, field: str = "text") -> str:
    """The text of a message: the ``field`` of a JSON object, or else the message itself.

    Raises BadMessage for bytes that are no UTF-8 and for an object without such a text.
    """
    if value is None:
        raise BadMessage("empty", "the message has no value")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadMessage("utf-8", f"byte {error.start} is no UTF-8") from error
    if not text.lstrip().startswith("{"):
        return text

    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadMessage("json", f"it begins as a JSON object and is none: {error}") from error
    found = row.get(field)
    if not isinstance(found, str):
        kind = "no" if found is None else f"a {type(found).__name__} as"
        raise BadMessage("field", f"its JSON object has {kind} '{field}', expected a text")
    return found


def answer(message: Message, prediction: Prediction, facts: dict[str, Any]) -> dict[str, Any]:
    """The answer to one message; ``facts`` are the same for a batch: model, simulated."""
    labels = [
        {"label": label, "probability": round(probability, 6)}
        for label, probability in prediction.labels
    ]
    return {
        "id": message.id,
        "key": key_text(message.key),
        # Half a surrogate pair, which JSON may hold, cannot be written in UTF-8.
        "text": prediction.text.encode("utf-8", "replace").decode("utf-8"),
        "labels": labels,
        "truncated": prediction.truncated,
        "empty": prediction.empty,
        **facts,
    }


def key_text(key: bytes | None) -> str:
    """A key in words; bytes that are no UTF-8 in hexadecimal."""
    if key is None:
        return ""
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return key.hex()


def encoded(row: dict[str, Any]) -> bytes:
    """A row as JSON."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8")
