"""Did the weights arrive? Every parameter and buffer is read back from the device and compared bit
for bit, and every table of embeddings gives each of its rows back.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from goemo_utils.parity.twins import Twins

ROWS = 8192
"""Rows of a table looked up at a time."""


@torch.no_grad()
def read_back(twins: Twins) -> dict[str, Any]:
    """How many tensors, values and table rows were compared, and which differ (``faults``, as the
    place of a fault is told).
    """
    faults: list[dict[str, Any]] = []
    values = tensors = rows = 0
    # Tables that share one tensor (BART, T5) have it under each name.
    here: dict[str, Tensor] = {
        **dict(twins.reference.named_parameters(remove_duplicate=False)),
        **dict(twins.reference.named_buffers(remove_duplicate=False)),
    }

    for name, there in _named(twins.candidate):
        tensors, values = tensors + 1, values + there.numel()
        faults += _differing(name, here[name], there)

    twins.attach(twins.candidate)
    for name, module in twins.candidate.named_modules():
        if isinstance(module, nn.Embedding):
            rows += module.num_embeddings
            known = any(f["module"] == f"{name}.weight" for f in faults)
            faults += [] if known else _table(name, module, here[f"{name}.weight"])

    return {"tensors": tensors, "values": values, "table_rows": rows, "faults": faults}


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _differing(name: str, here: Tensor, there: Tensor) -> list[dict[str, Any]]:
    back = there.detach().cpu()
    if back.shape != here.shape or back.dtype != here.dtype:
        return [fault(name, f"arrived as {back.dtype} {tuple(back.shape)}")]
    bad = (
        ~((back == here) | (back.isnan() & here.isnan()))
        if back.is_floating_point()
        else back != here
    )
    if not bool(bad.any()):
        return []
    nan = bool((back.isnan() & ~here.isnan()).any()) if back.is_floating_point() else False
    return [fault(name, _told(bad, "is NaN on the device" if nan else "differs from the file"))]


def _table(name: str, table: nn.Embedding, here: Tensor) -> list[dict[str, Any]]:
    """Every row of a table of embeddings, looked up on the device."""
    seen = torch.empty_like(here)
    for start in range(0, table.num_embeddings, ROWS):
        places = torch.arange(start, min(start + ROWS, table.num_embeddings))
        there = places.unsqueeze(0).to(table.weight.device)
        # One that scales what it finds, or counts places itself (BART), is asked as a plain table.
        plain = type(table).forward is nn.Embedding.forward
        rows = (table(there) if plain else nn.functional.embedding(there, table.weight))[0]
        seen[places] = rows.cpu().reshape(len(places), -1)

    wrong = ~((seen == here) | (seen.isnan() & here.isnan())).all(1)
    if not bool(wrong.any()):
        return []

    kind = next((kind for kind, pattern in TABLES.items() if pattern.search(name)), "weights")
    if int(wrong.sum()) <= len(wrong) / 2 and len(wrong) > 2:
        kind = "weights"

    shifts = (1, -1, 2, -2) if len(here) > 4 else ()
    shift = next((d for d in shifts if torch.equal(_rows(seen, -d), _rows(here, d))), None)
    told = _told(wrong.unsqueeze(1), "is looked up wrong on the device")

    if not bool(seen.any()):
        told = "gives zeros on the device"
    elif shift is not None:
        told = f"gives row n{shift:+d} for row n on the device"

    return [fault(name, told, kind)]


def _rows(table: Tensor, by: int) -> Tensor:
    """The rows without the first (positive) or last (negative) so many."""
    return table[by:] if by > 0 else table[:by]


TABLES = {
    "position": re.compile(r"(?:^|\.)(?:position_embeddings?|embed_positions|wpe)$"),
    "segment": re.compile(r"(?:^|\.)(?:token_type_embeddings|seg_embed)$"),
    "relative bias": re.compile(r"(?:^|\.)relative_attention_bias$"),
}
"""Tables whose fault has a name of its own, by their paths."""


def _told(bad: Tensor, what: str) -> str:
    rows = bad.reshape(len(bad), -1).any(1).nonzero().flatten().tolist() if bad.dim() else [0]
    first = ", ".join(map(str, rows[:4])) + (", …" if len(rows) > 4 else "")
    return f"{what} in {len(rows)} of {len(bad) if bad.dim() else 1} rows: {first}"


def fault(
    module: str, reading: str, kind: str = "weights", operator: str = "weights"
) -> dict[str, Any]:
    """What is wrong without a call of the model that shows it, in the form of a call's fault."""
    return {
        "module": module,
        "operator": operator,
        "ratio_rms": "infinite",
        "ratio_max": "infinite",
        "calls": 1,
        "hot_calls": 1,
        "gain": None,
        "reading": reading,
        "kind": kind,
        "shapes": [],
    }
