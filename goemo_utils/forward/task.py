"""What a checkpoint decides: its task and its labels, once, for every path of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goemo_utils.errors import ModelError

DECLARED = {
    "multi_label_classification": "multi_label",
    "single_label_classification": "single_label",
    None: None,
}
TASKS = ("auto", "multi_label", "single_label", "encoder")


def task_of(asked: str, config: Any, head: bool, folder: Path) -> str:
    """multi_label | single_label | encoder, and a ModelError when what was asked contradicts the
    checkpoint.

    Without a declaration it is as in transformers' pipeline (TextClassificationPipeline,
    ``function_to_apply``): sigmoid for one label, softmax for more. One label is never a softmax,
    which would give it 1 whatever the text.
    """
    if asked == "encoder" or (asked == "auto" and not head):
        return "encoder"

    declared = DECLARED.get(config.problem_type, "regression")
    if declared == "regression":
        raise ModelError(
            f"{folder} declares problem_type '{config.problem_type}' with {config.num_labels}"
            " label(s): goemo ports classifiers. Use task: encoder to compare its hidden states."
        )
    if config.num_labels < 2:
        return _one_label(asked, config, folder)
    if asked != "auto" and declared and asked != declared:
        raise ModelError(
            f"task: {asked} contradicts {folder}/config.json, whose problem_type is"
            f" '{config.problem_type}'. Use task: auto."
        )

    return asked if asked != "auto" else declared or "single_label"


def _one_label(asked: str, config: Any, folder: Path) -> str:
    if config.num_labels < 1:
        raise ModelError(
            f"{folder}/config.json names no label: expected id2label with at least one. Use task:"
            " encoder to compare its hidden states."
        )
    if asked == "single_label":
        raise ModelError(
            f"task: single_label was asked, and {folder} has one label, to which a softmax gives"
            " probability 1 whatever the text. Use task: multi_label or auto, a sigmoid as in"
            " transformers' pipeline."
        )
    return "multi_label"


def labels_of(config: Any, folder: Path) -> list[str]:
    """The labels in the order of the model's outputs.

    id2label must number them 0 to n-1, or 1 to n, which is read as the same order. Raises
    ModelError for any other numbering: it does not say which output is which label.
    """
    numbers = sorted(config.id2label)
    if numbers not in (list(range(len(numbers))), list(range(1, len(numbers) + 1))):
        given = ", ".join(str(number) for number in numbers[:8])
        more = ", …" if len(numbers) > 8 else ""
        raise ModelError(
            f"{folder}/config.json numbers its {len(numbers)} labels {given}{more}: expected 0 to"
            f" {len(numbers) - 1} in id2label, in the order of the head's outputs. Correct it."
        )

    names = [str(config.id2label[number]) for number in numbers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelError(
            f"{folder}/config.json names two labels {twice!r}: their answers could not be told"
            " apart. Expected each name once in id2label. Correct it."
        )
    return names
