"""Read a run folder: the manifest, the step records, and the state each step is really in."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goemo_utils.errors import GoemoError, RecordError
from goemo_utils.records.record import REQUIRES, read_json, read_record, sha256_file
from goemo_utils.report.outdated import overtaken_by

STEPS = ("00_environment", "01_load", "02_smoke", "03_parity", "04_throughput")
OUTDATED = "outdated"
"""The state of a step whose record is sound, and older than what it builds on."""


class ReportError(GoemoError):
    """The records of a run cannot be shown: one is unreadable, blank, a placeholder, or contradicts
    another.
    """


@dataclass(frozen=True)
class StepState:
    """What became of a step: its status, why, how long it took, its record file's digest."""

    step: str
    status: str
    reason: str | None
    seconds: float | None
    sha256: str | None


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it. ``results`` holds only steps that finished; the others are in
    ``states``.
    """

    folder: Path
    manifest: dict[str, Any]
    records: dict[str, dict[str, Any]]
    results: dict[str, dict[str, Any]]
    states: dict[str, StepState]

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return str(self.manifest["run_id"])

    @property
    def params(self) -> dict[str, Any]:
        """Parameters as resolved."""
        return dict(self.manifest["params"])

    @property
    def simulated(self) -> bool:
        """Whether any part of the run was computed by the simulated device, or was meant to be.

        One sign is enough: a rehearsal that forgot to say so somewhere must still not look like a
        port.
        """
        packs = self.of("03_parity").get("packs") or {}
        signs = [
            self.manifest.get("simulated"),
            str(self.params.get("device", "")).startswith("rehearsal"),
        ]
        signs += [record.get("simulated") for record in self.records.values()]
        signs += [(pack or {}).get("simulated") for pack in packs.values()]
        signs.append(self.device.get("simulated"))

        return any(bool(sign) for sign in signs)

    @property
    def genuine(self) -> bool:
        """Whether the simulated device was the genuine torch_npu on a SIMULATED CANN."""
        return "SIMULATED CANN" in str(self.device.get("name"))

    @property
    def missing(self) -> list[StepState]:
        """Steps that did not finish, in order."""
        return [state for state in self.states.values() if state.status != "ok"]

    def of(self, step: str) -> dict[str, Any]:
        """Results of a step; empty when it did not finish."""
        return self.results.get(step, {})

    @property
    def device(self) -> dict[str, Any]:
        """The device as the load step found it, or as the candidate pack did; empty when neither
        ran.
        """
        candidate = (self.of("03_parity").get("packs") or {}).get("candidate") or {}
        return self.of("01_load").get("device") or candidate.get("device") or {}

    @property
    def told(self) -> dict[str, Any]:
        """What the simulated device was told to imitate, ``numerics`` and ``fault``: as the run
        that was compared had it, else as the load step had.
        """
        candidate = (self.of("03_parity").get("packs") or {}).get("candidate") or {}
        asked = {
            "numerics": self.params.get("rehearsal_numerics"),
            "fault": self.params.get("rehearsal_fault"),
        }
        chosen = candidate if candidate.get("numerics") else self.device
        return {key: chosen.get(key) or value for key, value in asked.items()}

    @property
    def model(self) -> dict[str, Any]:
        """The model as the load step found it; empty when it did not finish."""
        return self.of("01_load").get("model") or {}


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises ReportError when there is no manifest, or when a manifest or record lacks what every one
    of them has.
    """
    folder = Path(folder)
    try:
        manifest = read_json(folder / "manifest.json")
        records = {
            step: read_record(folder / f"{step}.json").dump()
            for step in STEPS
            if (folder / f"{step}.json").exists()
        }
    except RecordError as error:
        raise ReportError(str(error)) from None

    if not isinstance(manifest, dict):
        raise ReportError(
            f"manifest.json holds a {type(manifest).__name__}, expected an object: start the run"
            " again."
        )

    for key, kind in (("run_id", str), ("params", dict), ("started", str), ("updated", str)):
        if not isinstance(manifest.get(key), kind) or not manifest[key]:
            raise ReportError(
                f"manifest.json: {key} is {manifest.get(key)!r}, expected a {kind.__name__} that is"
                " not empty: start the run again."
            )

    told = {
        entry.get("step"): entry for entry in manifest.get("steps") or [] if isinstance(entry, dict)
    }
    states = {
        step: _state(step, told.get(step, {}), records.get(step), folder / f"{step}.json")
        for step in STEPS
    }
    for step in records:
        builds_on_old = any(states[earlier].status == OUTDATED for earlier in REQUIRES[step])
        if states[step].status == "ok" and (builds_on_old or overtaken_by(step, records)):
            states[step] = replace(states[step], status=OUTDATED)
    results = {
        step: record["results"] for step, record in records.items() if states[step].status == "ok"
    }

    return Run(folder, manifest, records, results, states)


def _state(step: str, told: dict[str, Any], record: dict[str, Any] | None, path: Path) -> StepState:
    """Combine what the chain says and what the step left: a record proves that a step finished, a
    manifest only that it began.
    """
    said, reason = told.get("status"), told.get("reason") or None
    if record is None:
        status = said if said in ("failed", "timeout", "died", "skipped") else "not-run"
        return StepState(
            step,
            status,
            "it left no record" if said == "ok" else reason,
            _seconds(told.get("seconds")),
            None,
        )

    status = said if said in ("failed", "timeout", "died") else record["status"]
    why = None if status == "ok" else record.get("reason") or reason

    return StepState(step, status, why, _seconds(record.get("seconds")), sha256_file(path))


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
