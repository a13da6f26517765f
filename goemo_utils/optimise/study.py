"""A study: every rung made, measured and recorded, then all timed in turns; it resumes after a
kill.

    <output_root>/<run_id>/
      teacher.json                what the teacher is worth
      rungs/NAME/record.json      a rung's record, written last; model/ is its folder
      timing.json                 seconds of each round
      frontier.json .csv .md .svg the table, the recommendation and the figure

A record holds the digest of all that decides it: the teacher's files, the texts, the settings of
the study and of the rung, and those of the rung that it starts from. A record of another digest is
made again; nothing else is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goemo_utils.errors import GoemoError, RecordError
from goemo_utils.forward import worker
from goemo_utils.optimise import card, frontier, measure
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made, open_lab
from goemo_utils.optimise.ladder import Rung, rungs
from goemo_utils.optimise.measure import Scored
from goemo_utils.optimise.params import OptimiseParams
from goemo_utils.optimise.ways import open_way
from goemo_utils.records.manifest import hold, release
from goemo_utils.records.record import read_json, versions, write_json, write_text
from goemo_utils.training import thresholds

SCHEMA = "goemo.rung/1"
# Passes that the recipe of the embedded model takes from random weights (8 + 4), and the fewest
# that a fine-tuning there has (docs/finetuning.md): with fewer a record says that it was short.
LONG_FROM_RANDOM, LONG_FROM_TRAINED = 12, 3
FROM_RANDOM = ("distil", "sharing")
TEACHER_WAY = {"kind": "classifier", "dtype": "float32"}


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
    teacher = _teacher(lab, say)
    records, refused = [_read(lab.folder / "teacher.json")], []
    started, made = time.monotonic(), 0
    for number, rung in enumerate(asked, 1):
        record = _known(lab, rung)
        if record is None:
            left = _left(started, made, len(asked) - number + 1)
            say(f"rung {number} of {len(asked)}, {rung.name}: {rung.title}{left}")
            record = _attempt(lab, rung, teacher, say)
            made += 1
        if record.get("refused"):
            refused.append({"rung": rung.name, "reason": record["refused"]})
            say(f"  left out: {record['refused']}")
            continue
        records.append(record)
        say(f"  {_said(record)}")

    timing = _timed(lab, records, say)
    rows = frontier.judged(
        [frontier.row(record, measure.speed(timing, record["name"])) for record in records]
    )
    return _export(lab, rows, refused, timing)


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


def _said(record: dict[str, Any]) -> str:
    quality = record["quality"]
    share = quality["against_teacher"]["macro_f1"]["share"]
    return (
        f"{record['name']}: macro F1 {quality['macro_f1']:.3f}, {share:.1%} of the teacher's,"
        f" {record['bytes'] / 1e6:.1f} MB"
    )


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(path)
    return record


def digest_of(lab: Lab, rung: Rung) -> str:
    """What decides a rung's record."""
    before = ""
    if rung.settings.of != "teacher":
        before = _read(_folder(lab, rung.settings.of) / "record.json")["digest"]
    made_of = (lab.digest, before, rung.settings.model_dump())
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def _folder(lab: Lab, name: str) -> Path:
    return lab.folder / "rungs" / name


def _known(lab: Lab, rung: Rung) -> dict[str, Any] | None:
    """The rung's record, where it is there and of the same digest."""
    try:
        record = _read(_folder(lab, rung.name) / "record.json")
        return record if record["digest"] == digest_of(lab, rung) else None
    except (RecordError, KeyError):
        return None


