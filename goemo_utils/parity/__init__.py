"""Parity: is the device's answer the reference's answer, and if they differ, why and where?

``judge`` compares three packs and needs no torch; ``run_job`` explains a difference and is the
entry point of the worker. The room knows nothing of notebooks, of runs on disk, or of how a verdict
is shown.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["judge", "run_job"]


def judge(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """See ``goemo_utils.parity.judgement.judge_packs``."""
    from goemo_utils.parity.judgement import judge_packs

    return judge_packs(*args, **kwargs)


def run_job(
    job: dict[str, Any], progress: Callable[[str], None], asked: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """See ``goemo_utils.parity.explain.explain``."""
    from goemo_utils.parity.explain import explain

    return explain(job, progress, asked)
