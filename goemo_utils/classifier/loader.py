"""Classifiers as a command that answers asks for them: of any folder, with the same options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import GoEmotionsClassifier


def loader(args: argparse.Namespace, task: str = "auto") -> Callable[[str], GoEmotionsClassifier]:
    """What opens the classifier of a folder or hub id with a command's options; the checkpoint
    decides the task unless ``task`` names it.
    """
    from goemo_utils.forward import lean
    from goemo_utils.forward.device import import_torch_npu

    if args.device.startswith("npu"):
        # transformers imports torch_npu by itself, and has no diagnosis for one that fails.
        import_torch_npu(args.device)
    lean.import_transformers()
    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    return lambda path: GoEmotionsClassifier(
        path,
        device=args.device,
        threshold=args.threshold,
        dtype=args.dtype,
        backend=args.backend,
        batch_tokens=args.batch_tokens,
        max_length=args.max_length,
        task=task,
    )
