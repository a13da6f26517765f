"""What R-Drop and label smoothing bring and cost: four arms over the same seeds, each judged on
dev.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goemo_utils.errors import ParamsError
from goemo_utils.forward.thresholds import COMMON as THRESHOLD
from goemo_utils.records.record import read_json, sha256_file, sha256_json, write_json
from goemo_utils.records.step import EMBEDDED
from goemo_utils.records.weights import read_files
from goemo_utils.training.data import Split
from goemo_utils.training.metrics import argmax_scores, scores
from goemo_utils.training.thresholds import tune

# Arm: (with R-Drop, with label smoothing).
ARMS = {
    "plain": (False, False),
    "+ smoothing": (False, True),
    "+ R-Drop": (True, False),
    "both": (True, True),
}
# Weight of the divergence where the params name none: 5.0 is arXiv 2106.14448's for single labels;
# for many labels 1.0, which weighs the divergence as the loss itself, for both are means over the
# labels.
ALPHA = {"single_label": 5.0, "multi_label": 1.0}
SMOOTHING = 0.1
# What is reported of each arm; the first is what the figure and the notes speak of.
METRICS = {
    "multi_label": {
        "macro_f1_tuned": "macro-F1, tuned thresholds",
        "macro_f1_at_0.3": "macro-F1 at 0.3",
        "micro_f1_tuned": "micro-F1, tuned thresholds",
        "micro_f1_at_0.3": "micro-F1 at 0.3",
    },
    "single_label": {"macro_f1": "macro-F1", "accuracy": "accuracy"},
}
ENOUGH = 3  # seeds that a spread needs
CODE = (
    "batches",
    "fit",
    "losses",
    "start",
    "trainer",
)  # modules that decide what a training's weights become

Train = Callable[[dict[str, Any]], dict[str, Any]]


def run(
    params: Any,
    splits: Any,
    folder: Path,
    train: Train | None = None,
    progress: Callable[[str], None] = lambda line: None,
    seeds: int | None = None,
    make: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Train every arm with every seed from ``params.seed`` on and compare them: what ``summary``
    returns.

    ``seeds`` overrides ``params.ablation_seeds``. All arms of a seed run one after another, each
    seed starting with the next arm, so that a busy neighbour or a warming machine meets them alike.
    Every finished training leaves ``<folder>/ablation/<arm>-seed<n>-<key>.json``; one whose job is
    unchanged is read, not run again. ``progress`` gets a JSON line at the start of each training
    (``run``, ``runs``, ``arm``, ``seed``, ``known``, ``text``) and those of the training itself.
    ``train`` and ``make`` default to a training in a worker and ``fit.job``.

    Raises ParamsError for less than one seed, and what a training raises; what had finished by then
    is kept.
    """
    count = params.ablation_seeds if seeds is None else seeds
    if count < 1:
        raise ParamsError(
            f"ablation_seeds is {count}: an ablation needs at least 1 seed, and {ENOUGH} to state a"
            f" spread. Set ablation_seeds: {ENOUGH}."
        )

    train, make = (
        train or in_worker(Path(folder) / "ablation" / "logs", progress),
        make or _fit_job(),
    )
    alpha = params.r_drop or ALPHA[splits.train.task]
    smoothing = params.label_smoothing or SMOOTHING
    done = []

    for place, (seed, arm) in enumerate(order(count, params.seed)):
        strengths = {"r_drop": alpha * ARMS[arm][0], "label_smoothing": smoothing * ARMS[arm][1]}
        name = f"{arm.strip('+ ').lower()}-seed{seed}"
        job = make(
            params,
            splits,
            Path(folder) / "ablation" / name,
            seed=seed,
            keep_model=False,
            **strengths,
        )

        path = Path(folder) / "ablation" / f"{name}-{key(job)[7:19]}.json"
        told = {
            "run": place + 1,
            "runs": count * len(ARMS),
            "arm": arm,
            "seed": seed,
            "known": path.exists(),
        }

        progress(
            json.dumps(
                {
                    **told,
                    "text": (
                        f"ablation {place + 1} of {told['runs']}: {arm}, seed"
                        f" {seed}{' (known)' if path.exists() else ''}"
                    ),
                }
            )
        )

        if not path.exists():
            write_json(
                path,
                {
                    "schema": "goemo.ablation-run/1",
                    "arm": arm,
                    "seed": seed,
                    **strengths,
                    **_finished(train(job), splits),
                },
            )

            shutil.rmtree(job["out"], ignore_errors=True)

        done.append(read_json(path))

    return summary(
        done,
        splits.train.task,
        {"train": len(splits.train), "held": len(splits.held), "dev": len(splits.dev)},
    )


def order(count: int, first: int = 0) -> list[tuple[int, str]]:
    """The trainings (seed, arm) in the order they run: seed by seed, each seed beginning with the
    next arm.
    """
    names = list(ARMS)
    return [
        (first + i, arm)
        for i in range(count)
        for arm in names[i % len(names) :] + names[: i % len(names)]
    ]


