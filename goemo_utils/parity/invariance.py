"""Does a text's answer depend on its neighbours in the batch, on their order, or on padding?

Measured on the device and on the reference. Twice and reordered must agree to the bit; other batch sizes and paddings
up to rounding, in units of the accepted rung's own noise. Needs no gold, and sees an ignored padding mask at once.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.parity.twins import States, Twins, largest, rms

PADDING = 16


def ways(n: int, size: int, longest: int) -> list[dict[str, Any]]:
    """How the same texts are run again: name, order, batch size and padded length."""
    backwards = list(range(n - 1, -1, -1))
    found: list[dict[str, Any]] = [
        {"id": "again", "name": "a second time", "size": size},
        {"id": "reordered", "name": "in reverse order within the batch", "size": size, "order": backwards},
        {"id": "alone", "name": "alone", "size": 1},
    ]
    if size > 2:
        found.append({"id": "halves", "name": f"in batches of {max(1, size // 2)}", "size": max(1, size // 2)})
    return [*found, {"id": "padded", "name": f"padded to {longest + PADDING} tokens", "size": size, "pad_to": longest + PADDING}]


def by_text(twins: Twins, states: States, lengths: Sequence[int], order: Sequence[int] | None) -> Tensor:
    """The judged state with texts back in their own order: logits by row, hidden states by each text's tokens."""
    name = twins.main(states)
    if order is None:
        return states[name]
    if name == "logits":
        parts = states[name].split(1)
    else:
        parts = states[name].split([lengths[i] for i in order])
    back = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat([parts[i] for i in back])


def measure(twins: Twins, texts: Sequence[str], max_length: int, noise: float, noise_max: float) -> dict[str, Any]:
    """Run one batch of texts in several ways on both sides; ``noise`` is the accepted rung's on the judged state."""
    texts = list(texts)
    batch = twins.batches(texts, max_length, len(texts))
    lengths = batch[0]["attention_mask"].sum(1).tolist()
    longest = int(max(lengths))
    room = min(max_length, twins.loaded.max_length)
    rows: list[dict[str, Any]] = []
    twins.attach(twins.candidate)
    for side, model in (("candidate", twins.candidate), ("reference", twins.reference)):
        base = by_text(twins, twins.run(model, batch, hidden=False), lengths, None)
        for way in ways(len(texts), len(texts), min(longest, room - PADDING) if longest + PADDING > room else longest):
            if way.get("pad_to") and way["pad_to"] <= longest:
                continue  # a text already fills the model: there is nothing left to pad to
            rows.append({"side": side, **_row(twins, model, way, texts, lengths, max_length, base, noise, noise_max)})
    return {"n": len(texts), "noise": noise, "noise_max": noise_max, "quantity": "logits" if twins.loaded.task != "encoder" else "hidden states", "rows": rows}


def _row(
    twins: Twins, model: nn.Module, way: dict[str, Any], texts: list[str], lengths: Sequence[int], max_length: int, base: Tensor, noise: float, noise_max: float
) -> dict[str, Any]:
    order = way.get("order")
    given = [texts[i] for i in order] if order else texts
    states = twins.run(model, twins.batches(given, max_length, way["size"], way.get("pad_to")), hidden=False)
    other = by_text(twins, states, lengths, order)
    spread, top = rms(other, base), largest(other, base)
    unit = lambda value, by: None if value != value else value / by if by > 0 else (0.0 if value == 0 else None)
    return {
        "id": way["id"], "name": way["name"], "equal": float(((other == base) | (other.isnan() & base.isnan())).double().mean()), "rms": None if spread != spread else spread,
        "max": None if top != top else top, "rms_noise": unit(spread, noise), "max_noise": unit(top, noise_max),
    }  # fmt: skip
