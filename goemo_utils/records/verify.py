"""Whether a run folder still holds what its records say: the hashes of artefacts, and the digests
by which later records name earlier ones.

This finds damage and edits made in passing. It proves nothing against somebody who rewrites records
and hashes together: records are not signed.
"""

from __future__ import annotations

from pathlib import Path

from goemo_utils.errors import RecordError
from goemo_utils.records.record import READS, STEPS, StepRecord, read_record, sha256_file
from goemo_utils.records.step import record_digest


def altered_artefact(record: StepRecord, folder: Path) -> str | None:
    """Which artefact of a record is missing or has another hash, in words; None when none has."""
    for artefact in record.artefacts:
        name = artefact["path"]
        kept = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return f"{name} lies outside the run"
        if not kept.is_file():
            return f"{name} is missing"
        if sha256_file(kept) != artefact["sha256"]:
            return f"{name} was altered"
    return None


def alterations(folder: Path) -> list[str]:
    """A sentence for every finished step whose artefacts, or whose own record, are no longer what
    was recorded; empty when all are. Damaged records are another's matter and left out here.
    """
    records: dict[str, StepRecord] = {}
    for step in STEPS:
        try:
            record = read_record(folder / f"{step}.json")
        except RecordError:
            continue
        if record.status == "ok":
            records[step] = record

    found = [
        f"{said} since {step} recorded it"
        for step, record in records.items()
        if (said := altered_artefact(record, folder))
    ]
    for step, record in records.items():
        for earlier in READS[step]:
            known = record.inputs.get(earlier)
            if known and earlier in records and known != record_digest(records[earlier]):
                found.append(f"{earlier}.json was altered since {step} read it")
    return found
