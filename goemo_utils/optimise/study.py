"""A study: every rung made, measured and recorded, then all timed in turns; it resumes after a
kill.

    <output_root>/<run_id>/
      teacher.json                what the teacher is worth
      rungs/NAME/record.json      a rung's record, written last; model/ is its folder
      rungs/NAME/seeds/           scores of a frontier's rung by other seeds
      parity/NAME/                packs and verdict on the study's device, where it has one
      timing.json                 seconds of each round
      frontier.json .csv .md .svg the table, the recommendation and the figure
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from goemo_utils.errors import RecordError
from goemo_utils.optimise import frontier, measure, record
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, open_lab
from goemo_utils.optimise.ladder import Rung, rungs
from goemo_utils.optimise.measure import Scored
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.optimise.record import Record
from goemo_utils.optimise.ways import open_way
from goemo_utils.records.manifest import hold, release
from goemo_utils.records.record import write_json, write_text


def run_job(job: dict[str, Any], progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Run in a worker, for a notebook: the study of ``job["params"]``."""
    return run(OptimiseParams(**job["params"]), progress)


def run(params: OptimiseParams, say: Say = print) -> dict[str, Any]:
    """Do what of the study is not done yet: what frontier.json holds.

    Raises GoemoError in a sentence when the teacher and the texts cannot be used together, and
    RecordError when another study holds the folder.
    """
    asked = rungs(params.rungs)
    torch.set_num_threads(params.threads)
    params.folder.mkdir(parents=True, exist_ok=True)
    hold(params.folder)
    try:
        return _run(open_lab(params), asked, say)
    finally:
        release(params.folder)


def _run(lab: Lab, asked: Sequence[Rung], say: Say) -> dict[str, Any]:
    say(_texts(lab))
    teacher = record.teacher(lab, say)
    records, refused = _made(lab, asked, teacher, say)
    timing = _timed(lab, records, say)
    rows = frontier.judged(
        [frontier.row(one, measure.speed(timing, one["name"])) for one in records]
    )

    # Only what a reader may choose is worth its seeds.
    named = {rung.name: rung for rung in asked}
    for row, one in zip(rows, records, strict=True):
        kept = not row["dominated"] and row["rung"] in named
        row["seeds"] = record.reseeded(lab, named[row["rung"]], one, teacher, say) if kept else []
        row["parity"] = record.parity(lab, one, say)
    return _export(lab, rows, refused, timing)


def _made(
    lab: Lab, asked: Sequence[Rung], teacher: Scored, say: Say
) -> tuple[list[Record], list[Record]]:
    """The records of the teacher and of all rungs, and which rungs cannot be made here."""
    records, refused = [record.read(lab.folder / "teacher.json")], []
    started, made = time.monotonic(), 0
    for number, rung in enumerate(asked, 1):
        one = record.known_rung(lab, rung)
        if one is None:
            left = _left(started, made, len(asked) - number + 1)
            say(f"rung {number} of {len(asked)}, {rung.name}: {rung.title}{left}")
            one = record.attempt(lab, rung, teacher, say)
            made += 1
        if one.get("refused"):
            refused.append({"rung": rung.name, "reason": one["refused"]})
            say(f"  left out: {one['refused']}")
            continue
        records.append(one)
        say(f"  {_said(one)}")
    return records, refused


def _texts(lab: Lab) -> str:
    parts = lab.splits
    return (
        f"{len(parts.train):,} texts to learn from, {len(parts.held):,} held out for thresholds,"
        f" {len(parts.dev):,} to score"
    )


def _left(started: float, made: int, rest: int) -> str:
    """How long the rungs to come may take, when those before them say anything."""
    if not made:
        return ""
    minutes = (time.monotonic() - started) / made * rest / 60
    return f" (about {minutes:.0f} min left)"


def _said(one: Record) -> str:
    quality = one["quality"]
    share = quality["against_teacher"]["macro_f1"]["share"]
    return (
        f"{one['name']}: macro F1 {quality['macro_f1']:.3f}, {share:.1%} of the teacher's,"
        f" {one['bytes'] / 1e6:.1f} MB"
    )


def _timed(lab: Lab, records: Sequence[Record], say: Say) -> Record:
    """The timing of these very rungs: the one that is kept, or a new one of all."""
    path = lab.folder / "timing.json"
    params = lab.params
    bound = {
        "digests": {one["name"]: one["digest"] for one in records},
        "rounds": params.rounds,
        "timed_texts": params.timed_texts,
    }
    try:
        kept = record.read(path)
        if kept["bound"] == bound:
            return kept
    except (RecordError, KeyError):
        pass

    places = {one["name"]: record.folder_of(lab, one["name"]) / "model" for one in records}
    places["teacher"] = lab.teacher
    ways = {
        one["name"]: open_way(places[one["name"]], one["way"], lab.max_length) for one in records
    }
    texts = lab.splits.dev.texts[: params.timed_texts]
    timing = {"bound": bound, **measure.speeds(ways, texts, params.rounds, say)}
    write_json(path, timing)
    return timing


def _export(lab: Lab, rows: list[Record], refused: list[Record], timing: Record) -> dict[str, Any]:
    """Write the table in its forms, and give what frontier.json holds."""
    from goemo_utils.optimise import figure

    found = {
        "schema": "goemo.frontier/1",
        "teacher": record.teacher_name(lab),
        "texts": {"train": len(lab.train), "held": len(lab.splits.held)}
        | {"dev": len(lab.splits.dev), "timed": timing["texts"]},
        "threads": timing["threads"],
        "rounds": lab.params.rounds,
        "seed": lab.params.seed,
        "device": lab.params.device,
        "rows": rows,
        "refused": refused,
        "recommendation": frontier.recommendation(rows),
    }
    write_json(lab.folder / "frontier.json", found)
    write_text(lab.folder / "frontier.csv", frontier.as_csv(rows))
    write_text(lab.folder / "frontier.md", frontier.as_page(found))
    figure.frontier(rows).savefig(lab.folder / "frontier.svg")
    return found
