"""From texts to answers: the cache, the tokenizer in threads of its own, the queue, and the labels.

Nothing here knows HTTP's addresses; what goes wrong is raised as a Refused with a status.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from goemo_utils.errors import first_line
from goemo_utils.forward import thresholds
from goemo_utils.forward.thresholds import Threshold
from goemo_utils.serve.ask import Ask, Refused
from goemo_utils.serve.batcher import Closed, QueueFull
from goemo_utils.serve.cache import Answer, Cache
from goemo_utils.serve.fleet import Fleet, Version
from goemo_utils.serve.limits import Limits
from goemo_utils.serve.metrics import Metrics

ATTEMPTS = 3  # a model may be replaced between the choice and the queue, hardly twice
TOKENISERS = 2
log = logging.getLogger("goemo.serve")


@dataclass(frozen=True)
class Answered:
    """The answers of one request and the version that gave them."""

    version: Version
    answers: list[Answer]


class Answering:
    """Answers requests from a fleet within limits. ``compare``: the part of the requests that every
    version answers, so that their agreement can be watched.
    """

    def __init__(
        self, fleet: Fleet, limits: Limits, cache: Cache, metrics: Metrics, compare: float = 0.0
    ) -> None:
        self.fleet, self.limits, self.cache = fleet, limits, cache
        self.metrics, self.share_compared = metrics, compare
        self._tokenisers = ThreadPoolExecutor(TOKENISERS, thread_name_prefix="goemo-tokenise")
        self._comparing: set[asyncio.Task[None]] = set()

    async def answer(self, ask: Ask, key: str | None) -> Answered:
        """Every text's answer, in order. Raises Refused with a status and a sentence."""
        version = self._choose(ask, key)
        for _ in range(ATTEMPTS):
            try:
                answers = await self._of(version, ask)
            except Closed:
                version = self._choose(ask, key)
                continue
            self._compare(version, ask)
            return Answered(version, answers)
        raise Refused(503, "overloaded", "The model is being replaced; ask again in a second.")

    def close(self) -> None:
        self._tokenisers.shutdown(wait=False)

    def _choose(self, ask: Ask, key: str | None) -> Version:
        sticky = ask.key or key or ask.texts[0]
        try:
            return self.fleet.choose(ask.model, sticky)
        except KeyError:
            names = ", ".join(self.fleet.versions)
            raise Refused(
                422, "validation", f"'model' is {ask.model!a}; expected one of {names}."
            ) from None

    async def _of(self, version: Version, ask: Ask) -> list[Answer]:
        known = [self.cache.get(version.key, text) for text in ask.texts]
        missing = [i for i, answer in enumerate(known) if answer is None]
        if missing:
            fresh = await self._compute(version, [ask.texts[i] for i in missing])
            for i, answer in zip(missing, fresh, strict=True):
                known[i] = answer
                self.cache.put(version.key, ask.texts[i], answer)

        answers = [answer for answer in known if answer is not None]
        if not ask.truncate and any(answer.truncated for answer in answers):
            raise Refused(
                422,
                "too_long",
                f"A text has more than {version.classifier.max_length} tokens and truncate is"
                " false; expected shorter texts. Leave truncate out to have them cut there.",
            )
        return answers

    async def _compute(self, version: Version, texts: list[str]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        classifier = version.classifier
        ids, cut = await loop.run_in_executor(self._tokenisers, classifier.tokenise, texts)
        n_tokens = sum(map(len, ids))
        if n_tokens > self.limits.tokens:
            raise Refused(
                413,
                "too_many_tokens",
                f"The texts have {n_tokens} tokens together; at most {self.limits.tokens} are taken"
                " at once. Send them in several requests.",
            )

        rows = await self._rows(version, ids)
        if not np.isfinite(rows).all():
            raise Refused(
                500,
                "not_finite",
                f"The model {version.name} ({version.short}) gave NaN or infinite probabilities:"
                " its weights or the device are at fault. Look at the report of its run.",
            )
        return [
            Answer(row, len(tokens), truncated)
            for row, tokens, truncated in zip(rows, ids, cut, strict=True)
        ]

    async def _rows(self, version: Version, ids: list[list[int]]) -> np.ndarray:
        try:
            future = version.batcher.submit(ids)

            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except QueueFull:
            raise Refused(
                503,
                "overloaded",
                f"More than {self.limits.queue} texts wait already; ask again in a second.",
            ) from None
        except asyncio.TimeoutError:
            raise Refused(
                503,
                "timeout",
                f"There was no answer within {self.limits.seconds:g} s; ask again later.",
            ) from None
        except (RuntimeError, ValueError, IndexError, TypeError, MemoryError) as error:
            log.exception("model %s failed", version.name)
            raise Refused(
                500,
                "model",
                f"The model {version.name} ({version.short}) failed on these texts"
                f" ({type(error).__name__}: {first_line(error)!a}).",
            ) from error

    def _compare(self, version: Version, ask: Ask) -> None:
        if len(self.fleet.versions) < 2 or random.random() >= self.share_compared:
            return
        task = asyncio.create_task(self._compare_all(version, ask))
        self._comparing.add(task)
        task.add_done_callback(self._comparing.discard)

    async def _compare_all(self, version: Version, ask: Ask) -> None:
        """Let the other versions answer the same texts, and count how far they agree."""
        others = [one for one in self.fleet.versions.values() if one.name != version.name]
        for other in others:
            if other.classifier.labels != version.classifier.labels:
                continue
            try:
                first = probabilities(await self._of(version, ask))
                second = probabilities(await self._of(other, ask))
            except (Refused, Closed):
                continue  # it is no request of anybody's: when there is no room it is left out
            sets = (_marked(first, version) == _marked(second, other)).all(1)
            self.metrics.compare(version, other, first, second, sets)


def probabilities(answers: Sequence[Answer]) -> np.ndarray:
    """Float32 [n_texts, n_labels]."""
    return np.stack([answer.probabilities for answer in answers])


def _marked(rows: np.ndarray, version: Version) -> np.ndarray:
    return thresholds.above(rows, version.classifier.threshold)


def scored(
    row: np.ndarray, labels: Sequence[str], threshold: Threshold | None, top_k: int | None
) -> list[tuple[str, float]]:
    """(label, probability), most probable first: those above ``threshold`` (one, or one a label;
    None: all), at most ``top_k``.
    """
    order = np.argsort(-row, kind="stable")
    if threshold is not None:
        order = order[thresholds.above(row, threshold)[order]]
    return [(labels[i], float(row[i])) for i in order[:top_k]]
