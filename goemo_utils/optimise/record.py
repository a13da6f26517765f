"""A rung's record: what it rests on, what it is worth, and whether it was made already.

A record holds the digest of all that decides it: the teacher's files, the texts, the settings of
the study and of the rung, and those of the rung that it starts from. A record of another digest is
made again; nothing else is. How often and on what is timed, how many seeds are tried and on which
device parity is judged decide no rung, so they may change between sittings.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from goemo_utils.errors import GoemoError, RecordError
from goemo_utils.forward import worker
from goemo_utils.optimise import card, measure, on_device, words
from goemo_utils.optimise.fit import Say
from goemo_utils.optimise.lab import Lab, Made
from goemo_utils.optimise.ladder import FROM_RANDOM, Rung
from goemo_utils.optimise.measure import Scored
from goemo_utils.optimise.ways import open_way
from goemo_utils.records.record import read_json, sha256_file, versions, write_json, write_text
from goemo_utils.training import thresholds

SCHEMA = "goemo.rung/1"
# Passes that the recipe of the embedded model takes from random weights (8 + 4), and the fewest
# that a fine-tuning there has (docs/finetuning.md): with fewer a record says that it was short.
LONG_FROM_RANDOM, LONG_FROM_TRAINED = 12, 3
TEACHER_WAY = {"kind": "classifier", "dtype": "float32"}
Record = dict[str, Any]


def read(path: Path) -> Record:
    """A record from disk. Raises RecordError where none can be read."""
    record: Record = read_json(path)
    return record


def folder_of(lab: Lab, name: str) -> Path:
    """Where a rung lies."""
    return lab.folder / "rungs" / name


def digest_of(lab: Lab, rung: Rung) -> str:
    """What decides a rung's record."""
    before = ""
    if rung.settings.of != "teacher":
        before = read(folder_of(lab, rung.settings.of) / "record.json")["digest"]
    made_of = (lab.digest, before, rung.settings.model_dump())
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


def known(path: Path, digest: str) -> Record | None:
    """The record at ``path``, where it is there and of this digest."""
    try:
        record = read(path)
        return record if record["digest"] == digest else None
    except (RecordError, KeyError):
        return None


def known_rung(lab: Lab, rung: Rung) -> Record | None:
    """The rung's record, where it need not be made again."""
    try:
        return known(folder_of(lab, rung.name) / "record.json", digest_of(lab, rung))
    except RecordError:  # the rung that it starts from has none yet
        return None


def teacher_name(lab: Lab) -> str:
    """The teacher's name without the place where it lies on this machine."""
    return Path(lab.params.teacher).name


def teacher(lab: Lab, say: Say) -> Scored:
    """The teacher's thresholds and decisions, kept; teacher.json tells of them."""
    path, marks = lab.folder / "teacher.json", lab.folder / "teacher_dev.npy"
    record = known(path, lab.digest)
    if record is not None and marks.is_file():
        return Scored(np.array(record["thresholds"]), np.load(marks, allow_pickle=False))

    say("teacher: scored")
    own = _scored(lab, lab.teacher, TEACHER_WAY)
    np.save(marks, own.marks, allow_pickle=False)
    facts = {
        "schema": SCHEMA,
        "name": "teacher",
        "title": f"the teacher, {teacher_name(lab)}",
        "digest": lab.digest,
        "source": "",
        "note": "",
        "training": None,
    }
    write_json(path, {**facts, **_worth(lab, lab.teacher, TEACHER_WAY, own, own)})
    return own


def _scored(lab: Lab, folder: Path, way: dict[str, Any]) -> Scored:
    """Thresholds from the held-out texts, and what is said of dev."""
    ask = open_way(folder, way, lab.max_length)
    held = ask(lab.splits.held.texts)
    return measure.score(lab.splits.held, held, ask(lab.splits.dev.texts))


