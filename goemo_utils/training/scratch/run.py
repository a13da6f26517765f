"""The recipe from labelled texts to a folder that holds a classifier, its scores and its card."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers

from goemo_utils.training.data import Split, hold_out, overlap, read_split
from goemo_utils.training.evaluation import gain, judge, per_label
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.scratch import card, network
from goemo_utils.training.scratch.loop import probabilities, train
from goemo_utils.training.scratch.pooling import AttentionPooler, transplant
from goemo_utils.training.scratch.recipe import Recipe
from goemo_utils.training.scratch.tokenizer import encode, train_tokenizer
from goemo_utils.training.teacher import FEATURES, TEACHER_C, linear_probabilities, teach

Say = Callable[[str], None]


def run_job(job: dict[str, Any], progress: Say = print) -> dict[str, Any]:
    """Run in a worker: make the model of ``job["params"]`` in the folder ``job["out"]``; what
    ``run`` measured, and where the probabilities lie.
    """
    out, started = Path(job["out"]), time.monotonic()
    recipe = Recipe.of(dict(TrainingParams(**job["params"])), out)
    facts, answers = run(recipe, lambda line: progress(json.dumps({"text": line})))
    files = {name: out.parent / f"{name}_probabilities.npy" for name in answers}
    for name, values in answers.items():
        np.save(files[name], values, allow_pickle=False)

    return {
        **facts,
        "probabilities": {name: str(file) for name, file in files.items()},
        "training": {
            "history": [],
            "evaluations": [],
            "seconds": round(time.monotonic() - started, 1),
            "n_parameters": facts["n_parameters"],
            "device": {"name": "CPU", "threads": recipe.threads},
        },
    }


def run(recipe: Recipe, say: Say = print) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train as the recipe says and write the folder ``recipe.output``: (what went into its
    scores.json, probabilities of held-out and dev texts).

    The train texts are parted once into those that weights learn from and those held out for
    thresholds; dev is only scored.
    """
    seconds: dict[str, float] = {}
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    whole = read_split(recipe.train, task="multi_label")
    dev = read_split(recipe.dev, whole.labels, task=whole.task)
    fit, held = hold_out(whole, recipe.held_out, rng)

    judged: dict[str, Any] = {}
    if recipe.baseline:
        baseline = linear_probabilities(fit, [held.texts, dev.texts], threads=recipe.threads)
        judged["baseline"] = judge(held, baseline[0], dev, baseline[1])
        say(f"baseline: {_line(judged['baseline'])}")

    goal = fit.targets
    if recipe.teacher_share:
        (own, *others), seconds["teacher"] = _teacher(recipe, fit, held, dev, rng, say)
        judged["teacher"] = judge(held, others[0], dev, others[1])
        say(f"teacher: {_line(judged['teacher'])}")
        goal = (1 - recipe.teacher_share) * goal + recipe.teacher_share * own

    tokenizer = train_tokenizer(fit.texts, recipe.vocab_size)
    rows, held_rows, dev_rows = (
        encode(tokenizer, split.texts, recipe.max_length) for split in (fit, held, dev)
    )
    model = network.build(recipe, tokenizer.get_vocab_size(), fit.labels)
    shared = (recipe.batch_size, recipe.warm_up, recipe.autocast, rng, say)
    started = time.monotonic()

    if recipe.pooling.epochs:
        pooler = AttentionPooler(
            tokenizer.get_vocab_size(),
            recipe.width,
            recipe.n_heads,
            len(fit.labels),
            recipe.pooling.dropout,
            recipe.pooling.head_dropout,
        )

        pooler = train(pooler, network.pooler_logits, rows, goal, recipe.pooling, *shared)
        transplant(pooler, model)
        judged["pooled"] = _judge_network(model, held, held_rows, dev, dev_rows)
        say(f"pooled: {_line(judged['pooled'])}")

    seconds["pooling"], started = time.monotonic() - started, time.monotonic()
    model = train(model, network.classifier_logits, rows, goal, recipe.finetuning, *shared)
    seconds["finetuning"] = time.monotonic() - started

    judged["unfolded"] = _judge_network(model, held, held_rows, dev, dev_rows)
    if recipe.fold_threshold is not None:
        network.fold_thresholds(
            model, np.array(judged["unfolded"]["thresholds"]), recipe.fold_threshold
        )

    answers = {
        name: probabilities(model, network.classifier_logits, part, len(dev.labels))
        for name, part in (("held", held_rows), ("dev", dev_rows))
    }
    judged["model"] = judge(held, answers["held"], dev, answers["dev"])
    say(f"model: {_line(judged['model'])}")
    gained = None

    if recipe.baseline:
        gained = gain(
            dev,
            answers["dev"],
            judged["model"]["thresholds"],
            baseline[1],
            judged["baseline"]["thresholds"],
        )

    folder = Path(recipe.output)
    network.save(model, tokenizer, recipe.max_length, folder)
    facts = {
        "schema": "goemo.training/1",
        "recipe": recipe.model_dump(exclude={"train", "dev", "output"}),
        "data": {
            "fit": len(fit),
            "held_out": len(held),
            "dev": len(dev),
            "dev_texts_also_in_train": overlap(whole, dev),
            "train_sha256": _digest(recipe.train),
            "dev_sha256": _digest(recipe.dev),
        },
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": {stage: round(value) for stage, value in seconds.items()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "scores": judged,
        "gain_over_baseline": gained,
        "labels": per_label(dev, answers["dev"]),
    }

    (folder / "scores.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card.render(facts), encoding="utf-8")
    return facts, answers


def _teacher(
    recipe: Recipe, fit: Split, held: Split, dev: Split, rng: np.random.Generator, say: Say
) -> tuple[list[np.ndarray], float]:
    """The teacher's answers and the seconds they took, kept beside the output under a name made of
    all they depend on.

    They cost most of a training, and another width or learning rate does not change them.
    """
    made_of = (
        _digest(recipe.train),
        _digest(recipe.dev),
        recipe.held_out,
        recipe.seed,
        recipe.teacher_folds,
        FEATURES,
        TEACHER_C,
    )

    file = Path(
        f"{recipe.output}.teacher-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}.npz"
    )
    fold = rng.integers(0, recipe.teacher_folds, len(fit))

    if not file.is_file():
        started = time.monotonic()
        answers = teach(fit, [held.texts, dev.texts], fold, recipe.threads, say)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(
            f".{file.stem}.partial.npz"
        )  # a kill while it is written leaves no half a file
        np.savez(
            partial,
            own=answers[0],
            held=answers[1],
            dev=answers[2],
            seconds=time.monotonic() - started,
        )

        partial.replace(file)

    with np.load(file) as kept:
        return [kept[name] for name in ("own", "held", "dev")], float(kept["seconds"])


def _judge_network(
    model: torch.nn.Module,
    held: Split,
    held_rows: list[list[int]],
    dev: Split,
    dev_rows: list[list[int]],
) -> dict[str, Any]:
    answers = [
        probabilities(model, network.classifier_logits, rows, len(dev.labels))
        for rows in (held_rows, dev_rows)
    ]
    return judge(held, answers[0], dev, answers[1])


def _line(judged: dict[str, Any]) -> str:
    return ", ".join(
        f"macro F1 {judged[name]['macro_f1']:.3f}, micro {judged[name]['micro_f1']:.3f} {words}"
        for name, words in (("at_0.3", "at 0.3"), ("tuned", "with tuned thresholds"))
    )


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
