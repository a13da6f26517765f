"""A study in a notebook: a worker does it, the notebook shows it, and a record is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from goemo_utils.errors import ParamsError
from goemo_utils.forward import worker
from goemo_utils.optimise.ladder import KINDS, Rung
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.records.record import environment_digest, notebook_digest, package_digest
from goemo_utils.records.step import Step

if TYPE_CHECKING:
    from goemo_utils.records.record import StepRecord

NAME = "20_optimise"


class Sitting(Step):
    """The step of a study: of its parameters a Step reads the digest and the values alone."""

    params: OptimiseParams  # type: ignore[assignment]  # a schema of its own, with the same methods


def begin(params: OptimiseParams) -> Sitting:
    """Open the study's folder; ParamsError where a run of the porting notebooks lies there."""
    folder = params.folder
    if (folder / "manifest.json").is_file():
        raise ParamsError(
            f"run_id is '{folder.name}', and {folder} holds a run of the porting notebooks. Choose"
            " another run_id for the study."
        )
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {
        "notebook": notebook_digest(NAME),
        "package": package_digest(),
        "params": params.digest,
        "environment": environment_digest(),
    }
    return Sitting(NAME, params, folder, inputs, {})  # type: ignore[arg-type]  # as above


def study(step: Sitting, hear: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Do what of the study is not done yet, in a worker: what frontier.json holds."""
    job = {"kind": "optimise", "device": "cpu", "params": step.params.resolved()}
    return worker.run(job, step.path("logs", "worker-study.log"), hear)


def ladder(rungs: Sequence[Rung]) -> pd.DataFrame:
    """The rungs in words, with the source of each."""
    rows = {
        rung.name: {"what": rung.title, "source": KINDS[rung.settings.kind].SOURCE}
        for rung in rungs
    }
    return pd.DataFrame(rows).T


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The study's table: quality with its paired interval, speed, size, and who dominates whom."""
    return pd.DataFrame({one["rung"]: _cells(one) for one in rows}).T


def _cells(one: dict[str, Any]) -> dict[str, str]:
    low, high = one["difference_ci95"]
    return {
        "macro F1": f"{one['macro_f1']:.3f}",
        "against the teacher": f"{one['difference']:+.3f} ({low:+.3f} to {high:+.3f})",
        "texts flipped": f"{one['flipped_texts']:.1%}",
        "× texts/s": f"{one['times_teacher']:.2f}",
        "MB": f"{one['megabytes']:.1f}",
        "dominated by": ", ".join(one["dominated"]) or "–",
    }


def finish(step: Sitting, found: dict[str, Any]) -> StepRecord:
    """Leave the record, with the table's files among its artefacts."""
    files = ("frontier.json", "frontier.csv", "frontier.md")
    step.keep(*(step.dir / name for name in files))
    rows = found["rows"]
    kept = sum(not one["dominated"] for one in rows)
    verdict = f"{len(rows) - 1} rungs measured against the teacher, {kept} on the frontier"
    return step.finish(verdict, found)
