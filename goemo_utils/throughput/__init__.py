"""Throughput: an honest timing protocol, honest baselines, and the statistics that say how sure the
figures are.

The room knows nothing of parity or of a run's folder: it times ways of classifying and tells.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["run_job"]


def run_job(
    job: dict[str, Any],
    progress: Callable[[str], None] = lambda line: None,
    asked: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run a throughput job inside a worker process; see ``goemo_utils.throughput.measure.run``."""
    from goemo_utils.throughput.measure import run

    return run(job, progress, asked=asked)
