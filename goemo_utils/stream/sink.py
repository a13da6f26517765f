"""Where messages are answered: collected until Quix makes a checkpoint, answered as one batch, and
written before the offsets are committed. A kill at any moment repeats messages and loses none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from goemo_utils.errors import WorkerError, first_line
from goemo_utils.stream.message import BadMessage, Message, answer, encoded, parse
from goemo_utils.stream.metrics import Metrics
from goemo_utils.stream.model import Failed, Model

DELIVERED_WITHIN = 60.0  # seconds for the broker to take a batch of answers


@dataclass(frozen=True)
class Outlet:
    """A topic that is written to, and how many partitions it has."""

    topic: str
    partitions: int


class Answering:
    """Answers a batch of messages and produces what comes of it; ``produce`` takes the arguments of
    a producer's method, ``delivered`` waits and returns how many messages the broker has not taken.
    """

    def __init__(
        self,
        model: Model,
        metrics: Metrics,
        field: str,
        answers: Outlet,
        dead: Outlet,
        produce: Callable[..., None],
        delivered: Callable[[float], int],
    ) -> None:
        self._model, self._metrics, self._field = model, metrics, field
        self._answers, self._dead = answers, dead
        self._produce, self._delivered = produce, delivered

    def batch(self, messages: list[Message]) -> None:
        """Answer all of these; raises WorkerError where the broker does not take the answers."""
        began = time.monotonic()
        texts: list[str] = []
        good: list[Message] = []
        for message in messages:
            try:
                texts.append(parse(message.value, self._field))
                good.append(message)
            except BadMessage as error:
                self._bury(message, error.reason, str(error))

        if texts:
            self._answer(good, texts, began)
        left = self._delivered(DELIVERED_WITHIN)
        if left:
            raise WorkerError(
                f"{left} answers were not taken by the broker within {DELIVERED_WITHIN:g} s:"
                " expected it to answer. Their messages are not committed and will be answered"
                " again by the same command."
            )

    def _answer(self, messages: list[Message], texts: list[str], began: float) -> None:
        predictions, facts = self._model.answer(texts)
        answered = 0
        for message, prediction in zip(messages, predictions, strict=True):
            if isinstance(prediction, Failed):
                error = prediction.error
                self._bury(message, "model", f"{type(error).__name__}: {first_line(error)}")
                continue
            self._send(self._answers, message, encoded(answer(message, prediction, facts)))
            answered += 1
        self._metrics.batch(facts["model"], answered, time.monotonic() - began)

    def _bury(self, message: Message, reason: str, sentence: str) -> None:
        """Write a message as it came to the dead letters, with what is wrong with it."""
        headers = {"reason": reason, "error": sentence, "id": message.id}
        self._metrics.dead_letter(reason)
        self._send(self._dead, message, message.value, headers)

    def _send(
        self,
        outlet: Outlet,
        message: Message,
        value: bytes | None,
        headers: dict[str, str] | None = None,
    ) -> None:
        # The same partition again: what has one key stays in the order in which it came.
        self._produce(
            topic=outlet.topic,
            key=message.id.encode("utf-8"),
            value=value,
            headers=headers,
            partition=message.partition % outlet.partitions,
            timestamp=message.timestamp,
        )


def sink(answering: Answering) -> Any:
    """The sink of Quix that hands its messages to ``answering`` at each checkpoint."""
    from quixstreams.sinks.base import BaseSink

    class Sink(BaseSink):  # type: ignore[misc]  # an extra without types
        def __init__(self) -> None:
            super().__init__(lambda: None)
            self._messages: list[Message] = []

        def add(
            self,
            value: Any,
            key: Any,
            timestamp: int,
            headers: Any,
            topic: str,
            partition: int,
            offset: int,
        ) -> None:
            self._messages.append(Message(topic, partition, offset, key, value, timestamp))

        def flush(self) -> None:
            messages, self._messages = self._messages, []
            if messages:
                answering.batch(messages)

        def on_paused(self) -> None:
            self._messages = []

    return Sink()
