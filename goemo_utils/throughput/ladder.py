"""The rungs of making a classifier faster, in the order in which they pay: each a row with its
speed and with what it changes in the answers.
"""

from __future__ import annotations

from typing import Any

RUNGS: tuple[dict[str, Any], ...] = (
    {"id": "padded", "rung": "padded batches, eager", "method": "padded"},
    {"id": "sorted", "rung": "length sorting", "method": "sorted"},
    {
        "id": "classifier",
        "rung": "the classifier: a budget of tokens; packed, no padding where the CPU allows",
        "method": "classifier",
    },
    {"id": "bfloat16", "rung": "bfloat16", "method": "classifier", "dtype": "bfloat16"},
    {
        "id": "sdpa",
        "rung": "fused attention (sdpa), bfloat16",
        "method": "classifier",
        "dtype": "bfloat16",
        "attn_implementation": "sdpa",
    },
    {"id": "compile", "rung": "torch.compile, float32", "method": "sorted", "compile": True},
    {"id": "int8", "rung": "int8", "method": "classifier", "dtype": "int8"},
)


def rungs(device: str) -> list[dict[str, Any]]:
    """The rungs as arms on ``device``. One that cannot run there leaves a row that says why when it
    is built.
    """
    return [{**rung, "device": device} for rung in RUNGS]


def climb(rows: list[dict[str, Any]], prefix: str = "ladder-") -> list[dict[str, Any]]:
    """The ladder read from the rows of a run: rung, rate, its multiple of the first rung, parity,
    or why it is absent.
    """
    measured = {row["id"].removeprefix(prefix): row for row in rows if row["id"].startswith(prefix)}
    first = next(
        (
            measured[rung["id"]]["median"]
            for rung in RUNGS
            if rung["id"] in measured and measured[rung["id"]]["median"]
        ),
        None,
    )

    told = []
    for rung in RUNGS:
        row = measured.get(rung["id"])
        if row is None:
            continue
        times = row["median"] / first if row["median"] and first else None
        told.append(
            {
                "rung": rung["rung"],
                "id": row["id"],
                "configuration": row["configuration"],
                "median": row["median"],
                "ci95": row["ci95"],
                "times_first": times,
                "parity": row["parity"],
                "reason": row["reason"],
            }
        )

    return told
