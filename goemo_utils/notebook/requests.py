"""What the notebooks of a run ask of its child processes: a job, and where its log goes.

Made of the run's parameters and folder alone, so that the run can begin early what a notebook will
ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils.forward.run import job
from goemo_utils.parity import known

if TYPE_CHECKING:
    from goemo_utils.params import Params

# Each configuration is timed for at least so many seconds and rounds (thirty samples give a usable
# interval); a rehearsal shows the protocol in ten rounds, because it has no speed to measure.
SECONDS, ROUNDS, REHEARSAL_ROUNDS = 10.0, 30, 10
SMALL = 20_000_000
"""Parameters of a model of which several are held at a time."""
MIDDLING = 200_000_000
"""Parameters of a model whose analysis is held beside its packs: 36 bytes each, 7 GB."""


def log_of(folder: Path, name: str) -> Path:
    """Where the log of the job ``name`` goes."""
    return folder / "logs" / f"worker-{name}.log"


def pack_of(folder: Path, name: str) -> Path:
    """Where the pack of the job ``name`` goes, without its suffix."""
    return folder / "packs" / name


def is_small(loaded: dict[str, Any], below: int = SMALL) -> bool:
    """Whether a model has fewer parameters, by default so few that several may be held at a time;
    ``loaded`` are the results of 01_load.
    """
    return int(loaded.get("model", {}).get("n_parameters") or below) < below


def smoke(params: Params, task: str) -> dict[str, Any]:
    """What the run's model says about the smoke sentences on the run's device."""
    return {
        "kind": "smoke",
        "params": params.resolved(),
        "task": task,
        "device": params.opened_as,
    }


def forward(
    params: Params, folder: Path, texts: list[str], role: str, name: str, **changes: Any
) -> dict[str, Any]:
    """A forward run of a role, its pack called ``name``."""
    return job(params, texts, role, pack_of(folder, name), **changes)


def explanation(
    params: Params,
    folder: Path,
    texts: list[str],
    model: dict[str, Any],
    packs: dict[str, str],
    checks: Sequence[str] | None = None,
    name: str = "explain",
    **changes: Any,
) -> dict[str, Any]:
    """Look for the cause and the place of a difference; ``model`` as 01_load recorded it, ``packs``
    the paths of gold's and the reference's.
    """
    return {
        **forward(params, folder, texts, "candidate", name, **changes),
        "kind": "parity",
        "checks": checks,
        "packs": packs,
        "threshold": params.threshold,
        "known_answer": known.asked(model),
        "apart": not is_small({"model": model}),
    }


def timing(
    params: Params,
    folder: Path,
    texts: Sequence[str],
    name: str,
    arms: list[dict[str, Any]],
    baselines: Sequence[Any] | None = (),
    **changes: Any,
) -> dict[str, Any]:
    """Time ``arms``, beside the baselines where ``baselines`` is None."""
    return {
        **forward(params, folder, list(texts), "candidate", name),
        "kind": "throughput",
        "arms": arms,
        "baselines": baselines,
        "threshold": params.threshold,
        "seconds": SECONDS,
        "min_rounds": REHEARSAL_ROUNDS if params.simulated else ROUNDS,
        **changes,
    }


def throughput(params: Params, folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Time the CPU and the run's device in turns, beside the baselines."""
    arms: list[dict[str, Any]] = [{"id": "cpu", "device": "cpu"}]
    if params.device != "cpu":
        candidate = {
            "id": "candidate",
            "device": params.opened_as,
            "numerics": params.rehearsal_numerics,
            "fault": params.rehearsal_fault,
            "remedy": params.remedy,
        }
        arms.append(candidate)
    return timing(params, folder, texts, "throughput", arms, baselines=None)
