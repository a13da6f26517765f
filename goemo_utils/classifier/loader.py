"""Classifiers as a command that answers asks for them: of any folder, with the same options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goemo_utils.classifier.classifier import GoEmotionsClassifier


def add_task(parser: argparse.ArgumentParser) -> None:
    """The option ``--task``, which stands where ``--model_path`` does."""
    parser.add_argument(
        "--task",
        default="auto",
        choices=("auto", "multi_label", "single_label"),
        help=(
            "what the model does, where its config.json does not say: multi_label gives each label"
            " its own sigmoid (default auto)"
        ),
    )


def loader(args: argparse.Namespace) -> Callable[[str], GoEmotionsClassifier]:
    """What opens the classifier of a folder or hub id with a command's options."""
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
        task=args.task,
    )
