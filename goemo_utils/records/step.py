"""One step of a run, seen from its notebook: begin (read what came before), finish (leave the
record).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.credentials import at_home
from goemo_utils.errors import RecordError
from goemo_utils.params.reads import narrowed, recorded
from goemo_utils.records import digests
from goemo_utils.records.manifest import new_manifest, write_manifest
from goemo_utils.records.record import (
    READS,
    REQUIRES,
    STEPS,
    Status,
    StepRecord,
    environment_digest,
    notebook_digest,
    now,
    package_digest,
    plain,
    read_json,
    read_record,
    seconds_between,
    sha256_file,
    sha256_json,
    write_json,
)
from goemo_utils.records.taken import take_over
from goemo_utils.records.weights import read_files

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.figure import Figure

    from goemo_utils.params import Params

EMBEDDED = Path(__file__).resolve().parents[1] / "embedded"


def run_dir(params: Params) -> Path:
    """The run's folder: ``<output_root>/<run_id>``; a notebook opened by hand writes to the run
    called ``lab``.
    """
    return Path(params.output_root) / (params.run_id or "lab")


def file_digests(params: Params) -> dict[str, str]:
    """Digests of the files a run reads: checkpoint, file of texts, reference pack; hub models go by
    name and revision. Raises ModelError for a folder that cannot be loaded as it is.
    """
    name = params.model.removeprefix("random:")
    folder = EMBEDDED if name == "embedded" else Path(name)
    found = {"model": sha256_json([params.model, params.revision])}
    if folder.is_dir():
        found["model"] = digests.of_paths(read_files(folder), folder)

    for key in ("texts", "reference"):
        path = Path(getattr(params, key))
        for candidate in (path, path.with_name(path.name + ".json")):
            if candidate.is_file():
                found[key] = sha256_file(candidate)

    return found


def inputs_of(step: str, params: Params, folder: Path) -> dict[str, str]:
    """Digests of everything a step's result depends on. Resume compares them one by one and names
    the one that differs.
    """
    seen = narrowed(params, step)
    found = {
        "notebook": notebook_digest(step),
        "package": package_digest(),
        "params": seen.digest,
        "environment": environment_digest(),
        **file_digests(seen),
    }

    for earlier in READS.get(step, ()):
        path = folder / f"{earlier}.json"
        if path.is_file():
            found[earlier] = record_digest(read_record(path))
    return found


def record_digest(record: StepRecord) -> str:
    """Digest of what a record says; the time its step took is not part of that."""
    said = record.dump()
    return sha256_json({k: v for k, v in said.items() if k not in ("started", "ended", "seconds")})


@dataclass
class Step:
    """A step in progress. ``upstream`` holds the records of earlier steps by name; ``params`` are
    those that hold in this step, and ``origin`` names the step that a value was taken over from.
    """

    name: str
    params: Params
    dir: Path
    inputs: dict[str, str]
    upstream: dict[str, dict[str, Any]]
    started: str = field(default_factory=now)
    artefacts: list[Path] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, name: str, params: Params) -> Step:
        """Open the run folder and read the earlier records.

        Raises RecordError naming the notebook to run first when a record this step needs is missing
        or did not finish.
        """
        folder = run_dir(params)
        _check_earlier(name, folder)
        if name == STEPS[-1] and not any((folder / f"{s}.json").is_file() for s in STEPS):
            raise RecordError(
                f"{name} found no step record in the run '{folder.name}' ({folder}). Run"
                f" notebooks/{STEPS[0]}.ipynb first, with the same run_id."
            )

        # Without widgets tqdm warns on import, in red, in the first cell that loads transformers.
        warnings.filterwarnings("ignore", message="IProgress not found")

        upstream = {
            s: read_record(folder / f"{s}.json").dump()
            for s in STEPS[: STEPS.index(name)]
            if (folder / f"{s}.json").is_file()
        }
        taken = take_over(name, params, upstream)
        inputs = inputs_of(name, taken.params, folder)

        folder.mkdir(parents=True, exist_ok=True)
        _manifest(folder, name, taken.params)
        return cls(name, taken.params, folder, inputs, upstream, origin=taken.origin)

    @property
    def simulated(self) -> bool:
        """Whether the rehearsal device takes part, in this step or in one that it reads."""
        if "device" in recorded(self.params, self.name):
            return bool(self.params.simulated)
        return any(record["simulated"] for record in self.upstream.values())

    def results(self, earlier: str) -> dict[str, Any]:
        """The results an earlier step recorded."""
        results: dict[str, Any] = self.upstream[earlier]["results"]
        return results

    def path(self, *parts: str) -> Path:
        """A path inside the run folder, its parent made."""
        path = self.dir.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save_figure(self, figure: Figure, name: str, alt: str) -> Path:
        """Save a matplotlib figure as ``figures/<name>.png`` with its description, and count it
        among the artefacts.
        """
        path = self.path("figures", f"{name}.png")
        figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Description": alt})
        self.artefacts.append(path)
        return path

    def show_figure(self, figure: Figure, name: str, alt: str) -> Image:
        """Save a figure as ``save_figure`` does, and return what was saved for a notebook to show:
        so it is drawn once.
        """
        from IPython.display import Image

        path = self.save_figure(figure, name, alt)
        return Image(filename=path, alt=alt)  # type: ignore[no-untyped-call]  # it has no types

    def keep(self, *paths: Path) -> None:
        """Count files among the step's artefacts; their hashes go into the record."""
        self.artefacts += [Path(p) for p in paths]

    def finish(
        self, verdict: str, results: dict[str, Any], findings: list[dict[str, Any]] | None = None
    ) -> StepRecord:
        """Write the record, last and atomically: from here on the step counts as done."""
        ended = now()
        artefacts = [
            {"path": str(path.relative_to(self.dir)), "sha256": sha256_file(path)}
            for path in self.artefacts
        ]
        # What the machine's variables and folders say of its owner is of no use elsewhere.
        tell = at_home if self.name == STEPS[0] else plain

        record = StepRecord(
            schema="goemo.step/1",
            step=self.name,
            status="ok",
            started=self.started,
            ended=ended,
            seconds=seconds_between(self.started, ended),
            params_digest=self.params.digest,
            params=recorded(self.params, self.name),
            inputs=self.inputs,
            findings=tell(plain(findings or [])),
            verdict=verdict,
            results=tell(plain(results)),
            artefacts=artefacts,
            simulated=self.simulated,
        )

        leave(record, self.dir)
        return record


