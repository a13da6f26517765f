"""What a rung is worth: quality against the teacher, decisions that changed, bytes, memory, speed.

Quality: thresholds tuned on the texts held out of train, F1 on dev, and 95 % intervals from 1,000
draws of the dev texts, the same for rung and teacher (paired bootstrap, Efron and Tibshirani 1993;
training/metrics.py). Speed: all rungs in one process in turns, forwards and backwards, after a
round that does not count (throughput's protocol), in the classifier with the study's threads. A
round's processor seconds are kept beside its wall clock: what the program used, whatever else the
machine did.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goemo_utils.forward.thresholds import above
from goemo_utils.optimise.ways import Probabilities, open_way
from goemo_utils.throughput import conditions, statistics
from goemo_utils.training.data import Split
from goemo_utils.training.metrics import bootstrap, drawn_f1, scores
from goemo_utils.training.thresholds import tune

# What a folder holds for people, not for running.
FOR_PEOPLE = ("README.md", "scores.json", ".gitattributes")
F1 = ("macro_f1", "micro_f1")


@dataclass(frozen=True)
class Scored:
    """A rung's thresholds [n_labels] and what it says of dev, bool [n_texts, n_labels]."""

    thresholds: np.ndarray
    marks: np.ndarray


def score(held: Split, held_answers: np.ndarray, dev_answers: np.ndarray) -> Scored:
    """Tune on the held-out texts and decide dev."""
    thresholds = tune(held.targets, held_answers)
    return Scored(thresholds, above(dev_answers, thresholds))


def quality(dev: Split, own: Scored, teacher: Scored) -> dict[str, Any]:
    """F1 on dev with intervals, and against the teacher: difference, share, flips."""
    found = scores(dev.targets, own.marks.astype(float), 0.5)
    return {
        **{name: found[name] for name in F1},
        "ci95": bootstrap(dev.targets, own.marks.astype(float), 0.5),
        "against_teacher": against(dev, own, teacher),
        "flips": flips(own, teacher),
    }


def against(dev: Split, own: Scored, teacher: Scored) -> dict[str, Any]:
    """Difference and share of both F1 of the teacher's, with 95 % intervals over the same draws."""
    drawn = [drawn_f1(dev.targets, one.marks) for one in (own, teacher)]
    whole = [scores(dev.targets, one.marks.astype(float), 0.5) for one in (own, teacher)]
    found: dict[str, Any] = {}
    for name in F1:
        mine, its = drawn[0][name], drawn[1][name]
        share = np.divide(mine, its, out=np.ones_like(mine), where=its > 0)
        found[name] = {
            "difference": whole[0][name] - whole[1][name],
            "ci95": np.percentile(mine - its, [2.5, 97.5]).tolist(),
            "share": whole[0][name] / max(whole[1][name], 1e-9),
            "share_ci95": np.percentile(share, [2.5, 97.5]).tolist(),
        }
    return found


def flips(own: Scored, teacher: Scored) -> dict[str, float]:
    """The share of dev texts whose set of labels is another one, and of single decisions."""
    changed = own.marks != teacher.marks
    return {"texts": float(changed.any(1).mean()), "decisions": float(changed.mean())}


def bytes_of(folder: Path, way: Mapping[str, Any]) -> int:
    """Bytes on disk that running the rung needs: weights, config, tokenizer, and what is its
    own.
    """
    graph = "file" in way
    files = (path for path in folder.iterdir() if path.is_file() and path.name not in FOR_PEOPLE)
    return sum(
        path.stat().st_size for path in files if not (graph and path.name == "model.safetensors")
    )


def run_job(job: dict[str, Any], progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Run in a worker: load a rung, answer texts, and tell the growth of this process's peak
    memory; the worker has only imported when it begins.
    """
    torch.set_num_threads(job["threads"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = open_way(Path(job["folder"]), job["way"], job["max_length"])
    run(job["texts"])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"peak_memory_mib": grown / 1024}


def speeds(
    ways: Mapping[str, Probabilities],
    texts: list[str],
    rounds: int,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Seconds of each round of each rung on the same texts, and what the machine was doing."""
    before = conditions.snapshot()
    for run in ways.values():
        run(texts)

    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        for name in names if number % 2 else reversed(names):
            started, used = time.perf_counter(), time.process_time()
            ways[name](texts)
            wall[name].append(time.perf_counter() - started)
            processor[name].append(time.process_time() - used)
        say(f"timing: round {number + 1} of {rounds}")

    return {
        "texts": len(texts),
        "threads": torch.get_num_threads(),
        "wall": wall,
        "processor": processor,
        "before": before,
        "after": conditions.snapshot(),
    }


def speed(timing: Mapping[str, Any], name: str, teacher: str = "teacher") -> dict[str, Any]:
    """Texts a second of a rung, by wall clock and by processor, and how many times the teacher's
    (medians; rounds are drawn in pairs for the interval).
    """
    found: dict[str, Any] = {}
    for clock in ("wall", "processor"):
        own, its = timing[clock][name], timing[clock][teacher]
        times, ci95 = statistics.ratio(its, own)
        found[clock] = {
            "texts_per_second": timing["texts"] / float(np.median(own)),
            "times_teacher": times,
            "ci95": list(ci95),
        }
    return found
