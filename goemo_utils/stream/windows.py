"""Windows of time: how many texts had which label, by key. Pure functions and the plan of Quix."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from goemo_utils.errors import ParamsError

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class Span:
    """A length of time in milliseconds."""

    ms: int

    @classmethod
    def parse(cls, text: str, option: str, least: int = 1) -> Span:
        """``5s``, ``500ms``, ``1m``, ``2h`` or ``7d``; raises ParamsError for anything else and for
        less than ``least`` milliseconds.
        """
        match = re.fullmatch(r"(\d{1,9})(ms|s|m|h|d)", text)
        ms = int(match[1]) * UNITS[match[2]] if match else -1
        if ms < least:
            raise ParamsError(
                f"{option} is '{text}': expected a length of time of at least {least} ms, such as"
                " 500ms, 5s, 1m, 2h or 7d."
            )
        return cls(ms)


def begin(answer: dict[str, Any]) -> dict[str, Any]:
    """What a window holds after its first answer."""
    return add({"texts": 0, "labels": {}}, answer)


def add(held: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What a window holds after one answer more."""
    labels = dict(held["labels"])
    for one in answer["labels"]:
        labels[one["label"]] = labels.get(one["label"], 0) + 1
    return {"texts": held["texts"] + 1, "labels": labels}


def row(key: str, start: int, end: int, held: dict[str, Any]) -> dict[str, Any]:
    """A closed window as it is written: per label how many texts had it, and their share of all
    texts of this key in this window.
    """
    texts = held["texts"]
    labels = {
        label: {"count": count, "share": round(count / texts, 6)}
        for label, count in sorted(held["labels"].items(), key=lambda item: (-item[1], item[0]))
    }
    return {"key": key, "start": start, "end": end, "texts": texts, "labels": labels}


def is_new(answer: dict[str, Any], state: Any) -> bool:
    """Whether an answer is counted: not a second time, when a killed consumer's messages come
    again. Per key, and a key is in one partition: answers come in the order of their offsets.
    """
    _, partition, offset = answer["id"].rsplit("/", 2)
    last = state.get(f"last/{partition}", default=-1)
    if int(offset) <= last:
        return False
    state.set(f"last/{partition}", int(offset))
    return True


def plan(frame: Any, topic: Any, window: Span, grace: Span, late: Callable[[], None]) -> Any:
    """The dataframe of Quix from answers to closed windows in ``topic``.

    Time is each key's own: partitions are read at different speeds, above all when a group catches
    up, and whatever waits in a slower one would be too late by the clock of a faster one.
    """

    def on_late(*_: Any, **__: Any) -> bool:
        late()
        return False  # Quix need not log it too

    frame = frame.group_by(
        lambda answer: answer["key"], name="by-key", key_serializer="str", key_deserializer="str"
    )
    frame = frame.filter(is_new, stateful=True)
    closed = (
        frame.tumbling_window(timedelta(milliseconds=window.ms), grace_ms=grace.ms, on_late=on_late)
        .reduce(reducer=add, initializer=begin)
        .final()
    )
    rows = closed.apply(
        lambda value, key, timestamp, headers: row(
            key, value["start"], value["end"], value["value"]
        ),
        metadata=True,
    )
    return rows.to_topic(topic, key=lambda value: f"{value['key']}/{value['start']}")
