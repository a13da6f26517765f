"""Records that a later run of an earlier step has overtaken: what they say belongs to other values
than the run has now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goemo_utils.params.reads import READS
from goemo_utils.records.record import REQUIRES

Records = Mapping[str, Mapping[str, Any]]
# What one step quotes of another: (step, its field, the other step, its field).
QUOTED = (("04_throughput", "parity_verdict", "03_parity", "verdict"),)


def overtaken_by(step: str, records: Records) -> str | None:
    """The earlier step that was run again after ``step`` with another outcome; None where the
    record still belongs to the run.
    """
    for key in READS[step].fixed:
        earlier = decided_by(step, key, records)
        if earlier and _ran_later(records[earlier], records[step]):
            before, after = (records[s]["params"].get(key) for s in (step, earlier))
            if before != after:
                return earlier

    for quoting, field, quoted, said in QUOTED:
        if quoting != step or quoted not in records:
            continue
        told = records[step]["results"].get(field)
        now = records[quoted]["results"].get(said)
        if told not in (None, now) and _ran_later(records[quoted], records[step]):
            return quoted
    return None


def decided_by(step: str, key: str, records: Records) -> str | None:
    """The nearest earlier step on whose value of ``key`` a step builds, as ``Step.begin`` takes it
    over.
    """
    if key not in (records[step].get("params") or {}):
        return None
    needed = reversed(REQUIRES[step])
    return next((s for s in needed if key in (records.get(s, {}).get("params") or {})), None)


def _ran_later(record: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a step began after another had ended; both are UTC in one form."""
    began, ended = record.get("started"), other.get("ended")
    return bool(began and ended and began >= ended)
