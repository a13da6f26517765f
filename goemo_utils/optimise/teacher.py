"""The larger teacher of the lab, made from random weights: ``python -m goemo_utils.optimise.teacher
--train train.tsv --dev dev.tsv --output FOLDER``.

The recipe is the embedded model's in two stages (training/scratch), larger, and its soft targets
are the embedded model's own answers instead of a linear teacher's, which take half an hour. Both
stages leave checkpoints; the same command goes on from the last one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from goemo_utils.errors import GoemoError
from goemo_utils.forward.inputs import Inputs
from goemo_utils.optimise.fit import Loss, Plan, Say, train
from goemo_utils.params.home import PACKAGE, params_file
from goemo_utils.records.record import write_json
from goemo_utils.training.data import Split, hold_out, read_split
from goemo_utils.training.evaluation import judge
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.scratch import network
from goemo_utils.training.scratch.loop import Logits, probabilities
from goemo_utils.training.scratch.pooling import AttentionPooler, transplant
from goemo_utils.training.scratch.recipe import Recipe, Stage

EMBEDDED = PACKAGE / "embedded"


def unfolded(folder: Path = EMBEDDED) -> np.ndarray:
    """What the embedded model's logits have too much, [n_labels]: logit(0.3) - logit(threshold),
    the shift that its recipe folded into the bias (training/scratch/network.py).
    """
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    thresholds = np.array(scores["scores"]["unfolded"]["thresholds"])
    common = scores["recipe"]["fold_threshold"]
    shifts: np.ndarray = np.log(common / (1 - common)) - np.log(thresholds / (1 - thresholds))
    return shifts


def soft_targets(fit: Split, rows: list[list[int]], share: float) -> torch.Tensor:
    """``share`` of the embedded model's probability and the rest of the label, [n_texts, n_labels].

    It has learned from these texts, but from cross-fitted targets and with dropout: its answers are
    softer than the labels by far.
    """
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(EMBEDDED)
    with torch.no_grad():
        model.classifier.out_proj.bias.sub_(torch.tensor(unfolded(), dtype=torch.float32))
    own = probabilities(model, network.classifier_logits, rows, len(fit.labels))
    return torch.from_numpy(share * own + (1 - share) * fit.targets).float()


def _loss(goal: torch.Tensor, logits: Logits) -> Loss:
    """Binary cross-entropy summed over labels, mean over texts."""

    def value(model: torch.nn.Module, batch: dict[str, torch.Tensor], chosen: torch.Tensor) -> Any:
        given = logits(model, batch["input_ids"]).float()
        parts = binary_cross_entropy_with_logits(given, goal[chosen], reduction="none")
        return parts.sum(1).mean()

    return value


def _plan(recipe: Recipe, stage: Stage) -> Plan:
    return Plan(
        epochs=stage.epochs,
        rate=stage.rate,
        batch_size=recipe.batch_size,
        warm_up=recipe.warm_up,
        word_dropout=stage.word_dropout,
        weight_decay=stage.weight_decay,
        averaging=stage.averaging,
        autocast=recipe.autocast,
        seed=recipe.seed,
    )


def _decisive(made_of: dict[str, Any], stage: str) -> dict[str, Any]:
    """What of a recipe decides a stage: the first one knows nothing of layers."""
    later = ("finetuning", "n_layers", "inner_width") if stage == "pooling" else ()
    return {key: value for key, value in made_of.items() if key not in later}


def make(recipe: Recipe, say: Say = print) -> dict[str, Any]:
    """Train as the recipe says and write the folder ``recipe.output``; what its scores.json holds.
    A stage that was finished before is not run again.
    """
    from transformers import AutoTokenizer

    torch.set_num_threads(recipe.threads)
    out, started = Path(recipe.output), time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    inputs = Inputs(tokenizer)

    whole = read_split(recipe.train, task="multi_label")
    dev = read_split(recipe.dev, whole.labels, task=whole.task)
    fit, held = hold_out(whole, recipe.held_out, np.random.default_rng(recipe.seed))
    rows, held_rows, dev_rows = (
        inputs.encode(split.texts, recipe.max_length) for split in (fit, held, dev)
    )
    goal = soft_targets(fit, rows, recipe.teacher_share)
    torch.manual_seed(recipe.seed)
    made_of = recipe.model_dump(exclude={"train", "dev", "output"})
    texts = hashlib.sha256(repr(fit.texts).encode()).hexdigest()

    pooler = AttentionPooler(
        len(tokenizer),
        recipe.width,
        recipe.n_heads,
        len(fit.labels),
        recipe.pooling.dropout,
        recipe.pooling.head_dropout,
    )
    model = network.build(recipe, len(tokenizer), fit.labels)
    stages = (
        ("pooling", pooler, network.pooler_logits, recipe.pooling),
        ("finetuning", model, network.classifier_logits, recipe.finetuning),
    )
    for name, trained, logits, stage in stages:
        if name == "finetuning":
            transplant(pooler, model)
        say(f"{name}: {stage.epochs} epochs of {len(rows):,} texts")
        best = train(
            trained,
            rows,
            _loss(goal, logits),
            _plan(recipe, stage),
            inputs,
            out / "checkpoints" / name,
            f"{texts} {_decisive(made_of, name)}",
            say,
        )
        trained.load_state_dict(best.state_dict())

    answers = [
        probabilities(model, network.classifier_logits, part, len(dev.labels))
        for part in (held_rows, dev_rows)
    ]
    facts = {
        "recipe": made_of,
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "seconds_of_last_sitting": round(time.monotonic() - started),
        "scores": {"model": judge(held, answers[0], dev, answers[1])},
    }
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_json(out / "scores.json", facts)
    shutil.rmtree(out / "checkpoints")
    return facts


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 with a sentence when the texts or the recipe cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m goemo_utils.optimise.teacher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-f", "--file", type=Path, help="recipe (default: params/teacher.yaml)")
    for name in ("train", "dev"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"GoEmotions' {name} split")
    parser.add_argument("--output", type=Path, default=Path("outputs/teacher"))
    given = parser.parse_args(arguments)

    paths = {"train": str(given.train.resolve()), "dev": str(given.dev.resolve())}
    try:
        params = TrainingParams.load(params_file(given.file, "teacher.yaml"), paths)
        recipe = Recipe.of(params.resolved(), given.output.resolve())
        scores = make(recipe, lambda line: print(line, flush=True))["scores"]["model"]
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    tuned = scores["tuned"]
    print(f"dev macro F1 {tuned['macro_f1']:.3f}, micro {tuned['micro_f1']:.3f}, tuned thresholds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
