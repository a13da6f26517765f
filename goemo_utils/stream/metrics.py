"""What a stream counts: for Prometheus, and in a line for people."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 4, 16, 64, 256, 1024, 2048, 4096)


class Metrics:
    """The counters of one stream, in a registry of their own; ``behind`` is the number of messages
    between the last one that was taken and the end of each partition.
    """

    def __init__(self, topic: str) -> None:
        self.registry = CollectorRegistry()
        self._topic = topic
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.answered = self.dead = self.late = 0
        self.behind: dict[str, int] = {}

        self._texts = self._counter("texts", "Texts answered", "model")
        self._dead = self._counter("dead", "Messages to dead letters", "reason")
        self._late = self._counter("late", "Answers too late for their window")
        self._reloads = self._counter("reloads", "Reloads of the model", "result")
        self._batch = self._histogram("batch", "Texts of a batch", TEXTS)
        self._took = self._histogram("batch_seconds", "Seconds of a batch", SECONDS)
        self._lag = Gauge(
            "goemo_stream_lag", "Messages behind", ["partition"], registry=self.registry
        )

    def batch(self, model: str, texts: int, seconds: float) -> None:
        """Count a batch that was answered."""
        with self._lock:
            self.answered += texts
        self._texts.labels(model).inc(texts)
        self._batch.observe(texts)
        self._took.observe(seconds)

    def dead_letter(self, reason: str) -> None:
        """Count a message that went to the dead letters."""
        with self._lock:
            self.dead += 1
        self._dead.labels(reason).inc()

    def too_late(self) -> None:
        """Count an answer that came after its window had closed."""
        with self._lock:
            self.late += 1
        self._late.inc()

    def reloaded(self, result: str) -> None:
        """Count a reload of the model."""
        self._reloads.labels(result).inc()

    def statistics(self, text: str) -> None:
        """Take the lag out of librdkafka's statistics; -1 there is not known yet."""
        topics = json.loads(text).get("topics", {})
        partitions = topics.get(self._topic, {}).get("partitions", {})
        for name, facts in partitions.items():
            lag = facts.get("consumer_lag", -1)
            if name != "-1" and lag >= 0:
                self.behind[name] = lag
                self._lag.labels(name).set(lag)

    def line(self, before: int = 0, seconds: float = 0.0) -> str:
        """How many texts, the rate of those since ``before`` where ``seconds`` are given, how far
        behind, and what went wrong.
        """
        parts = [f"{self.answered:,} texts"]
        if seconds > 0:
            parts.append(f"{(self.answered - before) / seconds:,.0f} a second")
        if self.behind:
            parts.append(f"{sum(self.behind.values()):,} behind")
        if self.dead:
            parts.append(f"{self.dead:,} dead letters")
        if self.late:
            parts.append(f"{self.late:,} too late for their window")
        return ", ".join(parts)

    def tell(self, every: float, stop: threading.Event, say: Callable[[str], None]) -> None:
        """Say the line every so many seconds, until ``stop``."""
        before, then = self.answered, time.monotonic()
        while not stop.wait(every):
            now = time.monotonic()
            say(self.line(before, now - then))
            before, then = self.answered, now

    def listen(self, host: str, port: int) -> Any:
        """Answer Prometheus; raises OSError where the port is taken."""
        return start_http_server(port, host, self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"goemo_stream_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"goemo_stream_{name}", what, buckets=buckets, registry=self.registry)
