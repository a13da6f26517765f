"""Above which probability a label counts: what was asked, else the model's own thresholds, else 0.3
for every label.

A multi-label checkpoint may hold one threshold a label in ``thresholds.json`` beside its weights,
as fine-tuning here writes it:

    {"schema": "goemo.thresholds/1", "thresholds": {"joy": 0.41, …}, "tuned_on": {"texts": 4341,
    "sha256": "…"}, "criterion": "…"}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goemo_utils.boundary.regular import read_regular, what_is
from goemo_utils.errors import ModelError, ParamsError

FILE = "thresholds.json"
SCHEMA = "goemo.thresholds/1"
COMMON = 0.3
KEYS = {"schema", "thresholds", "tuned_on", "criterion"}

Threshold = float | list[float]
"""One probability for every label, or one a label in label order."""


def read(folder: Path, labels: Sequence[str], task: str) -> list[float] | None:
    """The thresholds that a model folder holds, in label order; None where it holds none, and for
    an encoder, which decides nothing.

    Raises ModelError in a sentence when the file is broken, does not name every label once, or
    belongs to a single-label model.
    """
    path = folder / FILE
    if task == "encoder" or what_is(path) == "nothing":
        return None

    found = _contents(path)
    if task != "multi_label":
        raise ModelError(
            f"{path} holds thresholds and the model's task is {task}, which takes the most probable"
            " label: expected thresholds only beside a multi_label model. Remove the file, or set"
            " problem_type in config.json."
        )

    given = found["thresholds"]
    missing = [label for label in labels if label not in given]
    unknown = [name for name in given if name not in labels]

    if missing or unknown or len(set(labels)) != len(labels):
        wrong = [_some("missing", missing), _some("unknown", unknown)]
        said = "; ".join(part for part in wrong if part) or "the model names a label twice"
        raise ModelError(
            f"{path} names {len(given)} labels and the model has {len(labels)}: {said}. Expected"
            " each label of config.json exactly once. Tune the thresholds again, or remove the"
            " file."
        )

    for label, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise ModelError(
                f"{path} gives {_cut(label)} the threshold {_cut(value)}: expected a number above 0"
                " and below 1. Tune the thresholds again, or remove the file."
            )

    return [float(given[label]) for label in labels]


def _some(what: str, names: Sequence[str]) -> str:
    """``missing 'a', 'b', …``, or nothing without names."""
    if not names:
        return ""
    more = ", …" if len(names) > 5 else ""
    return f"{what} {', '.join(map(_cut, names[:5]))}{more}"


def effective(asked: Any, info: Mapping[str, Any]) -> Threshold:
    """The threshold in use: ``asked`` (a number, or one a label), else the model's own (``info`` of
    a loaded model or of its record), else 0.3.

    Raises ParamsError for a number outside 0 to 1, or for another count of thresholds than labels.
    """
    if asked is None:
        own = info.get("thresholds")
        return [float(t) for t in own] if own else COMMON

    several, labels = np.ndim(asked) == 1, list(info.get("labels") or [])
    values = list(asked) if several else [asked]
    if several and (not values or (labels and len(values) != len(labels))):
        raise ParamsError(
            f"{len(values)} thresholds were given for {len(labels)} labels; expected one number, or"
            " one per label in label order."
        )

    for value in values:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not 0 < value < 1
        ):
            raise ParamsError(f"The threshold is {value!r}; it must lie between 0 and 1.")

    return [float(v) for v in values] if several else float(asked)


def above(probabilities: Any, threshold: Any) -> np.ndarray:
    """Which probabilities count: those above ``threshold`` (one number, or one a label), of the
    same shape.

    Both are compared in float32, the precision of every probability that a user is shown: a printed
    probability, given back as the threshold, is never above itself. NaN is above nothing. Whoever
    decides anywhere in this package asks here; the published program compares in the same way.
    """
    given = np.asarray(probabilities).astype(np.float32)
    decided: np.ndarray = given > np.asarray(threshold).astype(np.float32)
    return decided


def described(threshold: Any) -> str:
    """A threshold in a few words: ``0.3``, or ``28 thresholds, 0.12 to 0.61``."""
    if isinstance(threshold, (int, float)):
        return f"{threshold:g}"
    low, high = min(threshold), max(threshold)
    return f"{len(threshold)} thresholds, {_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 0.995 else f"{value:.6g}"


def origin(asked: Any, info: Mapping[str, Any]) -> str:
    """A sentence for a user: which threshold is in use, and why."""
    used = effective(asked, info)
    if asked is not None:
        return f"Threshold: {described(used)}, as asked."
    if info.get("thresholds"):
        return f"Threshold: the model's own, {described(used)}."
    return f"Threshold: {described(used)}, because the model has none of its own."


def _contents(path: Path) -> dict[str, Any]:
    """The file's object, its keys checked; a name that stands twice is refused, because JSON
    readers keep either.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"the name '{twice}' stands in it twice")
        return dict(pairs)

    try:
        found = json.loads(read_regular(path).decode("utf-8"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} cannot be read"
            f" ({str(error).splitlines()[0] if str(error) else type(error).__name__}): expected"
            f" JSON of the schema {SCHEMA}. Tune the thresholds again, or remove the file."
        ) from None
    if wrong := _wrong_contents(found):
        raise ModelError(
            f"{path} is no file of thresholds: {wrong}; expected the keys {', '.join(sorted(KEYS))}"
            f" and the schema {SCHEMA}. Tune the thresholds again, or remove the file."
        )
    return dict(found)


def _wrong_contents(found: Any) -> str | None:
    """What is wrong with the object of a file; None when nothing is."""
    if not isinstance(found, dict):
        return "it is no object"
    if set(found) - KEYS or "thresholds" not in found:
        return f"its keys are {', '.join(map(_cut, list(found)[:8]))}"
    if found.get("schema") != SCHEMA:
        return f"its schema is {_cut(found.get('schema'))}"
    if not isinstance(found["thresholds"], dict):
        return "its thresholds are no object of label to number"
    return None


def _cut(value: Any) -> str:
    """A value of a stranger's file as an error may show it: no longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
