"""The hyper-parameter search: a small declared space, judged on held-out texts (never on dev),
resumable (needs Optuna, the extra ``search``).
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from goemo_utils.errors import DeviceError, GoemoError, ModelError, ParamsError, TextsError
from goemo_utils.notebook.tables import number
from goemo_utils.records.record import sha256_json
from goemo_utils.training.ablation import Train, in_worker, key
from goemo_utils.training.data import Split
from goemo_utils.training.evaluation import held_marks
from goemo_utils.training.metrics import scores

# The space. "log" and "even" draw a number between low and high, "whole" a whole number, "one of"
# takes one of the values. An upper edge of None is the value in the params: a search never trains
# longer than it was told.
SPACE: dict[str, dict[str, Any]] = {
    "learning_rate": {"draw": "log", "low": 1e-5, "high": 3e-3},
    "epochs": {"draw": "whole", "low": 1, "high": None},
    "batch_size": {"draw": "one of", "values": (16, 32, 64)},
    "weight_decay": {"draw": "even", "low": 0.0, "high": 0.1},
    "r_drop": {"draw": "one of", "values": (0.0, 1.0, 5.0)},
    "label_smoothing": {"draw": "one of", "values": (0.0, 0.1)},
    "warm_up": {"draw": "even", "low": 0.0, "high": 0.2},
}
# Trials drawn at random before the sampler learns from them, and trials that importances need at
# least: Optuna's own figures are 10 and 2, for searches of hundreds; on ten trials, shares of
# importance are noise.
RANDOM, ENOUGH_FOR_IMPORTANCE = 6, 20
OPTIMISM = (
    "The best score is the greatest of its trials, so it flatters; judge the chosen settings on"
    " dev, which the search never saw."
)


def run(
    params: Any,
    splits: Any,
    folder: Path,
    train: Train | None = None,
    progress: Callable[[str], None] = lambda line: None,
    trials: int | None = None,
    make: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Search SPACE with Optuna's TPE until ``trials`` (else ``params.search_trials``) trials have
    ended; returns what ``summary`` says.

    The objective is macro-F1 on the held-out texts (``objective``). The first trial is the params'
    own settings if the space has them. All trials are in ``<folder>/search/journal.log``, Optuna's
    journal in JSON (its file backend pickles nothing); killed and started again, the search goes on
    with the trial that was cut off and draws what it would have drawn. A change of texts, model,
    space or any other setting starts a study of its own in the same journal. A trial that ends in
    NaN or a crash is recorded as failed with its reason and counts. No trial is cut short by its
    score: schedules of different lengths cannot be compared midway, and early stopping bounds them.

    Raises GoemoError without Optuna, ParamsError for less than one trial, and what would fail every
    trial alike (DeviceError, ModelError, ParamsError, TextsError).
    """
    optuna = optuna_or_error()
    wanted = params.search_trials if trials is None else trials

    if wanted < 1:
        raise ParamsError(
            f"search_trials is {wanted}: a search needs at least 1 trial. Set search_trials: 20."
        )

    home = Path(folder) / "search"
    if make is None:
        from goemo_utils.training.fit import job

        make = job
    train = train or in_worker(home / "logs", progress)
    ranges = space(params)
    pinned = {name: r["values"][0] if "values" in r else r["low"] for name, r in ranges.items()}
    name = sha256_json(
        [key(make(params, splits, home / "trial", keep_model=False, **pinned)), params.seed, ranges]
    )

    study = optuna.create_study(
        storage=_storage(optuna, home), study_name=name, direction="maximize", load_if_exists=True
    )
    for cut in _in_state(study, optuna.trial.TrialState.RUNNING):
        _tell(optuna, study, cut.number)
    own = _own(params, splits.train.task, ranges)

    while (ended := len(_ended(study))) < wanted:
        if ended == 0 and own and not _in_state(study, optuna.trial.TrialState.WAITING):
            study.enqueue_trial(own)

        # A sampler of its own for each trial, so that a search that was cut off draws what it would
        # have drawn.
        seed = int(np.random.SeedSequence([params.seed, ended]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
        trial = study.ask(_distributions(optuna, ranges))

        # What is trained is what is shown: three significant digits.
        values = {
            n: float(f"{v:.3g}") if isinstance(v, float) else v for n, v in trial.params.items()
        }
        trial.set_user_attr("values", values)
        shown = ", ".join(f"{n} {v:g}" for n, v in values.items())
        line = {
            "trial": ended + 1,
            "trials": wanted,
            "values": values,
            "text": f"trial {ended + 1} of {wanted}: {shown}",
        }
        progress(json.dumps(line))

        out = home / f"trial-{ended + 1}"
        trial_job = make(params, splits, out, keep_model=False, **values)
        trial.set_user_attr("end", _attempt(train, trial_job, splits.held))
        _tell(optuna, study, trial.number)
        shutil.rmtree(out, ignore_errors=True)

    return summary(study, ranges, len(splits.held))


def space(params: Any) -> dict[str, dict[str, Any]]:
    """SPACE with the upper edges that the params give."""
    longest = max(1, math.floor(params.epochs))
    return {
        name: r | ({"high": longest} if r.get("high", 0) is None else {})
        for name, r in SPACE.items()
    }


def optuna_or_error() -> Any:
    """Optuna, told to be quiet. Raises GoemoError where it is not installed; the lab asks before it
    trains.
    """
    try:
        import optuna
    except ImportError:
        raise GoemoError(
            "The hyper-parameter search needs Optuna, which is not installed: pip install"
            " 'goemo[search]', or set search_trials: 0."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _storage(optuna: Any, home: Path) -> Any:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "journal.log"
    if path.exists():
        # a kill while a line was written leaves a part of it, which Optuna reads as damage once
        # more follows
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def _distributions(optuna: Any, ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    kinds = optuna.distributions

    def of(wanted: Mapping[str, Any]) -> Any:
        if wanted["draw"] == "one of":
            return kinds.CategoricalDistribution(wanted["values"])
        if wanted["draw"] == "whole":
            return kinds.IntDistribution(wanted["low"], wanted["high"])
        return kinds.FloatDistribution(wanted["low"], wanted["high"], log=wanted["draw"] == "log")

    return {name: of(wanted) for name, wanted in ranges.items()}


def _inside(value: Any, r: Mapping[str, Any]) -> bool:
    return (
        value in r["values"]
        if "values" in r
        else value is not None
        and r["low"] <= value <= r["high"]
        and (r["draw"] != "whole" or value == int(value))
    )


def _own(params: Any, task: str, ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The params' own settings as a trial; None when one of them lies outside the space."""
    own = {name: getattr(params, name) for name in ranges} | {
        "r_drop": params.alpha(task),
        "label_smoothing": params.smoothing(task),
    }
    if not all(_inside(own[name], r) for name, r in ranges.items()):
        return None
    return {name: int(v) if ranges[name]["draw"] == "whole" else v for name, v in own.items()}


def _in_state(study: Any, state: Any) -> list[Any]:
    trials: list[Any] = study.get_trials(deepcopy=False, states=[state])
    return trials


def _ended(study: Any) -> list[Any]:
    """The trials that ended of their own accord, in order; one that was cut off has no ``end``."""
    return [
        t
        for t in study.get_trials(deepcopy=False)
        if "end" in t.user_attrs and t.state.is_finished()
    ]


def objective(held: Split, probabilities: np.ndarray) -> float:
    """Macro-F1 on the held-out texts by ``held_marks``, from probabilities [n_texts, n_labels]; NaN
    where a probability is none.
    """
    if not np.isfinite(probabilities).all():
        return math.nan
    marks = held_marks(held.targets, probabilities, held.task)
    return scores(held.targets, marks, 0.5, held.task)["macro_f1"]


def _attempt(train: Train, job: dict[str, Any], held: Split) -> dict[str, Any]:
    """Train and say how it ended: the score, or the reason why there is none. Times of a simulated
    device are this machine's CPU's: not kept.
    """
    began = time.monotonic()
    try:
        result = train(job)
    except (DeviceError, ModelError, ParamsError, TextsError):
        raise
    except GoemoError as error:
        return {
            "score": None,
            "reason": str(error).splitlines()[0],
            "seconds": round(time.monotonic() - began, 1),
            "simulated": False,
        }

    score, simulated = (
        objective(held, np.load(result["held_probabilities"], allow_pickle=False)),
        bool(result["device"]["simulated"]),
    )
    known = math.isfinite(score)

    return {
        "score": score if known else None,
        "reason": None if known else "the model answers with NaN",
        "seconds": None if simulated else round(time.monotonic() - began, 1),
        "simulated": simulated,
    }


def _tell(optuna: Any, study: Any, number_of: int) -> None:
    """Close a trial as its ``end`` says; one without an end was cut off and counts for nothing."""
    score = study.trials[number_of].user_attrs.get("end", {}).get("score")
    study.tell(
        number_of,
        **({"state": optuna.trial.TrialState.FAIL} if score is None else {"values": score}),
    )


def summary(study: Any, ranges: Mapping[str, Mapping[str, Any]], held_texts: int) -> dict[str, Any]:
    """The search as one JSON-able object: every trial, the best one, its ready ``-p`` line, and
    from twenty scored trials on importances.

    Importances are PED-ANOVA's (arXiv 2304.10255), shares that sum to 1.
    """
    ends = [(t.user_attrs["values"], t.user_attrs["end"]) for t in _ended(study)]
    rows = [
        {
            "trial": place + 1,
            "state": "failed" if end["score"] is None else "scored",
            **values,
            "held_macro_f1": end["score"],
            "seconds": end["seconds"],
            "reason": end["reason"],
        }
        for place, (values, end) in enumerate(ends)
    ]

    scored = [r for r in rows if r["held_macro_f1"] is not None]
    best = max(scored, key=lambda r: r["held_macro_f1"], default=None)
    importance = None

    if len(scored) >= ENOUGH_FOR_IMPORTANCE:
        import warnings

        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "experimental" in some versions
            importance = {
                n: float(v)
                for n, v in get_param_importances(
                    study, evaluator=PedAnovaImportanceEvaluator()
                ).items()
            }

    return {
        "schema": "goemo.search/1",
        "space": {n: dict(r) for n, r in ranges.items()},
        "trials": rows,
        "best": best,
        "held_texts": held_texts,
        "line": " ".join(f"-p {name} {best[name]:g}" for name in ranges) if best else None,
        "importance": importance,
        "simulated": any(end["simulated"] for _, end in ends),
        "notes": [OPTIMISM] if best else ["No trial has a score; the reasons stand in the table."],
    }


def space_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """The space as it was searched: a row a parameter, with the best trial's value and the
    importance where there is one.
    """

    def drawn(r: Mapping[str, Any]) -> str:
        return (
            " | ".join(f"{v:g}" for v in r["values"])
            if "values" in r
            else f"{r['low']:g} to {r['high']:g}"
        )

    return pd.DataFrame(
        [
            {
                "parameter": name,
                "draw": r["draw"],
                "values": drawn(r),
                "best": number(result["best"] and result["best"][name]),
                "importance": number((result["importance"] or {}).get(name)),
            }
            for name, r in result["space"].items()
        ]
    ).set_index("parameter")


def table(result: Mapping[str, Any]) -> pd.DataFrame:
    """The trials, best first, failed ones last with their reason."""
    rows = sorted(
        result["trials"],
        key=lambda r: (r["held_macro_f1"] is None, -(r["held_macro_f1"] or 0), r["trial"]),
    )

    return pd.DataFrame(
        [
            {
                "trial": r["trial"],
                "held-out macro-F1": (
                    "–" if r["held_macro_f1"] is None else f"{r['held_macro_f1']:.4f}"
                ),
                **{name: f"{r[name]:g}" for name in result["space"]},
                "seconds": number(r["seconds"]),
                "state": r["reason"] or r["state"],
            }
            for r in rows
        ]
    ).set_index("trial")


def markdown(result: Mapping[str, Any]) -> str:
    """The trials in Markdown, for the documentation, with the best settings and their grounds."""
    frame = table(result).reset_index()
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.values.tolist()]
    lines = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    simulated = "SIMULATED. " if result["simulated"] else ""
    said = ""
    if result["line"]:
        said = f"{simulated}Best: `{result['line']}` ({result['held_texts']:,} held-out texts). "
    return f"{lines}\n\n{said}{' '.join(result['notes'])}\n"
