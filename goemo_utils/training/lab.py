"""The lab's work in order, the same for ``10_finetune`` and ``goemo finetune``: data, baseline,
training, training parity, studies, record.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goemo_utils.errors import GoemoError, ParamsError, RecordError
from goemo_utils.forward import worker
from goemo_utils.notebook.cutoff import Curve, curve
from goemo_utils.records.manifest import hold, release
from goemo_utils.records.portable import places, portable, shown
from goemo_utils.records.record import (
    environment_digest,
    notebook_digest,
    package_digest,
    read_record,
    sha256_file,
    sha256_json,
    versions,
    write_json,
    write_text,
)
from goemo_utils.records.step import EMBEDDED, Step
from goemo_utils.records.weights import read_files
from goemo_utils.training import ablation, card, data, evaluation, fit, search, thresholds
from goemo_utils.training.teacher import linear_probabilities

if TYPE_CHECKING:
    from goemo_utils.records.record import StepRecord
    from goemo_utils.training.data import Splits
    from goemo_utils.training.params import TrainingParams

NAME = "10_finetune"
LOCK = ".lock"  # goemo_utils.records.manifest.hold makes and holds it
WRITTEN = ("model", "checkpoints", "parity", "tensorboard")  # what a training replaces
Hear = Callable[[str], None]


@dataclass
class TrainingStep(Step):
    """The step of a fine-tuning: of its parameters a Step reads the digest and the values alone,
    which those of a training have too.
    """

    params: TrainingParams  # type: ignore[assignment] # a schema of its own, with the same methods


def begin(params: TrainingParams) -> TrainingStep:
    """Open the training's folder, ``<output_root>/<run_id>``, and hold it until ``finish``, so that
    no other training writes there.

    Raises ParamsError when a run of the porting notebooks or anybody else's files are there, for
    they would be overwritten, or when nothing can be written there; RecordError when another
    training holds the folder; GoemoError when a search is asked for and Optuna is not installed;
    DeviceError when the device is absent.
    """
    if params.search_trials:
        search.optuna_or_error()
    folder = Path(params.output_root) / (params.run_id or "finetune")

    if (folder / "manifest.json").is_file():
        raise ParamsError(
            f"run_id is '{folder.name}', and {folder} holds a run of the porting notebooks. Choose"
            " another run_id for the training."
        )

    foreign = [name for name in WRITTEN if (folder / name).exists()]
    if foreign and not any((folder / name).exists() for name in (LOCK, "logs", f"{NAME}.json")):
        raise ParamsError(
            f"run_id is '{folder.name}', and {folder} holds {' and '.join(foreign)} of which no"
            " training of goemo is known. Choose another run_id, or move them."
        )

    # a child opens it: no process that holds a notebook may
    if params.opened_as.startswith(("npu", "cuda", "rehearsal:")):
        with tempfile.TemporaryDirectory(prefix="goemo-") as scratch:
            worker.run({"kind": "device", "device": params.opened_as}, Path(scratch) / "device.log")

    try:
        hold(folder)
    except OSError as error:
        raise ParamsError(
            f"output_root is '{params.output_root}', and nothing can be written to {folder}"
            f" ({error.strerror}). Choose another output_root, or give this user the right to write"
            " there."
        ) from None

    return TrainingStep(NAME, params, folder, _inputs(params), {})


def replaced(step: TrainingStep) -> str | None:
    """A warning when the folder holds a finished training by other parameters, whose model this one
    will replace.
    """
    try:
        other = read_record(step.dir / f"{NAME}.json")
    except RecordError:
        return None

    if other.params_digest == step.params.digest:
        return None

    ended = (other.ended or "")[:16].replace("T", " ")

    return (
        f"{shown(step.dir)} holds another training, of {ended}: {other.verdict}. It will be"
        " replaced; to keep it, stop now and give a run_id."
    )


def _inputs(params: TrainingParams) -> dict[str, str]:
    found = {
        "notebook": notebook_digest(NAME),
        "package": package_digest(),
        "params": params.digest,
        "environment": environment_digest(),
        "model": sha256_json([params.model, params.revision]),
    }

    folder = (
        EMBEDDED
        if params.model.removeprefix("random:") == "embedded"
        else Path(params.model.removeprefix("random:"))
    )

    if folder.is_dir():
        found["weights"] = sha256_json([[p.name, sha256_file(p)] for p in read_files(folder)])

    for name in ("train", "dev"):
        if Path(getattr(params, name) or "").is_file():
            found[name] = sha256_file(Path(getattr(params, name)))

    return found


def load(step: TrainingStep) -> Splits:
    """The labelled texts: train, the part of it held out, and dev."""
    found = data.load(step.params)
    if step.params.model == "embedded" and step.params.train == "sample":
        found.notes.append(
            "The embedded model learned its words from GoEmotions' train texts, the held-out ones"
            " among them, so held-out scores lean high; it has not seen dev."
        )
    return found


def baseline(step: TrainingStep, splits: Splits) -> dict[str, Any]:
    """What a linear classifier on TF-IDF of words reaches with the same texts: ``scores``, and
    ``held`` and ``dev`` probabilities.

    Without scikit-learn only ``reason``: a score that was not measured is not shown.
    """
    try:
        held, dev = linear_probabilities(
            splits.train, [splits.held.texts, splits.dev.texts], threads=step.params.threads or 1
        )
    except GoemoError as error:
        return {"scores": None, "reason": str(error)}

    return {
        "scores": evaluation.judge(splits.held, held, splits.dev, dev),
        "held": held,
        "dev": dev,
    }


def fine_tune(
    step: TrainingStep, splits: Splits, linear: dict[str, Any], hear: Hear = lambda line: None
) -> dict[str, Any]:
    """Train in a worker, then score: everything measured about the new model, JSON-able. ``hear``
    gets the worker's progress lines.

    A training that was stopped goes on from its last checkpoint when it is started again with the
    same parameters, and one that was whole, while parity or a study was not, is not repeated.
    """
    if step.params.model == "new":
        return _from_scratch(step, splits, hear)
    made = worker.run(
        fit.job(step.params, splits, step.dir), step.path("logs", "worker-training.log"), hear
    )
    (step.dir / f"{NAME}.json").unlink(missing_ok=True)  # it told of the model that was here before
    held, dev = (
        np.load(made[f"{name}_probabilities"], allow_pickle=False) for name in ("held", "dev")
    )

    judged = evaluation.judge(splits.held, held, splits.dev, dev)
    gained = None

    if linear["scores"]:
        gained = evaluation.gain(
            splits.dev,
            dev,
            judged.get("thresholds"),
            linear["dev"],
            linear["scores"].get("thresholds"),
        )

    if splits.dev.task == "multi_label":
        thresholds.write(
            step.dir / "model",
            splits.dev.labels,
            judged["thresholds"],
            len(splits.held),
            sha256_json(splits.held.texts),
        )

    return {
        "training": made,
        "scores": {"model": judged} | ({"baseline": linear["scores"]} if linear["scores"] else {}),
        "gain_over_baseline": gained,
        "labels": evaluation.per_label(splits.dev, dev),
        "calibration": evaluation.calibration(splits.dev, dev),
    }


def _from_scratch(step: TrainingStep, splits: Splits, hear: Hear) -> dict[str, Any]:
    """The same for a new model, made by its recipe; it loads its own texts, for its rows decide
    every bit of its weights.
    """
    request = {
        "kind": "scratch",
        "device": "cpu",
        "params": step.params.resolved(),
        "out": str(step.dir / "model"),
    }
    facts = worker.run(request, step.path("logs", "worker-training.log"), hear)
    dev = np.load(facts["probabilities"]["dev"], allow_pickle=False)

    recipe = step.params.recipe or {}
    if recipe.get("fold_threshold", 0.3) is None:
        thresholds.write(
            step.dir / "model",
            splits.dev.labels,
            facts["scores"]["model"]["thresholds"],
            len(splits.held),
            sha256_json(splits.held.texts),
        )

    return {
        "training": facts["training"],
        "scores": facts["scores"],
        "gain_over_baseline": facts["gain_over_baseline"],
        "labels": facts["labels"],
        "calibration": evaluation.calibration(splits.dev, dev),
    }


def threshold_curve(step: TrainingStep, splits: Splits) -> Curve:
    """Precision and recall against the threshold, on the held-out texts: dev stays for scores."""
    held = np.load(step.dir / "held_probabilities.npy", allow_pickle=False)
    return curve(splits.held.targets, held, splits.held.task)


def compare_training(
    step: TrainingStep, splits: Splits, hear: Hear = lambda line: None
) -> dict[str, Any] | None:
    """A few steps on the CPU and on the device, compared; None when ``parity_steps`` is 0."""
    from goemo_utils.training import parity

    return parity.compare(step.params, splits, step.dir, hear) if step.params.parity_steps else None


def ablate(
    step: TrainingStep, splits: Splits, hear: Hear = lambda line: None
) -> dict[str, Any] | None:
    """Plain, smoothing, R-Drop and both, over ``ablation_seeds`` seeds; None when that is 0."""
    return (
        ablation.run(step.params, splits, step.dir, _trainer(step, "ablation"), hear)
        if step.params.ablation_seeds
        else None
    )


def explore(
    step: TrainingStep, splits: Splits, hear: Hear = lambda line: None
) -> dict[str, Any] | None:
    """The hyper-parameter search, ``search_trials`` trials; None when that is 0."""
    return (
        search.run(step.params, splits, step.dir, _trainer(step, "search"), hear)
        if step.params.search_trials
        else None
    )


def _trainer(step: TrainingStep, name: str) -> Callable[..., dict[str, Any]]:
    return partial(worker.run, log=step.path("logs", f"worker-{name}.log"))


def finish(
    step: TrainingStep, splits: Splits, result: dict[str, Any], **studies: dict[str, Any] | None
) -> StepRecord:
    """Write the model's scores and card into its folder, and the record, last."""
    folder, params = step.dir / "model", step.params
    facts = {
        "schema": "goemo.training/1",
        "params": {
            k: v for k, v in params.resolved().items() if k not in ("run_id", "output_root")
        },
        "task": splits.dev.task,
        "data": splits.counts | {"notes": splits.notes},
        "versions": versions(),
        "simulated": params.simulated,
        **result,
        **studies,
    }

    if params.model != "new":  # a recipe has written a card and scores of its own
        told = portable(facts, places(params.resolved(), step.dir))
        write_json(folder / "scores.json", told)
        write_text(folder / "README.md", card.render(told))

    step.keep(*sorted(p for p in folder.iterdir() if p.is_file()))
    record = step.finish(verdict(facts), facts)
    (step.dir / fit.RESULT).unlink(missing_ok=True)  # the same command again trains again
    release(step.dir)
    return record


def verdict(facts: dict[str, Any]) -> str:
    """The training in a sentence, from its record."""
    main = card.headline(facts["scores"]["model"])
    beside = facts["scores"].get("baseline")
    simulated = "SIMULATED: " if facts["simulated"] else ""
    compared = facts.get("parity")
    told = (
        f", training parity {compared['verdict']}"
        if compared
        else ", training parity not checked (parity_steps is 0)"
    )

    return (
        f"{simulated}{main}"
        + (f" (linear baseline: {card.headline(beside)})" if beside else "")
        + told
    )