def key(job: Mapping[str, Any]) -> str:
    """Digest of what decides a training's result: its job wherever it is written, the weights it
    starts from if in a folder, and the code.
    """
    start = str(job["model"]).removeprefix("random:")
    folder = EMBEDDED if start == "embedded" else Path(start)
    weights = read_files(folder) if folder.is_dir() else []
    code = [p for p in sorted(Path(__file__).parent.glob("*.py")) if p.stem in CODE]
    asked = {name: value for name, value in job.items() if name not in ("out", "log")}
    return sha256_json([asked, [sha256_file(p) for p in [*weights, *code]]])


def in_worker(logs: Path, progress: Callable[[str], None]) -> Train:
    """A training in a child process, its log in ``logs``, its progress lines passed on."""
    from goemo_utils.forward import worker

    return lambda job: worker.run(
        {**job, "kind": "training"}, logs / f"{Path(job['out']).name}.log", progress
    )


def _fit_job() -> Callable[..., dict[str, Any]]:
    from goemo_utils.training import fit

    return fit.job


def _finished(result: Mapping[str, Any], splits: Any) -> dict[str, Any]:
    """What is kept of a training: its scores on dev and its cost. Times and memory of a simulated
    device are this machine's CPU's: not kept.
    """
    held, dev = (
        np.load(result[f"{name}_probabilities"], allow_pickle=False) for name in ("held", "dev")
    )
    simulated = bool(result["device"]["simulated"])
    cost = {
        "seconds": result["seconds"],
        "seconds_per_step": result["seconds_per_step"],
        "peak_memory": result["peak_memory"] or result["peak_host_memory"],
    }

    return {
        "scores": judge(splits.held, held, splits.dev, dev),
        **(dict.fromkeys(cost) if simulated else cost),
        "simulated": simulated,
        "device": result["device"],
        **{name: result[name] for name in ("steps", "best", "stopped_early", "resumed_from")},
    }


def judge(
    held: Split, held_probabilities: np.ndarray, dev: Split, dev_probabilities: np.ndarray
) -> dict[str, float]:
    """Scores on dev by the names of METRICS; probabilities are [n_texts, n_labels].

    Multi-label: at 0.3, and with one threshold a label tuned on the held-out texts. Single-label:
    the most probable label is the answer.
    """
    if dev.task == "single_label":
        of_the_most_probable = argmax_scores(dev.targets, dev_probabilities)
        return {name: of_the_most_probable[name] for name in METRICS[dev.task]}

    cuts: dict[str, float | np.ndarray] = {
        "at_0.3": THRESHOLD,
        "tuned": tune(held.targets, held_probabilities),
    }
    found = {name: scores(dev.targets, dev_probabilities, cut) for name, cut in cuts.items()}
    return {f"{f1}_{name}": found[name][f1] for f1 in ("macro_f1", "micro_f1") for name in cuts}