def _answers(lab: Lab, folder: Path, way: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the held-out and of the dev texts."""
    ask = open_way(folder, way, lab.max_length)
    return ask(lab.splits.held.texts), ask(lab.splits.dev.texts)


def _teacher(lab: Lab, say: Say) -> Scored:
    """The teacher's thresholds and decisions, kept; teacher.json tells of them."""
    path, marks = lab.folder / "teacher.json", lab.folder / "teacher_dev.npy"
    try:
        record = _read(path)
        if record["digest"] == lab.digest and marks.is_file():
            return Scored(np.array(record["thresholds"]), np.load(marks, allow_pickle=False))
    except (RecordError, KeyError):
        pass

    say("teacher: scored")
    own = measure.score(lab.splits.held, *_answers(lab, lab.teacher, TEACHER_WAY))
    np.save(marks, own.marks, allow_pickle=False)
    facts = {
        "schema": SCHEMA,
        "name": "teacher",
        "title": f"the teacher, {_name(lab)}",
        "digest": lab.digest,
        "source": "",
        "note": "",
        "training": None,
    }
    write_json(path, {**facts, **_worth(lab, lab.teacher, TEACHER_WAY, own, own)})
    return own


def _name(lab: Lab) -> str:
    """The teacher's name without the place where it lies on this machine."""
    return Path(lab.params.teacher).name


def _worth(
    lab: Lab, folder: Path, way: dict[str, Any], own: Scored, teacher: Scored
) -> dict[str, Any]:
    """What is measured of a rung but its speed."""
    job = {
        "kind": "rung",
        "device": "cpu",
        "folder": str(folder),
        "way": way,
        "max_length": lab.max_length,
        "texts": lab.splits.dev.texts[:256],
        "threads": lab.params.threads,
    }
    peak = worker.run(job, lab.folder / "logs" / "memory.log")["peak_memory_mib"]
    return {
        "way": way,
        "teacher": _name(lab),
        "thresholds": own.thresholds.tolist(),
        "quality": measure.quality(lab.splits.dev, own, teacher),
        "bytes": measure.bytes_of(folder, way),
        "peak_memory_mib": peak,
        "dev_texts": len(lab.splits.dev),
        "versions": versions(),
    }


def _attempt(lab: Lab, rung: Rung, teacher: Scored, say: Say) -> dict[str, Any]:
    """Make, measure and record a rung; {"refused": reason} for one that cannot be made here."""
    folder = _folder(lab, rung.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    try:
        started = time.process_time()
        made = rung.build(lab, folder, lambda line: say(f"  {rung.name}: {line}"))
        spent = time.process_time() - started
    except GoemoError as error:
        return {"refused": str(error)}
    return _record(lab, rung, made, teacher, spent)


def _record(lab: Lab, rung: Rung, made: Made, teacher: Scored, spent: float) -> dict[str, Any]:
    held, dev = _answers(lab, made.folder, made.way)
    own = measure.score(lab.splits.held, held, dev)
    names = lab.train.labels
    texts = hashlib.sha256(repr(lab.splits.held.texts).encode()).hexdigest()
    thresholds.write(made.folder, names, own.thresholds.tolist(), len(held), texts)

    note = " ".join(filter(None, (made.note, _short(rung, made))))
    record = {
        "schema": SCHEMA,
        "name": rung.name,
        "title": rung.title,
        "digest": digest_of(lab, rung),
        "kind": rung.settings.kind,
        "settings": rung.settings.model_dump(),
        "source": rung.kind.SOURCE,
        "note": note,
        "training": made.training,
        "processor_seconds": round(spent, 1),
        **_worth(lab, made.folder, made.way, own, teacher),
    }
    write_text(made.folder / "README.md", card.render(record, len(names)))
    write_json(_folder(lab, rung.name) / "record.json", record)
    return record


def _short(rung: Rung, made: Made) -> str:
    """A sentence where a rung was trained for fewer passes than it takes."""
    training = made.training or {}
    if "steps" not in training:
        return ""
    random = rung.settings.kind in FROM_RANDOM
    passes = training["epochs"] + training.get("pooling_epochs", 0)
    enough = LONG_FROM_RANDOM if random else LONG_FROM_TRAINED
    if passes >= enough:
        return ""
    return f"Not trained long enough: {passes} passes of {enough}."


def _timed(lab: Lab, records: Sequence[dict[str, Any]], say: Say) -> dict[str, Any]:
    """The timing of these very rungs: the one that is kept, or a new one of all."""
    path = lab.folder / "timing.json"
    params = lab.params
    bound = {
        "digests": {record["name"]: record["digest"] for record in records},
        "rounds": params.rounds,
        "timed_texts": params.timed_texts,
    }
    try:
        kept = _read(path)
        if kept["bound"] == bound:
            return kept
    except (RecordError, KeyError):
        pass

    places = {record["name"]: _folder(lab, record["name"]) / "model" for record in records[1:]} | {
        "teacher": lab.teacher
    }
    ways = {
        record["name"]: open_way(places[record["name"]], record["way"], lab.max_length)
        for record in records
    }
    texts = lab.splits.dev.texts[: params.timed_texts]
    timing = {"bound": bound, **measure.speeds(ways, texts, params.rounds, say)}
    write_json(path, timing)
    return timing


def _export(
    lab: Lab,
    rows: list[dict[str, Any]],
    refused: list[dict[str, Any]],
    timing: dict[str, Any],
) -> dict[str, Any]:
    """Write the table in its forms, and give what frontier.json holds."""
    from goemo_utils.optimise import figure

    found = {
        "schema": "goemo.frontier/1",
        "teacher": _name(lab),
        "texts": {"train": len(lab.train), "held": len(lab.splits.held)}
        | {"dev": len(lab.splits.dev), "timed": timing["texts"]},
        "threads": timing["threads"],
        "rounds": lab.params.rounds,
        "seed": lab.params.seed,
        "rows": rows,
        "refused": refused,
        "recommendation": frontier.recommendation(rows),
    }
    write_json(lab.folder / "frontier.json", found)
    write_text(lab.folder / "frontier.csv", frontier.as_csv(rows))
    table = f"{frontier.as_markdown(rows)}\n{found['recommendation']}\n\n{frontier.notes(rows)}"
    write_text(lab.folder / "frontier.md", table)
    figure.frontier(rows).savefig(lab.folder / "frontier.svg")
    return found
