"""Which steps of a run have to run, and why: resume by digests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goemo_utils.errors import RecordError
from goemo_utils.params.reads import recorded
from goemo_utils.records.record import STEPS, StepRecord, read_record
from goemo_utils.records.step import inputs_of
from goemo_utils.records.verify import altered_artefact

if TYPE_CHECKING:
    from goemo_utils.params import Params

WORDS = {
    "notebook": "its notebook changed",
    "package": "goemo_utils changed",
    "params": "the parameters changed",
    "environment": "the environment changed",
    "model": "the model's files changed",
    "texts": "the file of texts changed",
    "reference": "the reference pack changed",
}


UNCHANGED = "nothing it depends on changed"


@dataclass(frozen=True)
class Planned:
    """A step, whether it runs, and the reason in words."""

    step: str
    runs: bool
    reason: str


def why_run(step: str, params: Params, folder: Path) -> str | None:
    """Why this step must run, or None when its record still holds: same notebook, package,
    parameters, environment, files and upstream records.
    """
    path = folder / f"{step}.json"
    if not path.is_file():
        return "it has no record yet"
    try:
        record = read_record(path)
    except RecordError:
        return "its record is damaged"
    if record.status != "ok":
        return f"it did not finish last time ({record.status})"

    then, today = record.inputs, inputs_of(step, params, folder)
    changed = [name for name in {**then, **today} if then.get(name) != today.get(name)]
    if changed:
        words = WORDS | {"params": _other_values(record, params)}
        return " and ".join(words.get(name, f"the record of {name} changed") for name in changed)
    return altered_artefact(record, folder)


def _other_values(record: StepRecord, params: Params) -> str:
    """Which parameters a record was made with that are others now: key, then and now."""
    today = recorded(params, record.step)
    others = [key for key, value in record.params.items() if today.get(key) != value]
    told = [f"{key} was {record.params[key]} and is {today.get(key)}" for key in others]
    return ", ".join(told) or WORDS["params"]


def make_plan(
    params: Params,
    folder: Path,
    start: str | None = None,
    only: str | None = None,
    force: bool = False,
) -> list[Planned]:
    """What would run now. A step after one that runs is decided when its turn comes: here it is
    said to run.

    ``start`` runs that step and all after it; ``only`` that step alone; ``force`` everything.
    Raises RecordError when a step left out this way has no finished record to build on.
    """
    first = only or start
    plan: list[Planned] = []
    ahead = None

    for step in STEPS:
        if first and STEPS.index(step) < STEPS.index(first):
            if not _finished(step, folder):
                raise RecordError(
                    f"{'--only' if only else '--from'} {first} needs {step} to have finished in the"
                    f" run '{folder.name}', and it has not. Run without the option, or with --from"
                    f" {step}."
                )
            plan.append(Planned(step, False, f"before {first}"))
        elif only and step != only:
            plan.append(Planned(step, False, f"not {only}"))
        elif first or force:
            plan.append(Planned(step, True, "asked for" if first else "forced"))
        elif ahead:
            plan.append(Planned(step, True, f"{ahead} runs before it"))
        else:
            reason = why_run(step, params, folder)
            ahead = step if reason else None
            plan.append(Planned(step, reason is not None, reason or UNCHANGED))

    return plan


def _finished(step: str, folder: Path) -> bool:
    path = folder / f"{step}.json"
    return path.is_file() and read_record(path).status == "ok"