def _check_earlier(name: str, folder: Path) -> None:
    """Raise RecordError unless every step that ``name`` cannot do without has finished."""
    for earlier in REQUIRES.get(name, ()):
        path = folder / f"{earlier}.json"
        if not path.is_file():
            raise RecordError(
                f"{name} needs the record of {earlier}, and the run '{folder.name}' has none"
                f" ({path}). Run notebooks/{earlier}.ipynb first, with the same run_id"
                f"{_or_another(folder.parent, path.name)}."
            )

        status = read_record(path).status
        if status != "ok":
            raise RecordError(
                f"{name} needs {earlier} to have finished, and its record in the run"
                f" '{folder.name}' says '{status}'. Run notebooks/{earlier}.ipynb again first."
            )


def _or_another(runs: Path, record: str) -> str:
    """Words that name the newest run with a record of that name; none where no run has it."""
    found = [path for path in runs.glob(f"*/{record}") if not path.parent.is_symlink()]
    if not found:
        return ""
    newest = max(found, key=lambda path: path.stat().st_mtime).parent.name
    return f", or set run_id to that of a run that has it, such as {newest!r}"


def _manifest(folder: Path, step: str, params: Params) -> None:
    """Keep the manifest of a run that is made notebook by notebook: what this step reads is put
    over what the steps before read. The chain has written its own already.
    """
    values = recorded(params, step)
    try:
        before = read_json(folder / "manifest.json")["params"]
        if all(before[key] == value for key, value in values.items()):
            return
    except (RecordError, KeyError, TypeError):
        before = {}

    known = {key: before[key] for key in type(params).model_fields if key in before}
    merged = params.model_copy(update={**known, **values, "run_id": folder.name})
    write_manifest(folder, new_manifest(merged, None, ["notebook"]))


def unfinished(
    name: str,
    status: Status,
    params: Params,
    inputs: dict[str, str],
    reason: str,
    started: str | None = None,
) -> StepRecord:
    """The record of a step that did not finish (failed, timeout, died) or never began (not-run),
    with the reason in a sentence.
    """
    ended = now() if started else None
    seconds = seconds_between(started, ended) if started and ended else None

    return StepRecord(
        schema="goemo.step/1",
        step=name,
        status=status,
        started=started,
        ended=ended,
        seconds=seconds,
        params_digest=narrowed(params, name).digest,
        params=recorded(params, name),
        inputs=inputs,
        verdict=None,
        simulated=params.simulated,
        reason=reason,
    )


def leave(record: StepRecord, folder: Path) -> None:
    """Write a record into its run folder, atomically."""
    write_json(folder / f"{record.step}.json", record.dump())
