"""Fine-tune a classifier on labelled texts, and leave a folder that the porting run takes.

Without options: two thousand Reddit comments with four sentiments, the embedded model, the
rehearsal device (SIMULATED). Your own:

  goemo finetune -f params/finetune.yaml -p train reviews.csv -p dev none -p text_column review -p
  label_column stars -p device cuda:0
  goemo run -p model outputs/finetune/model          port what was trained

A training that was stopped goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from goemo_utils.boundary.options import add_parameters, tell_keys
from goemo_utils.params.home import params_file
from goemo_utils.records.manifest import release
from goemo_utils.records.portable import shown
from goemo_utils.training.params import TrainingParams

if TYPE_CHECKING:
    from goemo_utils.training.data import Splits


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo finetune``."""
    tell_keys(command, __doc__ or "", TrainingParams)

    add_parameters(
        command,
        "the training's parameters file (default: params/finetune.yaml, which explains each key)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what ``10_finetune`` does, without a notebook. Exit code 1 when the training parity
    failed.
    """
    params = TrainingParams.load(params_file(args.file, "finetune.yaml"), dict(args.param))
    from goemo_utils.training import card, lab
    from goemo_utils.training.watch import Bar

    step = lab.begin(params)
    try:
        simulated = "  SIMULATED: no Ascend device takes part" if params.simulated else ""
        print(
            f"goemo finetune {step.dir.name}   model {params.model}, device"
            f" {params.device}{simulated}",
            flush=True,
        )

        if warning := lab.replaced(step):
            _tell("replaces", warning)
        splits = lab.load(step)
        _tell("data", _counts(splits))
        for note in splits.notes:
            _tell("", note)

        linear: dict[str, Any] = {"scores": None}
        if params.model != "new":
            linear = lab.baseline(step, splits)
            scores = linear["scores"]
            _tell("baseline", card.headline(scores) if scores else linear["reason"])

        from goemo_utils.training import ablation, search

        with closing(Bar("training")) as bar:
            result = lab.fine_tune(step, splits, linear, bar)
        gained = card.gained(result["gain_over_baseline"])
        _tell("model", card.headline(result["scores"]["model"]) + gained)

        tables = {"ablation": ablation.table, "search": search.table}
        works = {"parity": lab.compare_training, "ablation": lab.ablate, "search": lab.explore}
        studies: dict[str, dict[str, Any] | None] = {}

        for name, work in works.items():
            with closing(Bar(name)) as bar:
                study = studies[name] = work(step, splits, bar)
            if study:
                _tell(name, card.study(name, study))
            if study and name in tables:
                lines = tables[name](study).to_string().splitlines()
                print("".join(f"      {line}\n" for line in lines), end="", flush=True)

        record = lab.finish(step, splits, result, **studies)
    finally:
        release(step.dir)

    model, course = shown(step.dir / "model"), step.dir / "tensorboard"
    print(f"\n{record.verdict}\nmodel:   {model}\nport it: goemo run -p model {model}")
    if course.is_dir():
        print(f"course:  tensorboard --logdir {shown(course)}")
    parity = studies["parity"]
    return 1 if parity and parity["verdict"] == "fail" else 0


def _tell(name: str, text: str) -> None:
    print(f"  {name:12s} {text}", flush=True)


def _counts(splits: Splits) -> str:
    return (
        f"{len(splits.train):,} texts to learn from, {len(splits.held):,} held out,"
        f" {len(splits.dev):,} to score; {splits.dev.task}, {len(splits.dev.labels)} labels"
    )
