"""Training parity: do the device's optimizer steps do what the CPU's do, and if not, from which
step, why and where?

``compare`` runs and judges; ``figure`` shows its result; ``run_job`` is the entry point of the
workers. Nothing here imports torch by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from goemo_utils.training.parity.study import compare

__all__ = ["ALT", "compare", "figure", "run_job"]

ALT = (
    "Left: loss of the same training on the CPU in float64, on the CPU and on the device, against"
    " the optimizer step. Right, on log axes: their errors against float64, of the losses above and"
    " of the gradient norms below, the limit that right arithmetic keeps to, and the first step"
    " beyond it."
)


def figure(result: Mapping[str, Any], simulated: bool) -> Any:
    """See ``goemo_utils.training.parity.drawing.draw``."""
    from goemo_utils.training.parity.drawing import draw

    return draw(result, simulated)


def run_job(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """See ``goemo_utils.training.parity.roles.run``."""
    from goemo_utils.training.parity.roles import run

    return run(job, progress)
