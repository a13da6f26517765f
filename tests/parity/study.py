"""Step 03 as its notebook runs it, from packs to verdict, with workers, on a model folder."""

from pathlib import Path
from typing import Any

from goemo_utils import parity
from goemo_utils.forward.model import load_model
from goemo_utils.notebook import comparison
from goemo_utils.params import Params
from goemo_utils.parity.explain import CHECKS
from goemo_utils.records.step import Step
from tests.forward.tiny_model import SENTENCES

TEXTS = [
    *SENTENCES,
    "no",
    "What a strange and awful idea, thank you, I am happy and angry today!",
    "happy angry",
]


WITHOUT_EXERCISE = ("probe", "cause", "place", "invariance")


def step_of(model: Path | str, folder: Path, **settings: Any) -> Step:
    """Step 03 of a run of ``model`` in ``folder``, after 01_load found what the model is."""
    params = Params.load(
        None,
        {
            "model": str(model),
            "output_root": str(folder),
            "run_id": "r",
            "max_length": 64,
            "batch_size": 4,
            "rehearsal_numerics": "exact",
            **settings,
        },
    )
    info = load_model(
        params.model,
        params.revision,
        params.task,
        params.dtype,
        params.attn_implementation,
        params.seed,
    ).info
    return Step("03_parity", params, folder / "r", {}, {"01_load": {"results": {"model": info}}})


def study(
    model: Path | str,
    folder: Path,
    texts: list[str] | None = None,
    labels: list[list[int]] | None = None,
    checks: tuple[str, ...] = CHECKS,
    **settings: Any,
) -> dict[str, Any]:
    """The payload of 03's record."""
    step, given = step_of(model, folder, **settings), texts or TEXTS
    gold, reference, candidate = comparison.three_packs(step, given)
    found = comparison.explain(step, given, checks)
    result = parity.judge(
        gold, reference, candidate, step.params.threshold, given, **found["evidence"], labels=labels
    )
    return result | {
        "remedies": comparison.before_and_after(step, gold, reference, result, given),
        "probe": found["probe"],
        "seconds": found["seconds"],
    }


def gate(payload: dict[str, Any], name: str) -> dict[str, Any]:
    """One gate of a payload."""
    return next(g for g in payload["gates"] if g["id"] == name)
