"""How fast this machine multiplies matrices, and how many texts a second that allows: the limit
beside which the rates stand.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import torch
from torch import nn

from goemo_utils.classifier.int8 import Int8Linear
from goemo_utils.classifier.packed import PackedLinear
from goemo_utils.throughput.protocol import Clock

ROWS = 512
CALLS = 9


def products(
    model: nn.Module, tokens_per_text: float, clock: Clock = process_time
) -> dict[str, Any]:
    """Rates in GFLOP/s of all threads, at best of CALLS, of the model's largest product in a layer,
    and GFLOP of all linear layers for a text.

    By processor time, so that they are the machine's own when neighbours are busy; ``clock`` counts
    the seconds of all threads together.

    ``rates``: plain (``nn.Linear``, float32), packed (for oneDNN, float32), packed_bfloat16 and
    packed_int8 (of numbers already quantised); None where this torch cannot. A product of m × k by
    k × n counts as 2·m·k·n operations. ``gflop_per_text`` passes every real token through every
    linear layer; ``texts_per_second`` is a rate divided by it.
    """
    encoder: Any = model.base_model
    layers = [
        layer
        for name, layer in encoder.named_modules()
        if isinstance(layer, nn.Linear) and "pooler" not in name
    ]
    if not layers:
        return {"shape": None, "rates": {}, "gflop_per_text": None, "texts_per_second": {}}
    largest = max(layers, key=lambda layer: layer.in_features * layer.out_features)
    shape = (ROWS, largest.in_features, largest.out_features)

    work = 2e-9 * tokens_per_text * sum(layer.in_features * layer.out_features for layer in layers)
    rates = {
        name: _rate(build, shape, dtype, clock)
        for name, build, dtype in (
            ("plain", lambda linear: linear, torch.float32),
            ("packed", PackedLinear, torch.float32),
            ("packed_bfloat16", PackedLinear, torch.bfloat16),
            ("packed_int8", Int8Linear, torch.float32),
        )
    }

    return {
        "shape": list(shape),
        "rates": rates,
        "gflop_per_text": work,
        "texts_per_second": {name: rate and rate / work for name, rate in rates.items()},
    }


def _rate(
    build: Callable[[nn.Linear], nn.Module],
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    clock: Clock,
) -> float | None:
    rows, width, out = shape
    try:
        with torch.inference_mode():
            product: Any = build(nn.Linear(width, out, dtype=dtype))
            x = torch.ones(rows, width, dtype=dtype)
            if not isinstance(product, nn.Linear):
                x = product.ready(x, rows)
            product(x)
            seconds = []

            for _ in range(CALLS):
                started = clock()
                product(x)
                seconds.append(clock() - started)
    except (RuntimeError, AttributeError, NotImplementedError):
        return None

    return torch.get_num_threads() * 2e-9 * rows * width * out / max(min(seconds), 1e-9)
