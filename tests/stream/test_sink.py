"""A batch of messages, answered before its offsets are committed."""

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="goemo stream needs the extra stream")

from goemo_utils.classifier.classifier import Prediction
from goemo_utils.errors import WorkerError
from goemo_utils.stream.message import Message
from goemo_utils.stream.metrics import Metrics
from goemo_utils.stream.model import Model, _answers
from goemo_utils.stream.sink import Answering, Outlet


class Classifier:
    """Answers every text but those with 'poison' in them, and nothing at all when broken."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def predict_stream(self, texts: list[str], skip_empty: bool) -> Any:
        self._try(texts)
        row = np.array([0.9], dtype=np.float32)
        for i, text in enumerate(texts):
            yield Prediction(i, text, [("joy", 0.9)], row, False, not text)

    def predict(self, texts: list[str]) -> None:
        self._try(texts)

    def _try(self, texts: list[str]) -> None:
        if self.broken or any("poison" in text for text in texts):
            raise IndexError("index out of range in self")


class Broker:
    """Takes what is produced; ``left`` is what it does not take."""

    def __init__(self, left: int = 0) -> None:
        self.produced: list[dict[str, Any]] = []
        self.left = left

    def produce(self, **message: Any) -> None:
        self.produced.append(message)

    def flush(self, timeout: float) -> int:
        return self.left

    def on(self, topic: str) -> list[dict[str, Any]]:
        return [message for message in self.produced if message["topic"] == topic]


def model(classifier: Classifier) -> Model:
    made = Model.__new__(Model)
    made.answer = lambda texts: (_answers(classifier, texts), {"model": "abc"})  # type: ignore
    return made


def answering(broker: Broker, classifier: Classifier | None = None) -> Answering:
    outlets = Outlet("out", 2), Outlet("dead", 1)
    made = model(classifier or Classifier())
    return Answering(made, Metrics("in"), "text", *outlets, broker.produce, broker.flush)


def messages(*values: bytes | None) -> list[Message]:
    return [Message("in", 3, i, b"k", value, 1000 + i) for i, value in enumerate(values)]


def test_every_message_gets_an_answer_under_its_own_key_at_its_own_time() -> None:
    broker = Broker()
    answering(broker).batch(messages(b"a", b"b"))
    answers = broker.on("out")
    assert [one["key"] for one in answers] == [b"in/3/0", b"in/3/1"]
    assert [one["timestamp"] for one in answers] == [1000, 1001]
    assert {one["partition"] for one in answers} == {1}
    assert json.loads(answers[1]["value"])["text"] == "b"


def test_what_holds_no_text_or_fails_goes_to_the_dead_letters_and_takes_no_other_with_it() -> None:
    broker = Broker()
    values = [b"good", b"\xff", b"poison", b"{", b"good too"]
    answering(broker).batch(messages(*values))
    dead = broker.on("dead")
    assert [json.loads(one["value"])["text"] for one in broker.on("out")] == ["good", "good too"]
    assert {one["value"]: one["headers"]["reason"] for one in dead} == {
        b"\xff": "utf-8",
        b"{": "json",
        b"poison": "model",
    }


def test_a_model_that_fails_on_everything_ends_the_stream() -> None:
    broker = Broker()
    with pytest.raises(IndexError):
        answering(broker, Classifier(broken=True)).batch(messages(b"a", b"b"))
    assert broker.produced == []


def test_answers_that_the_broker_does_not_take_are_told() -> None:
    with pytest.raises(WorkerError, match="2 answers were not taken"):
        answering(Broker(left=2)).batch(messages(b"a", b"b"))


def test_the_line_has_texts_rate_lag_and_dead_letters() -> None:
    metrics = Metrics("in")
    metrics.batch("abc", 3000, 1.0)
    metrics.dead_letter("json")
    metrics.statistics(
        json.dumps(
            {
                "topics": {
                    "in": {
                        "partitions": {
                            "0": {"consumer_lag": 5},
                            "1": {"consumer_lag": 7},
                            "2": {"consumer_lag": -1},
                            "-1": {"consumer_lag": 9},
                        }
                    }
                }
            }
        )
    )
    assert metrics.line(1000, 10.0) == "3,000 texts, 200 a second, 12 behind, 1 dead letters"
