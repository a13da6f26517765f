"""One short text at a time on the embedded model: the classifier beside transformers.pipeline,
tokenising included.

    python benchmarks/short_requests.py --texts 200 --rounds 5

Both stand in one process and take turns text by text; printed are the medians, their ratio, and the
interval that holds 90 % of the ratios of 2,000 resampled sets of requests.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from sample import real_texts

from goemo_utils.records.step import EMBEDDED


def milliseconds(ask: Callable[[str], object], text: str) -> float:
    began = time.perf_counter()
    ask(text)
    return 1000 * (time.perf_counter() - began)


def measured(ways: dict[str, Callable[[str], object]], texts: list[str], rounds: int) -> np.ndarray:
    """Milliseconds of each text by each way, ``[ways, rounds * texts]``."""
    for ask in ways.values():
        for text in texts[:20]:
            ask(text)

    spent = np.zeros((len(ways), rounds, len(texts)))
    for number in range(rounds):
        order = list(enumerate(ways.values()))
        for place, text in enumerate(texts):
            for way, ask in order if (number + place) % 2 else reversed(order):
                spent[way, number, place] = milliseconds(ask, text)
    return spent.reshape(len(ways), -1)


def interval(these: np.ndarray, those: np.ndarray) -> tuple[float, float]:
    """The middle 90 % of the ratios of medians of resampled requests."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(these), (2000, len(these)))
    ratios = np.median(these[chosen], axis=1) / np.median(those[chosen], axis=1)
    low, high = np.quantile(ratios, [0.05, 0.95])
    return float(low), float(high)


def main() -> int:
    """Measure, and print a line a way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    from transformers import pipeline

    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    piped = pipeline("text-classification", model=str(EMBEDDED), top_k=None)
    ways: dict[str, Callable[[str], object]] = {"pipeline": lambda text: piped([text])}
    for dtype in ("float32", "int8"):
        classifier = GoEmotionsClassifier(dtype=dtype)
        ways[f"classifier {dtype}"] = lambda text, own=classifier: own.predict([text])

    texts = real_texts()[: options.texts]
    spent = measured(ways, texts, options.rounds)
    print(f"{len(texts)} texts, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, row in zip(ways, spent, strict=True):
        low, high = interval(row, spent[0])
        p50, p90 = np.quantile(row, [0.5, 0.9])
        ratio = statistics.median(row) / statistics.median(spent[0])
        print(
            f"{name:20s} p50 {p50:6.2f} ms  p90 {p90:6.2f} ms"
            f"  p50 / pipeline {ratio:.3f} ({low:.3f} to {high:.3f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