def summary(
    runs: Sequence[Mapping[str, Any]], task: str, texts: Mapping[str, int]
) -> dict[str, Any]:
    """The comparison as one JSON-able object: per arm the spread of each metric over the seeds, the
    paired difference to plain, the cost.

    ``runs`` are the trainings as their files hold them. A cost is the median over the seeds of arm
    ÷ plain at the same seed; a training that was killed and resumed has no time to compare. Steps
    and peak memory (bytes; on the CPU of the whole process) are medians.
    """
    seeds = sorted({r["seed"] for r in runs})
    by_arm = {arm: {r["seed"]: r for r in runs if r["arm"] == arm} for arm in ARMS}
    arms = []

    for arm, own in by_arm.items():
        values = {m: [own[seed]["scores"][m] for seed in seeds] for m in METRICS[task]}
        plain = {m: [by_arm["plain"][seed]["scores"][m] for seed in seeds] for m in METRICS[task]}
        differences = (
            {
                m: spread([a - b for a, b in zip(values[m], plain[m], strict=True)])
                for m in METRICS[task]
            }
            if arm != "plain"
            else None
        )

        arms.append(
            {
                "arm": arm,
                "r_drop": own[seeds[0]]["r_drop"],
                "label_smoothing": own[seeds[0]]["label_smoothing"],
                "metrics": {m: spread(v) for m, v in values.items()},
                "differences": differences,
                "cost": (
                    {
                        name: _ratio(own, by_arm["plain"], name)
                        for name in ("seconds", "seconds_per_step")
                    }
                    | {
                        name: _median([own[seed][name] for seed in seeds])
                        for name in ("steps", "peak_memory")
                    }
                ),
            }
        )

    simulated = any(r["simulated"] for r in runs)
    notes = []

    if len(seeds) < ENOUGH:
        notes.append(
            f"{len(seeds)} of the {ENOUGH} seeds that a spread needs: none can be stated. Set"
            f" ablation_seeds: {ENOUGH}."
        )

    if simulated:
        notes.append("A simulated device has no speed: no training cost is stated.")
    return {
        "schema": "goemo.ablation/1",
        "task": task,
        "seeds": seeds,
        "texts": dict(texts),
        "simulated": simulated,
        "arms": arms,
        "device": runs[0]["device"],
        "notes": notes,
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, least and greatest of ``values``, and from three on the standard deviation (n - 1) and
    the 95 % interval of the mean.

    The interval is Student's: mean ± t(0.975, n - 1) · sd / √n. Of differences paired by seed it is
    the paired t interval.
    """
    n, mean = len(values), float(np.mean(values))
    sd = ci95 = None

    if n >= ENOUGH:
        sd = float(np.std(values, ddof=1))
        half = t_quantile(n - 1) * sd / math.sqrt(n)
        ci95 = [mean - half, mean + half]

    return {
        "values": [float(v) for v in values],
        "mean": mean,
        "sd": sd,
        "min": float(min(values)),
        "max": float(max(values)),
        "ci95": ci95,
    }


def t_quantile(freedom: int, share: float = 0.95) -> float:
    """t such that |T| ≤ t with probability ``share`` at ``freedom`` degrees of freedom, by halving.

    The probability is the finite series in θ = arctan(t / √ν) of Abramowitz and Stegun, 26.7.3 (odd
    ν) and 26.7.4 (even ν).
    """

    def inside(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        term = math.cos(angle) if freedom % 2 else 1.0
        total, power = (0.0, 1) if freedom == 1 else (term, 1 + freedom % 2)
        while power < freedom - 1:
            term *= power / (power + 1) * math.cos(angle) ** 2
            total, power = total + term, power + 2
        total *= math.sin(angle)
        return 2 / math.pi * (angle + total) if freedom % 2 else total

    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < share else (low, middle)
    return high


def _ratio(
    own: Mapping[int, Mapping[str, Any]], plain: Mapping[int, Mapping[str, Any]], name: str
) -> float | None:
    whole = [
        seed
        for seed in own
        if all(r[seed][name] and r[seed]["resumed_from"] is None for r in (own, plain))
    ]
    ratios = [own[seed][name] / plain[seed][name] for seed in whole]
    return float(np.median(ratios)) if ratios else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None


def table(result: Mapping[str, Any]) -> pd.DataFrame:
    """A column an arm; rows: each dev score (mean ± sd, least to greatest), its paired difference
    to plain with the 95 % interval, the cost.
    """

    def score(s: Mapping[str, Any]) -> str:
        reach = f" ({s['min']:.3f} to {s['max']:.3f})" if len(s["values"]) > 1 else ""
        return f"{s['mean']:.3f}" + (f" ± {s['sd']:.3f}" if s["sd"] is not None else "") + reach

    def difference(s: Mapping[str, Any]) -> str:
        return f"{s['mean']:+.3f}" + (
            f" ± {s['sd']:.3f}, 95 % {s['ci95'][0]:+.3f} to {s['ci95'][1]:+.3f}"
            if s["sd"] is not None
            else ""
        )

    def plainly(value: float | None, form: str, unit: float = 1) -> str:
        return "–" if value is None else format(value / unit, form)

    names = METRICS[result["task"]]
    columns = {}

    for a in result["arms"]:
        column = {"R-Drop α, smoothing ε": f"{a['r_drop']:g}, {a['label_smoothing']:g}"}
        for m, title in names.items():
            column[title] = score(a["metrics"][m])
            column[f"{title}: against plain"] = (
                difference(a["differences"][m]) if a["differences"] else "–"
            )

        cost = a["cost"]
        columns[a["arm"]] = column | {
            "time per step ÷ plain": plainly(cost["seconds_per_step"], ".2f"),
            "training time ÷ plain": plainly(cost["seconds"], ".2f"),
            "steps (median)": plainly(cost["steps"], ",.0f"),
            "peak memory (MiB, median)": plainly(cost["peak_memory"], ",.0f", 2**20),
        }

    return pd.DataFrame(columns)


def caption(result: Mapping[str, Any]) -> str:
    """What the table rests on, in one paragraph: seeds, texts, device, what the spread is of, and
    what it cannot say.
    """
    texts, seeds, device = result["texts"], result["seeds"], result["device"]

    return " ".join(
        [
            (
                f"{'SIMULATED. ' if result['simulated'] else ''}Dev scores ({texts['dev']:,} texts)"
                f" after training on {texts['train']:,}, {texts['held']:,} held out;"
            ),
            (
                f"seeds {', '.join(map(str, seeds))}, the same for every arm, on"
                f" {device['name'] or device['requested']}."
            ),
            (
                "The spread is over seeds (new weights, order, dropout), not over texts; a"
                " difference is paired by seed, its interval is for it alone."
            ),
            *result["notes"],
        ]
    )


def markdown(result: Mapping[str, Any]) -> str:
    """The table and its caption in Markdown, for the documentation."""
    frame = table(result)
    rows = [
        ["", *frame.columns],
        ["---"] * (1 + len(frame.columns)),
        *([name, *row] for name, row in zip(frame.index, frame.values.tolist(), strict=True)),
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + f"\n\n{caption(result)}\n"