def _worth(lab: Lab, folder: Path, way: dict[str, Any], own: Scored, its: Scored) -> Record:
    """What is measured of a rung but its speed; ``its`` is what the teacher says."""
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
        "teacher": teacher_name(lab),
        "thresholds": own.thresholds.tolist(),
        "quality": measure.quality(lab.splits.dev, own, its),
        "bytes": measure.bytes_of(folder, way),
        "peak_memory_mib": peak,
        "dev_texts": len(lab.splits.dev),
        "versions": versions(),
    }


def attempt(lab: Lab, rung: Rung, its: Scored, say: Say) -> Record:
    """Make, measure and record a rung; {"refused": reason} for one that cannot be made here."""
    folder = folder_of(lab, rung.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    try:
        started = time.process_time()
        made = rung.build(lab, folder, lambda line: say(f"  {rung.name}: {line}"))
        spent = time.process_time() - started
    except GoemoError as error:
        return {"refused": str(error)}
    return _record(lab, rung, made, its, spent)


def _record(lab: Lab, rung: Rung, made: Made, its: Scored, spent: float) -> Record:
    own = _scored(lab, made.folder, made.way)
    names, held = lab.train.labels, lab.splits.held
    texts = hashlib.sha256(repr(held.texts).encode()).hexdigest()
    thresholds.write(made.folder, names, own.thresholds.tolist(), len(held), texts)

    note = " ".join(filter(None, (made.note, short(rung, made))))
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
        **_worth(lab, made.folder, made.way, own, its),
    }
    write_text(made.folder / "README.md", card.render(record, len(names)))
    write_json(folder_of(lab, rung.name) / "record.json", record)
    return record


def short(rung: Rung, made: Made) -> str:
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


def reseeded(lab: Lab, rung: Rung, record: Record, its: Scored, say: Say) -> list[Record]:
    """The rung by each of the study's seeds, its own first: ``seed``, ``macro_f1``, ``share``. One
    that trains nothing random has its own alone. Only scores are kept of the others.
    """
    seed = getattr(rung.settings, "seed", None)
    first = lab.params.seed if seed is None else seed
    found = [{"seed": first, **_f1(record["quality"])}]
    if "seed" not in type(rung.settings).model_fields or not record["training"]:
        return found

    for other in range(first + 1, first + lab.params.seeds):
        settings = rung.settings.model_copy(update={"seed": other})
        again = replace(rung, settings=settings)
        folder = folder_of(lab, rung.name) / "seeds" / str(other)
        kept = known(folder / "record.json", digest_of(lab, again))
        if kept is None:
            say(f"{rung.name}, seed {other}")
            folder.mkdir(parents=True, exist_ok=True)
            made = again.build(lab, folder, lambda line: say(f"  {rung.name}: {line}"))
            own = _scored(lab, made.folder, made.way)
            shutil.rmtree(made.folder)
            quality = measure.quality(lab.splits.dev, own, its)
            kept = {"schema": SCHEMA, "digest": digest_of(lab, again), "quality": quality}
            write_json(folder / "record.json", kept)
        found.append({"seed": other, **_f1(kept["quality"])})
    return found


def _f1(quality: Record) -> Record:
    return {
        "macro_f1": quality["macro_f1"],
        "share": quality["against_teacher"]["macro_f1"]["share"],
    }


def parity(lab: Lab, record: Record, say: Say) -> Record | None:
    """What the study's device makes of the rung, or why it cannot be asked; None where no device is
    named. Kept, bound to the rung, the device and its weights.
    """
    device = lab.params.device
    if device is None:
        return None
    way = record["way"]
    if not words.ported(way):
        return {"device": device, "reason": words.NOT_PORTED}

    name = record["name"]
    model = lab.teacher if name == "teacher" else folder_of(lab, name) / "model"
    digest = f"{device} {way['dtype']} {sha256_file(model / 'model.safetensors')}"
    path = lab.folder / "parity" / name / "record.json"
    kept = known(path, digest)
    if kept is None:
        say(f"{name}: parity on {device}")
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"digest": digest, **on_device.judged(model, way, device, path.parent)}
        write_json(path, kept)
    return {key: value for key, value in kept.items() if key != "digest"}
