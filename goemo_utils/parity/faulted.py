"""The table of calls at fault, completed by what the probe, the weights and whole forwards show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goemo_utils.parity import weights
from goemo_utils.parity.place import add_accumulated
from goemo_utils.parity.row import Row


def completed(
    table: dict[str, Any],
    rows: Sequence[Row],
    arrived: Mapping[str, Any],
    answers: Mapping[str, Any],
) -> dict[str, Any]:
    """The table of calls with the faults of products as the probe read them in ``answers``, of the
    weights that ``arrived``, and of every call, each with where alone it shows.
    """
    table["faults"] = [*_narrowed(answers), *arrived["faults"], *table["faults"]]
    table["weights"] = {k: v for k, v in arrived.items() if k != "faults"}
    shapes = {(row.shape.texts, row.shape.tokens) for row in rows}
    for fault in table["faults"]:
        fault["only"] = _only(fault.pop("shapes", []), shapes)
    return table


def accumulate(cause: Mapping[str, Any] | None, place: Mapping[str, Any] | None) -> None:
    """The error at each layer's output, beneath the map of calls."""
    if cause is None or place is None:
        return
    layers = {
        int(row["state"].split(".")[1]): row["R"]
        for row in cause["states"]
        if row["state"] != "logits"
    }
    add_accumulated(place["heat"], layers)


def _narrowed(answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fault of products that do not keep operands of half precision; none in float32, where a
    rounding is a claim.
    """
    sides = answers.get("half_operands", {})
    rounded = sorted({str(told) for told in sides.values() if told is not None})
    if not rounded:
        return []
    told = f"operands of {answers['dtype']} are rounded as {' and '.join(rounded)}"
    return [weights.fault("all products", told, "kernel", "matmul")]


def _only(hot: Sequence[tuple[int, int]], run: set[tuple[int, int]]) -> str | None:
    """Where alone a call is at fault, if batches or lengths tell: beyond a length, from a number of
    texts on, or in some numbers alone; None where it is at fault everywhere.
    """
    cold = run - set(hot)
    if not hot or not cold:
        return None
    for axis, words in ((1, "batches of {} tokens and more"), (0, "batches of {} texts and more")):
        least, most = min(shape[axis] for shape in hot), max(shape[axis] for shape in hot)
        if all(shape[axis] < least for shape in cold):
            return "only in " + words.format(least)
        if all(shape[axis] > most for shape in cold):
            return "only in " + words.replace("and more", "and fewer").format(most)
    for axis, unit in ((1, "tokens"), (0, "texts")):
        numbers = sorted({shape[axis] for shape in hot})
        if not {shape[axis] for shape in cold} & set(numbers):
            return f"only in batches of {', '.join(map(str, numbers))} {unit}"
    return f"only in {len(hot)} of {len(run)} shapes of batches"
