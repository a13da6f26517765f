"""What the server counts, for Prometheus: latency, batches, queue, cache and models, by version."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from goemo_utils.serve.batcher import Round
from goemo_utils.serve.cache import Cache
from goemo_utils.serve.fleet import Fleet, Version

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
LABELS = ("model", "version")


class Metrics:
    """The server's counters in a registry of their own, so that two servers in one process do not
    share them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=self.registry)

        def histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=buckets, registry=self.registry)

        self.requests = counter("goemo_requests", "Requests by address and status", "path", "code")
        self.refused = counter("goemo_refused", "Requests that were refused, by reason", "reason")
        self.seconds = histogram(
            "goemo_request_seconds", "Seconds from request to answer", SECONDS, *LABELS
        )
        self.texts = counter("goemo_texts", "Texts that were answered", *LABELS)
        self.tokens = counter("goemo_tokens", "Tokens of the texts that were computed", *LABELS)
        self.batch_texts = histogram("goemo_batch_texts", "Texts of a round", TEXTS, *LABELS)
        self.batch_tokens = histogram("goemo_batch_tokens", "Tokens of a round", TOKENS, *LABELS)
        self.batch_requests = histogram(
            "goemo_batch_requests", "Requests that shared a round", TEXTS, *LABELS
        )
        self.queue_seconds = histogram(
            "goemo_queue_seconds", "Seconds that a round's oldest request waited", SECONDS, *LABELS
        )
        self.compute_seconds = histogram(
            "goemo_compute_seconds", "Seconds that a round computed", SECONDS, *LABELS
        )
        self.reloads = counter("goemo_reloads", "Reloads of a model, by result", "model", "result")
        self.compared = counter(
            "goemo_compared_texts", "Texts that two versions answered", "model", "other"
        )
        self.agreed = counter(
            "goemo_agreed_texts", "Of those, answered alike", "model", "other", "in"
        )
        self.largest_difference = Gauge(
            "goemo_largest_difference",
            "Largest difference of a probability that two versions gave",
            ("model", "other"),
            registry=self.registry,
        )

    def round(self, version: Version, round: Round) -> None:
        """Count a round that was computed."""
        labels = (version.name, version.short)
        self.batch_texts.labels(*labels).observe(round.texts)
        self.batch_tokens.labels(*labels).observe(round.tokens)
        self.batch_requests.labels(*labels).observe(round.requests)
        self.queue_seconds.labels(*labels).observe(round.waited)
        self.compute_seconds.labels(*labels).observe(round.seconds)
        self.tokens.labels(*labels).inc(round.tokens)

    def answered(self, version: Version, texts: int, seconds: float) -> None:
        """Count an answered request."""
        labels = (version.name, version.short)
        self.seconds.labels(*labels).observe(seconds)
        self.texts.labels(*labels).inc(texts)

    def compare(
        self, one: Version, other: Version, first: np.ndarray, second: np.ndarray, sets: np.ndarray
    ) -> None:
        """Count how far two versions agree: probabilities [n_texts, n_labels] of both, and per text
        whether the label sets are the same.
        """
        names = (one.name, other.name)
        top = first.argmax(1) == second.argmax(1)
        self.compared.labels(*names).inc(len(first))
        self.agreed.labels(*names, "top1").inc(int(top.sum()))
        self.agreed.labels(*names, "label_set").inc(int(sets.sum()))
        self.largest_difference.labels(*names).set(float(np.abs(first - second).max()))

    def watch(self, fleet: Fleet, cache: Cache, draining: Callable[[], bool]) -> None:
        """Show the state of the fleet and of the cache whenever the metrics are asked for."""
        self.registry.register(_State(fleet, cache, draining))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _State(Collector):
    def __init__(self, fleet: Fleet, cache: Cache, draining: Callable[[], bool]) -> None:
        self.fleet, self.cache, self.draining = fleet, cache, draining

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily("goemo_queue_texts", "Texts that wait", labels=LABELS)
        names = (*LABELS, "sha256", "device", "dtype", "simulated")
        info = GaugeMetricFamily("goemo_model_info", "The models that are served", labels=names)
        for version in list(self.fleet.versions.values()):
            classifier = version.classifier
            simulated = str(version.simulated).lower()
            labels = [version.name, version.short, version.digest]
            info.add_metric(
                [*labels, classifier.device.requested, classifier.dtype, simulated], 1.0
            )
            waiting.add_metric(labels[:2], version.batcher.waiting_texts)
        yield waiting
        yield info

        for name, what, value in (
            ("goemo_cache_hits", "Texts answered from the cache", self.cache.hits),
            ("goemo_cache_misses", "Texts that the cache did not have", self.cache.misses),
            ("goemo_cache_evictions", "Answers let go for newer ones", self.cache.evictions),
        ):
            yield CounterMetricFamily(name, what, value=value)
        yield GaugeMetricFamily("goemo_cache_entries", "Answers kept", value=len(self.cache))
        yield GaugeMetricFamily("goemo_draining", "1 while it stops", value=self.draining())
