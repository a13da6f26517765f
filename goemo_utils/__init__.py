"""goemo ports a Hugging Face text classifier to an Ascend NPU and proves the port."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["GoEmotionsClassifier"]


def __getattr__(name: str) -> Any:
    """Load the classifier on first use, so that importing the package never imports torch."""
    if name == "GoEmotionsClassifier":
        return import_module("goemo_utils.classifier").GoEmotionsClassifier
    raise AttributeError(f"module 'goemo_utils' has no attribute {name!r}")
