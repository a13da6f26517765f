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
from pathlib import Path
from typing import TYPE_CHECKING

from goemo_utils.records.manifest import release
from goemo_utils.records.portable import shown
from goemo_utils.records.record import ROOT
from goemo_utils.training.params import TrainingParams

if TYPE_CHECKING:
    from goemo_utils.training.data import Splits


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo finetune``."""
    keys = (
        f"  {key:20s} {'none' if field.default is None else field.default!s:10s}"
        f" {field.description}"
        for key, field in TrainingParams.model_fields.items()
    )
    command.description = "\n".join(
        (__doc__.rstrip(), "", "Keys for -p and the file, with their defaults:", "", *keys)
    )
    command.add_argument(
        "-f",
        "--file",
        type=Path,
        default=ROOT / "params" / "finetune.yaml",
        metavar="YAML",
        help=(
            "the training's parameters file (default: params/finetune.yaml, which explains each"
            " key)"
        ),
    )
    command.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="set one parameter; repeatable, wins over the file",
    )


def run(args: argparse.Namespace) -> int:
    """Do what ``10_finetune`` does, without a notebook. Exit code 1 when the training parity
    failed.
    """
    params = TrainingParams.load(args.file, dict(args.param))
    from goemo_utils.training import lab
    from goemo_utils.training.watch import Bar

    step = lab.begin(params)
    try:
        simulated = (
            "  SIMULATED: no Ascend device takes part" if params.device == "rehearsal" else ""
        )
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
        linear = {"scores": None} if params.model == "new" else lab.baseline(step, splits)
        if params.model != "new":
            _tell(
                "baseline",
                lab.card.headline(linear["scores"]) if linear["scores"] else linear["reason"],
            )
        from goemo_utils.training import ablation, search

        tables = {"ablation": ablation.table, "search": search.table}
        result: dict = {}
        studies: dict = {}
        for name, work in (
            ("training", lambda hear: lab.fine_tune(step, splits, linear, hear)),
            ("parity", lambda hear: lab.compare_training(step, splits, hear)),
            ("ablation", lambda hear: lab.ablate(step, splits, hear)),
            ("search", lambda hear: lab.explore(step, splits, hear)),
        ):
            bar = Bar(name)
            try:
                found = work(bar)
            finally:
                bar.close()
            if name == "training":
                result = found
                _tell(
                    "model",
                    lab.card.headline(result["scores"]["model"])
                    + lab.card.gained(result["gain_over_baseline"]),
                )
            else:
                studies[name] = found
                if found:
                    _tell(name, lab.card.study(name, found))
                    print(
                        (
                            "".join(
                                f"      {line}\n"
                                for line in tables[name](found).to_string().splitlines()
                            )
                            if name in tables
                            else ""
                        ),
                        end="",
                        flush=True,
                    )
        record = lab.finish(step, splits, result, **studies)
    finally:
        release(step.dir)
    print(
        f"\n{record.verdict}\nmodel:   {shown(step.dir / 'model')}\nport it: goemo run -p model"
        f" {shown(step.dir / 'model')}"
    )
    return 1 if studies["parity"] and studies["parity"]["verdict"] == "fail" else 0


def _tell(name: str, text: str) -> None:
    print(f"  {name:12s} {text}", flush=True)


def _counts(splits: Splits) -> str:
    return (
        f"{len(splits.train):,} texts to learn from, {len(splits.held):,} held out,"
        f" {len(splits.dev):,} to score; {splits.dev.task}, {len(splits.dev.labels)} labels"
    )
