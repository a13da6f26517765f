"""The ablation of docs/finetuning.md on GoEmotions: ``python -m goemo_utils.training.study emotions
--train train.tsv --dev dev.tsv --output FOLDER``.

The embedded model has seen every train text, so it is no fair start: whatever is held out of train
would score high. Here 8,000 train texts are set apart for the task, a start of the embedded
architecture is made from texts equal to none of them and to none of dev, and four arms are
fine-tuned from it over three seeds. ``sentiment`` does the same with the four sentiment groups, one
label a text. What was finished is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import yaml

from goemo_utils.errors import GoemoError
from goemo_utils.params.home import SHIPPED
from goemo_utils.records.record import write_json, write_text
from goemo_utils.training import ablation, data, figures
from goemo_utils.training.data import LABELS, Split
from goemo_utils.training.params import TrainingParams
from goemo_utils.training.sources import SENTIMENTS

# google-research, goemotions/data/sentiment_mapping.json; neutral is a group of its own.
GROUPS = {
    "positive": (
        "amusement excitement joy love desire optimism caring pride admiration gratitude relief"
        " approval"
    ),
    "negative": (
        "fear nervousness remorse embarrassment disappointment sadness grief disgust anger"
        " annoyance disapproval"
    ),
    "ambiguous": "realization surprise curiosity confusion",
    "neutral": "neutral",
}
GROUP = {emotion: group for group, emotions in GROUPS.items() for emotion in emotions.split()}
TASK_TEXTS, SEEDS = 8000, 3


def part(train: Path, dev: Path, folder: Path) -> None:
    """Write ``{emotions,sentiment}-{train,dev,start}.tsv`` into ``folder``: the task's texts, dev,
    and the other train texts for the start.
    """
    ids = ",".join(LABELS)
    whole, scored = (
        data.read_split(path, ids, text_column=0, label_column=1, task="multi_label")
        for path in (train, dev)
    )
    order = np.random.default_rng(0).permutation(len(whole))
    task = whole.take(order[:TASK_TEXTS])
    known = {*task.texts, *scored.texts}
    rest = whole.take(
        np.array([row for row in order[TASK_TEXTS:] if whole.texts[row] not in known])
    )
    folder.mkdir(parents=True, exist_ok=True)

    for split, name in ((task, "train"), (scored, "dev"), (rest, "start")):
        _write(split, name, folder)


def _write(split: Split, name: str, folder: Path) -> None:
    emotions = [[LABELS[i] for i in ids] for ids in split.label_ids()]
    groups = [{GROUP[emotion] for emotion in found} for found in emotions]

    for kind, rows in (
        (
            "emotions",
            [(text, ",".join(found)) for text, found in zip(split.texts, emotions, strict=True)],
        ),
        (
            "sentiment",
            [
                (text, *found)
                for text, found in zip(split.texts, groups, strict=True)
                if len(found) == 1
            ],
        ),
    ):
        with (folder / f"{kind}-{name}.tsv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t").writerows([("text", "label"), *rows])


def start(folder: Path) -> Path:
    """The start: the embedded model's recipe with two epochs of its second stage, without teacher,
    baseline and folded thresholds.
    """
    if not (folder / "start" / "model.safetensors").is_file():
        from goemo_utils.training.scratch.run import run_job

        values = yaml.safe_load((SHIPPED / "params" / "embedded.yaml").read_text(encoding="utf-8"))
        recipe = values["recipe"] | {
            "teacher_share": 0.0,
            "baseline": False,
            "fold_threshold": None,
            "finetuning": values["recipe"]["finetuning"] | {"epochs": 2},
        }

        params = TrainingParams(
            **values
            | {
                "recipe": recipe,
                "train": str(folder / "emotions-start.tsv"),
                "dev": str(folder / "emotions-dev.tsv"),
            }
        )

        run_job({"params": params.resolved(), "out": str(folder / "start")}, _say)

    return folder / "start"


def run(kind: str, train: Path, dev: Path, folder: Path) -> str:
    """The whole study; writes ``kind``.json, .md and .png and returns the table in Markdown."""
    folder = folder.resolve()
    part(train, dev, folder)
    labels = LABELS if kind == "emotions" else SENTIMENTS
    params = TrainingParams(
        model=str(start(folder)),
        train=str(folder / f"{kind}-train.tsv"),
        dev=str(folder / f"{kind}-dev.tsv"),
        device="cpu",
        threads=1,
        labels=",".join(labels),
        task="multi_label" if kind == "emotions" else "single_label",
        held_out=0.25,
        epochs=5.0,
        patience=0,
        ablation_seeds=SEEDS,
    )

    result = ablation.run(params, data.load(params), folder / kind, progress=_say)
    write_json(folder / f"{kind}.json", result)
    write_text(folder / f"{kind}.md", ablation.markdown(result))
    figures.ablation(result).savefig(folder / f"{kind}.png")
    return ablation.markdown(result)


def _say(line: str) -> None:
    told = json.loads(line).get("text")
    if told:
        print(told, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 with a sentence when the texts cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m goemo_utils.training.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=("emotions", "sentiment"))

    for name in ("train", "dev"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            required=True,
            help=f"GoEmotions' {name} split: text, label ids, comment id",
        )

    parser.add_argument(
        "--output",
        type=Path,
        default=Path("outputs/study"),
        help="folder of the study (default: outputs/study)",
    )
    given = parser.parse_args(arguments)

    try:
        print(run(given.kind, given.train, given.dev, given.output))
    except GoemoError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    return 0


if __name__ == "__main__":
    sys.exit(main())
