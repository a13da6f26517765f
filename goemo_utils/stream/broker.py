"""The broker and its topics, with retention declared by whoever makes them."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goemo_utils.errors import ParamsError, first_line
from goemo_utils.stream.windows import Span

REACHED_WITHIN = 10.0  # seconds in which one of the brokers must answer
RETENTION = "retention.ms"
NAMED = 8  # topics that a refusal lists


@dataclass(frozen=True)
class Topics:
    """The names of what is read and what is written; no windows where their name is empty."""

    input: str
    output: str
    dead: str
    windows: str

    def check(self) -> None:
        """Raise ParamsError for a name that Kafka does not take, and for one that comes twice."""
        named = {
            "--input": self.input,
            "--output": self.output,
            "--dead": self.dead,
            "--windows": self.windows,
        }
        given = {option: name for option, name in named.items() if name}
        for option, name in given.items():
            # org.apache.kafka.common.internals.Topic
            if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in (".", ".."):
                raise ParamsError(
                    f"{option} is '{name}': expected the name of a topic, of at most 249 letters,"
                    " digits, dots, - and _."
                )
        if len(set(given.values())) < len(given):
            said = ", ".join(f"{option} {name}" for option, name in given.items())
            raise ParamsError(f"A topic is named twice ({said}): expected each once.")


def reach(brokers: str) -> None:
    """Knock at the brokers, before a client waits for minutes; raises ParamsError where none
    answers.
    """
    reasons = []
    for address in brokers.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdigit():
            raise ParamsError(f"--brokers has '{address}': expected HOST:PORT, parted by commas.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN).close()
            return
        except (OSError, OverflowError) as error:
            reasons.append(f"{address.strip()}: {first_line(error)}")
    raise ParamsError(
        f"No broker answers ({'; '.join(reasons)}): expected Kafka, or a broker that speaks its"
        " protocol. Start one, or give another address with --brokers."
    )


def expect(topic: str, brokers: str, settings: Mapping[str, str]) -> None:
    """Raise ParamsError where the topic is not there, where what listens is no Kafka, and for
    ``settings`` that librdkafka does not know.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet = {"log_level": "0"}  # what fails is raised
    try:
        client = AdminClient({**quiet, **settings, "bootstrap.servers": brokers})
    except KafkaException as error:
        raise ParamsError(
            f"--kafka does not fit ({_reason(error)}): expected settings of librdkafka, such as"
            " batch.num.messages=1."
        ) from error
    try:
        names = sorted(client.list_topics(timeout=REACHED_WITHIN).topics)
    except KafkaException as error:
        raise ParamsError(
            f"What listens at --brokers {brokers} does not answer as Kafka does within"
            f" {REACHED_WITHIN:g} s ({_reason(error)}): expected a broker. Give another address, or"
            " what it asks of its clients with --kafka KEY=VALUE."
        ) from error
    if topic not in names:
        others = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
        raise ParamsError(
            f"There is no topic '{topic}' at {brokers}, which has {others or 'none'}: expected"
            " --input to be one of them. Or give --partitions N, and it is made with so many."
        )


def _reason(error: Exception) -> str:
    """What a client of Kafka says, without the code around it."""
    return first_line(error.args[0].str() if error.args else error)


def topic(app: Any, name: str, retention: Span, partitions: int, **formats: str) -> Any:
    """A topic as it is at the broker, or made with this retention and so many partitions."""
    from quixstreams.models import TopicConfig

    declared = {RETENTION: str(retention.ms)}
    config = TopicConfig(partitions, 1, declared)
    topic = app.topic(name, config=config, **formats)
    # Quix sizes what it keeps by this word, and not every broker describes it.
    topic.broker_config.extra_config.setdefault(RETENTION, declared[RETENTION])
    return topic


def partitions(topic: Any) -> int:
    """How many partitions a topic has at the broker."""
    return int(topic.broker_config.num_partitions)
