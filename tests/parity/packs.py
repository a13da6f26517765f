"""Packs made in memory: gold in float64, reference and candidate with known errors."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Pack:
    """Stands for goemo_utils.forward.pack.Pack where no file is needed."""

    tensors: dict[str, np.ndarray]
    manifest: dict[str, Any] = field(default_factory=dict)


def manifest(n_texts: int, n_labels: int, **changes: Any) -> dict[str, Any]:
    return {
        "texts_digest": "sha256:t",
        "input_ids_digest": "sha256:i",
        "n_texts": n_texts,
        "n_tokens": 5 * n_texts,
        "task": "multi_label",
        "labels": [f"label{i}" for i in range(n_labels)],
        "dtype": "float32",
        "simulated": False,
        "repeat_equal": True,
        "fallbacks": [],
        "model": {"weights_sha256": "w", "tokenizer_sha256": "k"},
        "placement": {
            "on_device": True,
            "expected": "npu:0",
            "parameters_device": ["npu:0"],
            "output_device": "npu:0",
        },
    } | changes


def three(
    n_texts: int = 40,
    n_labels: int = 28,
    error: float = 1e-6,
    layers: int = 3,
    seed: int = 0,
    **changes: Any,
) -> tuple[Pack, Pack, Pack]:
    """Gold, reference and candidate whose errors are independent and of the same size."""
    rng = np.random.default_rng(seed)
    shapes = {"logits": (n_texts, n_labels)} | {
        f"hidden.{i}": (5 * n_texts, 16) for i in range(layers)
    }
    gold = {k: rng.normal(-1, 2, s) for k, s in shapes.items()}

    def noisy():
        return {
            k: (v + error * rng.standard_normal(v.shape)).astype(np.float32)
            for k, v in gold.items()
        }

    facts = manifest(n_texts, n_labels, **changes)
    return Pack(gold, dict(facts)), Pack(noisy(), dict(facts)), Pack(noisy(), dict(facts))
